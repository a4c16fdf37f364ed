"""Adds up tables of history block by block, and reads few rows again that have been added up.

The engine never changes a part of a table: what is inserted, merged or removed shows as a part that
was not there before. So what a part adds up to is kept for as long as the part is there. The last
block, which grows, is read each time, in the parts that have any of it.

A question costs the engine some 5 ms whatever it asks, and many times that where the processor is
short: so one lists the parts of all tables, and one per table reads rows.
"""

import asyncio
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from projections.history_sums import BLOCK, Sum, block_of, together
from projections.layout import COLUMNS_SQL
from projections.query.history import History

TRIES = 5
"""So many times parts are asked for that were merged into others meanwhile."""

_PARTS_SQL = """
    SELECT table, name, hash_of_all_files, rows FROM system.parts
    WHERE active AND database = {database:String} AND table IN {tables:Array(String)}
"""

Key = tuple[int, int]
"""Partition and block."""

Blocks = dict[Key, Sum]


class _Part(NamedTuple):
    """What tells a part from every other."""

    name: str
    content_hash: str
    rows: int


class _Known(NamedTuple):
    """What all rows of a part add up to, and the greatest sequence of each partition among them."""

    blocks: Blocks
    greatest: dict[int, int]


class _Read(NamedTuple):
    """What rows of a part add up to: all that were read, those up to the sequences asked for.

    And the greatest sequence of each partition among all that were read.
    """

    all: Blocks
    within: Blocks
    greatest: dict[int, int]


class StoredSums:
    """The sums of the current build's tables. Raises what `History.rows` raises."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._columns: dict[str, str] = {}
        self._known: dict[str, dict[_Part, _Known]] = {}
        self._reading: dict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def exact(self, table: str, upto: Mapping[int, int]) -> Blocks:
        """The sums of all rows up to a sequence in each partition, each row counted once.

        It reads the whole table.
        """
        found = await self._history.rows(
            f"SELECT partition, intDiv(cseq, {BLOCK}) AS block, count(), {await self._sum(table)} "
            f"FROM {{database:Identifier}}.{table} FINAL WHERE {_rows('<=', upto)} "
            "GROUP BY partition, block"
        )
        return {(partition, block): tuple(each) for partition, block, *each in found}

    async def quick(self, tables: Collection[str], upto: Mapping[int, int]) -> dict[str, Blocks]:
        """The same of several tables, from what is known of parts.

        A row that was stored twice counts twice until the engine has merged it.
        """
        parts = await self._list(tables)
        found = {}
        for table in tables:
            # Whoever asks again, since the first answer takes long, shall not have it read twice.
            async with self._reading[table]:
                found[table] = await self._quick(table, parts[table], upto)
        return found

    def greatest(self, table: str) -> dict[int, int]:
        """By partition, the greatest sequence in the parts that `quick` has found there last.

        All rows count, of whichever partition and beyond whatever was asked for.
        """
        found: dict[int, int] = {}
        for known in self._known.get(table, {}).values():
            for partition, cseq in known.greatest.items():
                found[partition] = max(cseq, found.get(partition, cseq))
        return found

    async def _quick(self, table: str, parts: Sequence[_Part], upto: Mapping[int, int]) -> Blocks:
        last = {partition: block_of(cseq) for partition, cseq in upto.items()}
        for _ in range(TRIES):
            before = self._known.get(table, {})
            known = {part: before[part] for part in parts if part in before}
            rows = {part: part.rows for part in parts if part not in known}
            recent = {part: _recent_rows(each.blocks, last) for part, each in known.items()}
            rows |= {part: count for part, count in recent.items() if count}
            read = await self._read(table, rows, known, upto)
            fresh = {part: _Known(each.all, each.greatest) for part, each in read.items()}
            self._known[table] = fresh | known
            if len(read) == len(rows):
                old = [_before(each.blocks, last) for each in known.values()]
                return _together([*old, *(each.within for each in read.values())])
            parts = (await self._list([table]))[table]
        # They come and go faster than they are read.
        return await self.exact(table, upto)

    async def _list(self, tables: Collection[str]) -> dict[str, list[_Part]]:
        parts: dict[str, list[_Part]] = {table: [] for table in tables}
        for table, *part in await self._history.rows(_PARTS_SQL, tables=list(tables)):
            parts[table].append(_Part(*part))
        return parts

    async def _read(
        self,
        table: str,
        rows: Mapping[_Part, int],
        known: Collection[_Part],
        upto: Mapping[int, int],
    ) -> dict[_Part, _Read]:
        """What so many rows of each part add up to, of those parts that are still there.

        These are all rows of a part, or those of the last blocks, if it is known.
        """
        if not rows:
            return {}
        recent = {partition: block_of(cseq) * BLOCK for partition, cseq in upto.items()}
        found = await self._history.rows(
            f"SELECT _part, partition, intDiv(cseq, {BLOCK}) AS block, "
            f"{_rows('<=', upto)} AS within, max(cseq), count(), {await self._sum(table)} "
            f"FROM {{database:Identifier}}.{table} WHERE _part IN {{parts:Array(String)}} "
            f"AND (NOT has({{known:Array(String)}}, _part) OR {_rows('>=', recent)}) "
            "GROUP BY _part, partition, block, within",
            parts=[part.name for part in rows],
            known=[part.name for part in known],
        )
        read = {part.name: _Read({}, {}, {}) for part in rows}
        for name, partition, block, within, cseq, *each in found:
            greatest = read[name].greatest
            greatest[partition] = max(cseq, greatest.get(partition, cseq))
            for blocks in (read[name].all, read[name].within)[: 2 if within else 1]:
                blocks[partition, block] = together(blocks.get((partition, block), ()), tuple(each))
        return {
            part: read[part.name]
            for part, count in rows.items()
            if sum(each[0] for each in read[part.name].all.values()) == count
        }

    async def _sum(self, table: str) -> str:
        """One sum per column; the tables are the same in every build that a process serves."""
        if table not in self._columns:
            found = await self._history.rows(COLUMNS_SQL, table=table)
            self._columns[table] = ", ".join(
                f"sum(toInt64(CRC32({name})))" if "String" in kind else f"sum(toInt64({name}))"
                for name, kind in found
            )
        return self._columns[table]


def _recent_rows(blocks: Blocks, last: Mapping[int, int]) -> int:
    """How many rows a part has in the last blocks and behind them."""
    return sum(each[0] for (p, block), each in blocks.items() if block >= last.get(p, block + 1))


def _before(blocks: Blocks, last: Mapping[int, int]) -> Blocks:
    """What a part has before the last blocks, of the partitions that these are of."""
    return {(p, block): each for (p, block), each in blocks.items() if block < last.get(p, 0)}


def _together(parts: Sequence[Blocks]) -> Blocks:
    found: Blocks = {}
    for blocks in parts:
        for key, more in blocks.items():
            found[key] = together(found.get(key, ()), more)
    return found


def _rows(sign: str, cseqs: Mapping[int, int]) -> str:
    """A condition on rows; numbers of our own, so that they may stand in the text."""
    each = (f"(partition = {p} AND cseq {sign} {cseq})" for p, cseq in sorted(cseqs.items()))
    return f"({' OR '.join(each)})"
