"""Stores history in ClickHouse: one block per table for all steps, and the positions last.

A block costs the engine 4 ms of processor whatever its size, hence few and large ones. A crash
between two blocks leaves rows beyond the positions. They are written again, with the same keys, so
that reads with FINAL count each once. The projectors' cells and the positions are one block: it is
stored whole or not at all.
"""

from collections.abc import Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from infra.clickhouse import ClickHouseClient, ClickHouseError
from projections.changes import Cells, Row
from projections.clickhouse_builds import current_build, make_build, named_build
from projections.layout import (
    LEDGER_EVENTS,
    LEDGER_TABLES,
    MATCHING_TABLES,
    NOWHERE,
    Position,
    database,
    pack,
    unpack,
)
from projections.sink import Step, Verdict

NOT_REMEMBERED = ("trades:", "closed:")
"""Prefixes of keys that no projector needs to go on writing history."""

POSITION_CELL = "position"

ASK_BUILD_EVERY_S = 1.0
"""How often an apply asks which build is the current one."""

LOAD_SQL = """
    SELECT cell, field, text FROM {database:Identifier}.memory FINAL
    WHERE topic = {topic:String} AND partition = {partition:Int32}
"""
COLUMNS_SQL = """
    SELECT name, type FROM system.columns
    WHERE database = {database:String} AND table = {table:String} ORDER BY position
"""


class ClickHouseSink:
    """History in the current build, or in `build` while it is under construction.

    When another build becomes the current one, each partition's apply answers GAP within a second
    and its next load tells where that build stands.
    """

    name = "clickhouse"
    pause_s = 0.1

    def __init__(
        self,
        client: ClickHouseClient,
        build: str | None = None,
        monotonic_s: Callable[[], float] = monotonic,
    ) -> None:
        self._client = client
        self._wanted = build
        self._monotonic_s = monotonic_s
        self._build = ""
        # The build that readers read, as it was when it was last asked for.
        self._named = ""
        self._named_s = 0.0
        self._loaded_from: dict[tuple[str, int], str] = {}
        self._contexts: dict[str, Any] = {}
        self._choose_build()

    def load(self, topic: str, partition: int) -> tuple[Position, Cells]:
        """The partition's position, and the cells from which its projector goes on."""
        self._choose_build()
        self._loaded_from[topic, partition] = self._build
        found = self._client.query(
            LOAD_SQL,
            parameters={
                "database": database(self._build),
                "topic": topic,
                "partition": partition,
            },
        )
        position = NOWHERE
        cells: dict[str, dict[str, str]] = {}
        for cell, field, text in found.result_rows:
            if cell == POSITION_CELL:
                position = unpack(Position, text)
            else:
                cells.setdefault(cell, {})[field] = text
        return position, cells

    def apply(self, steps: Sequence[Step]) -> list[Verdict]:
        """Store the rows of all steps, then the cells with the positions."""
        # A partition that went on from another build would leave a hole in this one.
        build = self._current()
        verdicts: list[Verdict] = []
        blocks: dict[str, list[Row]] = {}
        memory: list[Row] = []
        for step in steps:
            if self._loaded_from[step.topic, step.partition] != build:
                verdicts.append(Verdict.GAP)
                continue
            verdicts.append(Verdict.APPLIED)
            for table, rows in step.changes.rows.items():
                blocks.setdefault(table, []).extend(rows)
            memory += _memory(step)
        try:
            self._store(blocks, memory)
        except ClickHouseError:
            if self._wanted is not None or self._asked() == build:
                raise
            # The build was replaced and removed meanwhile.
            return [Verdict.GAP] * len(steps)
        return verdicts

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _current(self) -> str:
        """The build to write into.

        One that was current a moment ago still takes what is written: nobody reads it any more,
        and the partition goes on where the new build stands. Once it is removed, storing fails.
        """
        if self._wanted is not None:
            return self._wanted
        if self._monotonic_s() >= self._named_s + ASK_BUILD_EVERY_S:
            return self._asked()
        return self._named

    def _asked(self) -> str:
        self._named, self._named_s = named_build(self._client), self._monotonic_s()
        return self._named

    def _choose_build(self) -> None:
        build = self._wanted or current_build(self._client)
        self._named, self._named_s = build, self._monotonic_s()
        if build != self._build:
            make_build(self._client, build)
            self._build = build
            self._contexts.clear()

    def _store(self, blocks: Mapping[str, list[Row]], memory: list[Row]) -> None:
        for table, block in blocks.items():
            self._insert(table, block)
        if memory:
            self._insert("memory", memory)

    def _insert(self, table: str, rows: Sequence[Row]) -> None:
        context = self._contexts.get(table)
        if context is None:
            columns = self._client.query(
                COLUMNS_SQL, parameters={"database": database(self._build), "table": table}
            ).result_rows
            context = self._contexts[table] = self._client.create_insert_context(
                table,
                database=database(self._build),
                column_names=[name for name, _ in columns],
                column_type_names=[type_name for _, type_name in columns],
            )
        context.data = rows
        self._client.insert(context=context)


def _memory(step: Step) -> list[Row]:
    """The rows of table `memory`: the cells that a projector needs, and the position."""
    topic, partition, changes = step
    tables = LEDGER_TABLES if topic == LEDGER_EVENTS else MATCHING_TABLES
    cseq = changes.upto.cseq
    rows: list[Row] = [
        (topic, partition, POSITION_CELL, table, pack(changes.upto), 0, cseq) for table in tables
    ]
    for (key, field), text in changes.cells.items():
        if not key.startswith(NOT_REMEMBERED):
            rows.append((topic, partition, key, field, text or "", int(text is None), cseq))
    return rows
