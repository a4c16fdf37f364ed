"""ClickHouse in memory: whole blocks, the last version of each key, answers that get lost."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.faults import Faults

Row = tuple[Any, ...]

_TABLE = re.compile(
    r"CREATE TABLE IF NOT EXISTS (\S+)\s*\((.*)\)\s*ENGINE = (\w+)(?:\(([^)]*)\))?"
    r"\s+ORDER BY \(?([^)]*)\)?",
    re.DOTALL,
)


class ClickHouseGone(Exception):
    """The server did not say what became of it."""


@dataclass
class Table:
    """Rows by key: of equal keys the one with the greatest version, of equal versions the last."""

    columns: dict[str, str]
    keys: list[str]
    replacing: bool
    version: str = ""
    gone: str = ""
    rows: dict[Row, dict[str, Any]] = field(default_factory=dict)
    written: int = 0

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Take in a block."""
        for row in rows:
            assert row.keys() == self.columns.keys(), f"columns are {list(row)}"
            self.written += 1
            key = tuple(row[name] for name in self.keys)
            if not self.replacing:
                key = (*key, self.written)
            old = self.rows.get(key)
            if old is None or not self.version or row[self.version] >= old[self.version]:
                self.rows[key] = dict(row)

    def final(self) -> list[dict[str, Any]]:
        """The rows as a read with FINAL has them."""
        return [row for row in self.rows.values() if not (self.gone and row[self.gone])]


class SimClickHouse:
    """What is stored, by the full name of each table."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.tables: dict[str, Table] = {}

    def make(self, statement: str) -> None:
        """Make a table, if the statement does and there is none."""
        found = _TABLE.match(statement)
        if found is None or found[1] in self.tables:
            return
        name, body, engine, options, keys = found.groups()
        columns = dict(re.findall(r"(\w+) (\w+(?:\(\w+\))?)\s*(?:,|$)", body))
        version, _, gone = (options or "").replace(" ", "").partition(",")
        names = keys.replace(" ", "").split(",")
        self.tables[name] = Table(columns, names, engine == "ReplacingMergeTree", version, gone)

    def insert(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Store a block: whole, or not at all."""
        self.faults.point("insert before")
        if self.faults.strikes("insert refused"):
            raise ClickHouseGone("not stored")
        self.tables[name].insert(rows)
        self.faults.point("insert after")
        if self.faults.strikes("insert unanswered"):
            raise ClickHouseGone("stored, but who knows")


@dataclass
class _Found:
    result_rows: list[Row]


@dataclass
class _Context:
    name: str
    columns: Sequence[str]
    data: Sequence[Row] = ()


class Client:
    """As much of a ClickHouse client as the sink asks for."""

    def __init__(self, store: SimClickHouse) -> None:
        self._store = store

    def command(self, statement: str) -> None:
        """Definitions; a view that a later migration removes is left out."""
        self._store.make(statement)

    def query(self, statement: str, parameters: Mapping[str, Any] | None = None) -> _Found:
        """One of the few questions that the product has."""
        words = " ".join(statement.split())
        asked = parameters or {}
        if "argMax(build, flipped)" in words:
            builds = self._store.tables["logbourse.builds"].final()
            newest = max(builds, key=lambda row: int(row["flipped"]), default={"build": ""})
            return _Found([(newest["build"],)])
        if "max(flipped) + 1" in words:
            return _Found([(1 + len(self._store.tables["logbourse.builds"].rows),)])
        if "system.columns" in words:
            table = self._store.tables[f"{asked['database']}.{asked['table']}"]
            return _Found(list(table.columns.items()))
        if found := re.match(r"SELECT name FROM (\S+)", words):
            return _Found([(row["name"],) for row in self._store.tables[found[1]].final()])
        found = re.search(
            r"^SELECT (.*) FROM \{database:Identifier\}\.(memory|positions) FINAL", words
        )
        assert found, f"the simulated ClickHouse does not know {words}"
        names, table = found[1].split(", "), self._store.tables[f"{asked['database']}.{found[2]}"]
        place = (asked["topic"], asked["partition"])
        rows = [row for row in table.final() if (row["topic"], row["partition"]) == place]
        return _Found([tuple(row[name] for name in names) for row in rows])

    def create_insert_context(
        self,
        table: str,
        database: str,
        column_names: Sequence[str],
        column_type_names: Sequence[str],
        settings: Mapping[str, int],
    ) -> _Context:
        """The context; threads that `settings` name are no matter here."""
        return _Context(f"{database}.{table}", column_names)

    def insert(
        self,
        table: str = "",
        data: Sequence[Row] = (),
        column_names: Sequence[str] = (),
        database: str = "",
        context: _Context | None = None,
    ) -> None:
        """Rows of a definition, or the block of a context."""
        if context is None:
            rows = [dict(zip(column_names, row, strict=True)) for row in data]
            self._store.tables[f"{database}.{table}"].insert(rows)
        else:
            rows = [dict(zip(context.columns, row, strict=True)) for row in context.data]
            self._store.insert(context.name, rows)

    def close(self) -> None:
        pass
