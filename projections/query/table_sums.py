"""Adds up tables of history block by block, and reads few rows again that have been added up.

The engine never changes a part of a table: what is inserted, merged or removed shows as a part that
was not there before. So what a part adds up to is kept for as long as the part is there. Parts that
have any of the last block, which grows, are read each time, with those that are new.

A question costs the engine some 5 ms whatever it asks, and many times that where the processor is
short: so one lists the parts of all tables, and one per table reads rows.
"""

import asyncio
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


class _Read(NamedTuple):
    """What a part's rows add up to: all of them, and those up to the sequences asked for."""

    all: Blocks
    within: Blocks


class StoredSums:
    """The sums of the current build's tables. Raises what `History.rows` raises."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._columns: dict[str, str] = {}
        self._known: dict[str, dict[_Part, Blocks]] = {}
        self._reading = asyncio.Lock()

    async def exact(self, table: str, upto: Mapping[int, int]) -> Blocks:
        """The sums of all rows up to a sequence in each partition, each row counted once.

        It reads the whole table.
        """
        async with self._reading:
            return await self._exact(table, upto)

    async def quick(self, tables: Collection[str], upto: Mapping[int, int]) -> dict[str, Blocks]:
        """The same of several tables, from what is known of parts.

        A row that was stored twice counts twice until the engine has merged it.
        """
        # Whoever asks again, since the first answer takes long, shall not have it read twice.
        async with self._reading:
            parts = await self._list(tables)
            return {table: await self._quick(table, parts[table], upto) for table in tables}

    async def _exact(self, table: str, upto: Mapping[int, int]) -> Blocks:
        found = await self._history.rows(
            f"SELECT partition, intDiv(cseq, {BLOCK}) AS block, count(), {await self._sum(table)} "
            f"FROM {{database:Identifier}}.{table} FINAL WHERE {_within(upto)} "
            "GROUP BY partition, block"
        )
        return {(partition, block): tuple(each) for partition, block, *each in found}

    async def _quick(self, table: str, parts: Sequence[_Part], upto: Mapping[int, int]) -> Blocks:
        last = {partition: block_of(cseq) for partition, cseq in upto.items()}
        for _ in range(TRIES):
            known = self._known.get(table, {})
            old = {part: known[part] for part in parts if _is_old(known.get(part), last)}
            young = [part for part in parts if part not in old]
            read = await self._read(table, young, upto)
            self._known[table] = old | {part: each.all for part, each in read.items()}
            if len(read) == len(young):
                return _together([*old.values(), *(each.within for each in read.values())], last)
            parts = (await self._list([table]))[table]
        # They come and go faster than they are read.
        return await self._exact(table, upto)

    async def _list(self, tables: Collection[str]) -> dict[str, list[_Part]]:
        parts: dict[str, list[_Part]] = {table: [] for table in tables}
        for table, *part in await self._history.rows(_PARTS_SQL, tables=list(tables)):
            parts[table].append(_Part(*part))
        return parts

    async def _read(
        self, table: str, parts: Sequence[_Part], upto: Mapping[int, int]
    ) -> dict[_Part, _Read]:
        """What those of the parts add up to that are still there."""
        if not parts:
            return {}
        found = await self._history.rows(
            f"SELECT _part, partition, intDiv(cseq, {BLOCK}) AS block, {_within(upto)} AS within, "
            f"count(), {await self._sum(table)} FROM {{database:Identifier}}.{table} "
            "WHERE _part IN {parts:Array(String)} GROUP BY _part, partition, block, within",
            parts=[part.name for part in parts],
        )
        read = {part.name: _Read({}, {}) for part in parts}
        for name, partition, block, within, *each in found:
            for blocks in read[name] if within else read[name][:1]:
                blocks[partition, block] = together(blocks.get((partition, block), ()), tuple(each))
        return {
            part: read[part.name]
            for part in parts
            if sum(each[0] for each in read[part.name].all.values()) == part.rows
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


def _is_old(blocks: Blocks | None, last: Mapping[int, int]) -> bool:
    """Whether a part is known that has nothing of a last block, nor of what is behind one."""
    return blocks is not None and all(
        block < last.get(partition, block + 1) for partition, block in blocks
    )


def _together(parts: Sequence[Blocks], last: Mapping[int, int]) -> Blocks:
    """What parts add up to in the partitions that were asked for."""
    found: Blocks = {}
    for blocks in parts:
        for key, more in blocks.items():
            if key[0] in last:
                found[key] = together(found.get(key, ()), more)
    return found


def _within(upto: Mapping[int, int]) -> str:
    """A condition on rows; numbers of our own, so that they may stand in the text."""
    each = (f"(partition = {p} AND cseq <= {cseq})" for p, cseq in sorted(upto.items()))
    return f"({' OR '.join(each)})"
