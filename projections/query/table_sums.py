"""Adds up tables of history block by block, and reads few rows again that have been added up.

The engine never changes a part of a table: what is inserted, merged or removed shows as a part that
was not there before. So what a part adds up to is kept for as long as the part is there. The last
block, which grows, is read each time, in the parts that have any of it.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from projections.history_sums import BLOCK, Sum, block_of, together
from projections.layout import COLUMNS_SQL
from projections.query.history import History

TRIES = 3
"""So many times parts are asked for that were merged into others meanwhile."""

_PARTS_SQL = """
    SELECT name, hash_of_all_files, rows FROM system.parts
    WHERE active AND database = {database:String} AND table = {table:String}
"""

Key = tuple[int, int]
"""Partition and block."""


class _Part(NamedTuple):
    """What tells a part from every other."""

    name: str
    content_hash: str
    rows: int


class StoredSums:
    """The sums of the current build's tables. Raises what `History.rows` raises."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._columns: dict[str, str] = {}
        self._known: dict[str, dict[_Part, dict[Key, Sum]]] = {}
        self._reading: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def exact(self, table: str, upto: Mapping[int, int]) -> dict[Key, Sum]:
        """The sums of all rows up to a sequence in each partition, each row counted once.

        It reads the whole table.
        """
        async with self._reading[table]:
            return await self._read(f"{table} FINAL", table, upto)

    async def quick(self, table: str, upto: Mapping[int, int]) -> dict[Key, Sum]:
        """The same from what is known of parts.

        A row that was stored twice counts twice until the engine has merged it.
        """
        # Whoever asks again, since the first answer takes long, shall not have it read twice.
        async with self._reading[table]:
            parts = await self._parts(table)
        if parts is None:
            return await self.exact(table, upto)
        last = {partition: block_of(cseq) for partition, cseq in upto.items()}
        found: dict[Key, Sum] = {}
        old = []
        for part, sums in parts.items():
            for (partition, block), more in sums.items():
                if block < last.get(partition, 0):
                    found[partition, block] = together(found.get((partition, block), ()), more)
            if all(block < last.get(partition, block + 1) for partition, block in sums):
                old.append(part.name)
        return found | await self._read(table, table, upto, last, old)

    async def _parts(self, table: str) -> dict[_Part, dict[Key, Sum]] | None:
        """What each part adds up to; None if parts come and go faster than they are read."""
        for _ in range(TRIES):
            listed = [_Part(*row) for row in await self._history.rows(_PARTS_SQL, table=table)]
            known = self._known.get(table, {})
            known = {part: known[part] for part in listed if part in known}
            if unknown := [part for part in listed if part not in known]:
                known |= await self._add_up(table, unknown)
            self._known[table] = known
            if len(known) == len(listed):
                return known
        return None

    async def _add_up(self, table: str, parts: Sequence[_Part]) -> dict[_Part, dict[Key, Sum]]:
        """What those of the parts add up to that are still there."""
        found = await self._history.rows(
            f"SELECT _part, partition, intDiv(cseq, {BLOCK}) AS block, count(), "
            f"{await self._sum(table)} FROM {{database:Identifier}}.{table} "
            "WHERE _part IN {parts:Array(String)} GROUP BY _part, partition, block",
            parts=[part.name for part in parts],
        )
        sums: dict[str, dict[Key, Sum]] = {}
        for name, partition, block, *each in found:
            sums.setdefault(name, {})[partition, block] = tuple(each)
        read = {part: sums.get(part.name, {}) for part in parts}
        return {
            part: blocks
            for part, blocks in read.items()
            if sum(each[0] for each in blocks.values()) == part.rows
        }

    async def _read(
        self,
        source: str,
        table: str,
        upto: Mapping[int, int],
        first: Mapping[int, int] | None = None,
        without: Collection[str] = (),
    ) -> dict[Key, Sum]:
        """The sums up to these sequences, from these blocks on, without rows of some parts."""
        if not upto:
            return {}
        found = await self._history.rows(
            f"SELECT partition, intDiv(cseq, {BLOCK}) AS block, count(), {await self._sum(table)} "
            f"FROM {{database:Identifier}}.{source} "
            f"WHERE ({' OR '.join(_within(upto, first or {}))}) "
            "AND NOT has({without:Array(String)}, _part) GROUP BY partition, block",
            without=list(without),
        )
        return {(partition, block): tuple(each) for partition, block, *each in found}

    async def _sum(self, table: str) -> str:
        """One sum per column; the tables are the same in every build that a process serves."""
        if table not in self._columns:
            found = await self._history.rows(COLUMNS_SQL, table=table)
            self._columns[table] = ", ".join(
                f"sum(toInt64(CRC32({name})))" if "String" in kind else f"sum(toInt64({name}))"
                for name, kind in found
            )
        return self._columns[table]


def _within(upto: Mapping[int, int], first: Mapping[int, int]) -> Iterator[str]:
    """Conditions on rows; numbers of our own, so that they may stand in the text."""
    for partition, cseq in sorted(upto.items()):
        begin = first.get(partition, 0) * BLOCK
        yield f"(partition = {partition} AND cseq BETWEEN {begin} AND {cseq})"
