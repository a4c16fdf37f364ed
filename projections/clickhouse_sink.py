"""Stores history in ClickHouse: one block per table for all steps, and the positions last.

A block costs the engine 4 ms of processor whatever its size, hence few and large ones. A crash
between two blocks leaves rows beyond the positions. They are written again, with the same keys, so
that reads with FINAL count each once. The projectors' cells and the positions are one block: it is
stored whole or not at all.
"""

from collections.abc import Mapping, Sequence
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

    When another build becomes the current one, the next apply of each partition answers GAP and
    its next load tells where that build stands.
    """

    name = "clickhouse"
    pause_s = 0.1

    def __init__(self, client: ClickHouseClient, build: str | None = None) -> None:
        self._client = client
        self._wanted = build
        self._build = ""
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
        build = self._build if self._wanted is not None else named_build(self._client)
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
            if self._wanted is not None or named_build(self._client) == build:
                raise
            # The build was replaced and removed meanwhile.
            return [Verdict.GAP] * len(steps)
        return verdicts

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _choose_build(self) -> None:
        build = self._wanted or current_build(self._client)
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
