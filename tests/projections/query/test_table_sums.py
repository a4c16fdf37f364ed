"""What a table adds up to from its parts is what its rows add up to, whatever happened to these."""

from collections.abc import AsyncIterator, Sequence
from random import Random
from typing import Any

import pytest
import pytest_asyncio

from infra.clickhouse import clickhouse_client
from projections import layout
from projections.history_sums import BLOCK, Sum, TableSums, block_of
from projections.query.history import History
from projections.query.table_sums import TRIES, Key, StoredSums
from tests.projections.query.world import BUILD, Store

pytestmark = pytest.mark.integration
TRADES = f"{layout.database(BUILD)}.trades"
AT_ONCE = {"mutations_sync": 2}

Row = tuple[int, ...]


class Told(History):
    """History that remembers what it was asked, and calls `before_read` before parts are read."""

    def __init__(self, store: Store) -> None:
        super().__init__(lambda: clickhouse_client(store.dsn))
        self.asked: list[str] = []
        self.before_read = lambda: None

    async def rows(self, sql: str, **parameters: object) -> Sequence[Sequence[Any]]:
        self.asked.append(sql)
        if "_part IN" in sql:
            self.before_read()
        return await super().rows(sql, **parameters)

    def read_parts(self) -> int:
        """How often rows of parts were read since the last time this was asked."""
        count = sum("_part IN" in sql for sql in self.asked)
        self.asked.clear()
        return count


@pytest_asyncio.fixture
async def history(store: Store) -> AsyncIterator[Told]:
    told = Told(store)
    yield told
    await told.stop()
    store.filled.add("trades")
    store.empty()


def trade(partition: int, cseq: int) -> Row:
    return (partition, cseq, 0, cseq * 1_000, 1 + partition, cseq, 7, 3, 21, 0, 1, 2)


def expected(rows: Sequence[Row], upto: dict[int, int]) -> dict[Key, Sum]:
    """Each row once, as the auditor's fold adds them up."""
    found: dict[Key, Sum] = {}
    for partition, cseq in upto.items():
        sums = TableSums()
        sums.add([row for row in set(rows) if row[0] == partition and row[1] <= cseq], 1)
        found |= {(partition, block): each for block, each in sums.blocks.items()}
    return found


@pytest.mark.parametrize("seed", range(3))
async def test_parts_add_up_to_what_the_rows_add_up_to(store, history, seed):
    rng, sums = Random(seed), StoredSums(history)
    rows: list[Row] = []
    stored = {0: 0, 1: 0}
    for _ in range(25):
        step = rng.random()
        if step < 0.6 or not rows:
            more = []
            for partition in stored:
                end = stored[partition] + rng.randint(1, BLOCK)
                more += [trade(partition, n) for n in range(stored[partition] + 1, end, 3)]
                stored[partition] = end
            store.insert("trades", more)
            rows += more
        elif step < 0.75:
            store.client.command(f"OPTIMIZE TABLE {TRADES} FINAL")
        else:
            gone = rng.choice(rows)
            condition = f"partition = {gone[0]} AND cseq = {gone[1]}"
            store.client.command(f"ALTER TABLE {TRADES} DELETE WHERE {condition}", settings=AT_ONCE)
            rows = [row for row in rows if row != gone]
        upto = {p: rng.randint(max(1, last - BLOCK), last) for p, last in stored.items()}
        assert await sums.quick(["trades"], upto) == {"trades": expected(rows, upto)}
        assert await sums.exact("trades", upto) == expected(rows, upto)


async def test_a_part_is_read_once_for_as_long_as_it_is_there(store, history):
    sums, upto = StoredSums(history), {0: 3 * BLOCK}
    store.insert("trades", [trade(0, n) for n in range(1, 3 * BLOCK)])
    first = (await sums.quick(["trades"], upto))["trades"]
    assert history.read_parts() == 1
    assert (await sums.quick(["trades"], upto))["trades"] == first
    assert history.read_parts() == 0
    where = "cseq = 5"
    store.client.command(f"ALTER TABLE {TRADES} DELETE WHERE {where}", settings=AT_ONCE)
    assert (await sums.quick(["trades"], upto))["trades"][0, 0][0] == first[0, 0][0] - 1
    assert history.read_parts() == 1


async def test_the_greatest_sequence_of_any_partition_is_known_for_as_long_as_the_row_is_there(
    store, history
):
    sums, upto = StoredSums(history), {0: 50}
    store.insert("trades", [trade(0, n) for n in range(1, 2 * BLOCK)])
    await sums.quick(["trades"], upto)
    assert sums.greatest("trades") == {0: 2 * BLOCK - 1}
    store.insert("trades", [(0, 1 << 60, 0, *trade(0, 3)[3:]), trade(7, 3), trade(-1, -5)])
    for _ in range(2):
        await sums.quick(["trades"], upto)
        assert sums.greatest("trades") == {0: 1 << 60, 7: 3, -1: -5}
    where = f"cseq = {1 << 60} OR partition != 0"
    store.client.command(f"ALTER TABLE {TRADES} DELETE WHERE {where}", settings=AT_ONCE)
    await sums.quick(["trades"], upto)
    assert sums.greatest("trades") == {0: 2 * BLOCK - 1}


async def test_a_row_that_was_stored_twice_counts_twice_until_it_is_merged(store, history):
    sums, upto = StoredSums(history), {0: 2 * BLOCK}
    rows = [trade(0, n) for n in range(1, 2 * BLOCK)]
    store.client.command(f"SYSTEM STOP MERGES {TRADES}")
    try:
        store.insert("trades", rows)
        store.insert("trades", rows[:100])
        wanted = expected(rows, upto)
        found = (await sums.quick(["trades"], upto))["trades"]
        assert found[0, 0][0] == wanted[0, 0][0] + 100
        assert await sums.exact("trades", upto) == wanted
    finally:
        store.client.command(f"SYSTEM START MERGES {TRADES}")
    store.client.command(f"OPTIMIZE TABLE {TRADES} FINAL")
    assert (await sums.quick(["trades"], upto))["trades"] == wanted


@pytest.mark.parametrize("times", [1, 2, TRIES])
async def test_parts_that_are_merged_before_they_are_read_are_asked_for_again(
    store, history, times
):
    rows = [trade(0, n) for n in range(1, BLOCK + 50)]

    def merge() -> None:
        nonlocal times
        if times:
            times -= 1
            row = trade(0, BLOCK + 50 + times)
            rows.append(row)
            store.insert("trades", [row])
            store.client.command(f"OPTIMIZE TABLE {TRADES} FINAL")

    store.insert("trades", rows)
    history.before_read = merge
    upto = {0: BLOCK + 49}
    assert block_of(upto[0]) == 1
    found = await StoredSums(history).quick(["trades"], upto)
    assert found == {"trades": expected(rows, upto)}
