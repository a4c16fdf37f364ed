"""Stores history in ClickHouse: one block per table for all steps, and the positions last.

A block costs the engine 4 ms of processor whatever its size, hence few and large ones. The
projectors' cells are needed after a restart only: they wait here, the last text of each, and are
stored every two seconds, as one block with the position they belong to.

A crash leaves rows beyond the positions, and positions beyond that of the cells. A restart goes on
from the cells: what lies between is written again, with the same keys, so that reads with FINAL
count each row once, and a position never goes back.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic
from typing import Any

from infra.buggify import buggify
from infra.clickhouse import ClickHouseClient, ClickHouseError
from infra.log import Partition
from infra.logging import get_logger
from projections.changes import Cells, Row
from projections.clickhouse_builds import current_build, make_build, named_build
from projections.layout import (
    COLUMNS_SQL,
    FED_TABLES,
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

REMEMBER_EVERY_S = 2.0
"""How often cells are stored: a restart folds so much again, beside what it would anyway."""

MOST_WAITING = 50_000
"""Cells that wait to be stored; beyond it they are stored at once. About 20 MB."""

CLEAN_AFTER = 100_000
"""Cells that went, and as many as stay, before the engine is told to forget those that went."""

INSERT_SETTINGS = {"max_threads": 1}
"""A block is small: handing it to other threads takes an eighth more processor than it saves."""

LOAD_SQL = """
    SELECT cell, field, text FROM {database:Identifier}.memory FINAL
    WHERE topic = {topic:String} AND partition = {partition:Int32}
"""
CLEAN_SQL = (
    "ALTER TABLE {database:Identifier}.memory "
    "MODIFY SETTING allow_experimental_replacing_merge_with_cleanup = 1",
    "OPTIMIZE TABLE {database:Identifier}.memory FINAL CLEANUP",
)
COUNT_SQL = "SELECT count() FROM {database:Identifier}.memory"
GONE_SQL = COUNT_SQL + " WHERE gone"
REACHED_SQL = """
    SELECT cseq, offset, time_us FROM {database:Identifier}.positions FINAL
    WHERE topic = {topic:String} AND partition = {partition:Int32}
"""


_logger = get_logger("projections")


@dataclass(slots=True)
class _Waiting:
    """Cells of one partition that are not stored yet, and the position they belong to."""

    upto: Position = NOWHERE
    cells: dict[tuple[str, str], str | None] = field(default_factory=dict)


class ClickHouseSink:
    """History in the current build, or in `build` while it is under construction.

    When another build becomes the current one, each partition's apply answers GAP within a second
    and its next load tells where that build stands. So it does where the partition itself stands
    elsewhere than the step begins: cells would be stored with the position of earlier ones.

    A cell that went leaves a row that says so. Who writes `alone` has these removed; where another
    process may still send an old block, they must stay, or that block would bring a cell back.
    """

    name = "clickhouse"
    pause_s = 0.1

    def __init__(
        self,
        client: ClickHouseClient,
        build: str | None = None,
        monotonic_s: Callable[[], float] = monotonic,
        *,
        alone: bool = False,
    ) -> None:
        self._client = client
        self._alone = alone
        self._gone = 0
        self._clean_after = CLEAN_AFTER
        self._wanted = build
        self._monotonic_s = monotonic_s
        self._build = ""
        # The build that readers read, as it was when it was last asked for.
        self._named = ""
        self._named_s = 0.0
        # Which build each partition was loaded from, and the sequence at which it stands there.
        self._stands: dict[Partition, tuple[str, int]] = {}
        self._waiting: dict[Partition, _Waiting] = {}
        # The first apply stores cells, so that a process that lives for a moment gets further.
        self._remember_s = 0.0
        self._contexts: dict[str, Any] = {}
        self._choose_build()

    def load(self, topic: str, partition: int) -> tuple[Position, Cells]:
        """The position of the partition's cells, and these, from which its projector goes on."""
        self._choose_build()
        self.remember()
        position = NOWHERE
        cells: dict[str, dict[str, str]] = {}
        for cell, name, text in self._rows_of(LOAD_SQL, topic, partition):
            if cell == POSITION_CELL:
                # A former version wrote one for each table. None stands for good but the greatest.
                position = max(position, unpack(Position, text))
            else:
                cells.setdefault(cell, {})[name] = text
        self._stands[topic, partition] = (self._build, position.cseq)
        return position, cells

    def reached(self, topic: str, partition: int) -> Position:
        """How far tables have got, which a load may have to do once more."""
        found = self._rows_of(REACHED_SQL, topic, partition)
        return max((Position(*row) for row in found), default=NOWHERE)

    def apply(self, steps: Sequence[Step]) -> list[Verdict]:
        """Store the rows of all steps, then the positions, and now and then the cells."""
        build = self._current()
        # A partition that went on from another build would leave a hole in this one. One that was
        # loaded while steps of its former follower waited may have gone on without the new one.
        ours = [
            self._stands[topic, partition] == (build, changes.after.cseq)
            for topic, partition, changes in steps
        ]
        if build != self._build or not any(ours):
            return [Verdict.GAP] * len(steps)
        applied = [step for step, is_ours in zip(steps, ours, strict=True) if is_ours]
        try:
            for table, block in _blocks(applied).items():
                self._insert(table, block)
            self._keep(applied)
            if self._is_time_to_remember():
                self.remember()
        except ClickHouseError:
            if self._wanted is not None or self._asked() == build:
                raise
            # The build was replaced and removed meanwhile.
            return [Verdict.GAP] * len(steps)
        return [Verdict.APPLIED if is_ours else Verdict.GAP for is_ours in ours]

    def remember(self) -> None:
        """Store the cells that wait, each partition's with their position: all of them or none."""
        rows: list[Row] = []
        gone = 0
        for (topic, partition), waiting in self._waiting.items():
            cseq = waiting.upto.cseq
            gone += sum(text is None for text in waiting.cells.values())
            rows.append((topic, partition, POSITION_CELL, "", pack(waiting.upto), 0, cseq))
            for (key, name), text in waiting.cells.items():
                rows.append((topic, partition, key, name, text or "", int(text is None), cseq))
        if not rows:
            return
        self._insert("memory", rows)
        self._waiting.clear()
        self._remember_s = self._monotonic_s() + REMEMBER_EVERY_S
        self._gone += gone
        if self._alone and self._gone >= self._clean_after:
            self._clean()

    def close(self) -> None:
        """Store the cells that wait, if that can be done, and give the connection back."""
        try:
            with suppress(ClickHouseError):
                self.remember()
        finally:
            self._client.close()

    def _keep(self, steps: Sequence[Step]) -> None:
        """Let the cells of steps whose rows are stored wait, the last text of each."""
        for topic, partition, changes in steps:
            waiting = self._waiting.setdefault((topic, partition), _Waiting())
            waiting.upto = changes.upto
            self._stands[topic, partition] = (self._build, changes.upto.cseq)
            for cell, text in changes.cells.items():
                if not cell[0].startswith(NOT_REMEMBERED):
                    waiting.cells[cell] = text

    def _is_time_to_remember(self) -> bool:
        if sum(len(waiting.cells) for waiting in self._waiting.values()) > MOST_WAITING:
            return True
        return self._monotonic_s() >= self._remember_s or buggify("cells now")

    def _clean(self) -> None:
        names = {"database": database(self._build)}
        try:
            for statement in CLEAN_SQL:
                self._client.command(statement, parameters=names)
        except ClickHouseError as error:
            # What had to be stored is stored.
            _logger.warning("rows of cells that went are not removed", why=str(error))
        self._gone, self._clean_after = 0, max(CLEAN_AFTER, self._count(COUNT_SQL))

    def _count(self, sql: str) -> int:
        names = {"database": database(self._build)}
        return int(self._client.query(sql, parameters=names).result_rows[0][0])

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
            self._gone = self._count(GONE_SQL) if self._alone else 0
            self._contexts.clear()
            # They go on from the build that was replaced, perhaps further than this one stands.
            self._waiting.clear()

    def _rows_of(self, sql: str, topic: str, partition: int) -> Sequence[Sequence[Any]]:
        names = {"database": database(self._build), "topic": topic, "partition": partition}
        found: Sequence[Sequence[Any]] = self._client.query(sql, parameters=names).result_rows
        return found

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
                settings=INSERT_SETTINGS,
            )
        context.data = rows
        self._client.insert(context=context)


def _blocks(steps: Sequence[Step]) -> dict[str, list[Row]]:
    """The rows of each table, and last where all the tables of the steps' partitions stand then."""
    blocks: dict[str, list[Row]] = {}
    positions: list[Row] = []
    for topic, partition, changes in steps:
        for table, rows in changes.rows.items():
            blocks.setdefault(table, []).extend(rows)
        fed = FED_TABLES[topic]
        positions += [(table, topic, partition, *changes.upto) for table in fed]
    return {**blocks, "positions": positions}
