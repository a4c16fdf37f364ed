"""Waiting for a view: one reader for all, patience, and positions as text."""

import asyncio
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.http import errors
from infra.http.errors import ApiError
from infra.redis import AsyncRedis
from projections.layout import Position
from projections.query.freshness import (
    PositionWatch,
    Target,
    format_positions,
    parse_positions,
)
from projections.query.live import LiveViews

LEDGER_0 = ("ledger.ev", 0)


class FakeView:
    """A view that moves one record at each look, and can be away."""

    def __init__(self) -> None:
        self.looks = 0
        self.away = 0

    async def positions(self):
        self.looks += 1
        if self.away:
            self.away -= 1
            raise errors.view_behind()
        return {LEDGER_0: Position(self.looks, self.looks, self.looks)}


def in_s(seconds: float) -> float:
    return asyncio.get_running_loop().time() + seconds


async def test_all_waiters_share_one_reader():
    view = FakeView()
    watch = PositionWatch(view.positions, 0.001)
    found = await asyncio.gather(
        *(watch.reach(LEDGER_0, Target(cseq=20), in_s(2)) for _ in range(500))
    )
    assert {position.cseq for position in found} == {20}
    await asyncio.sleep(0.02)
    assert view.looks <= 21, "nobody waits any more, so nobody looks"


async def test_each_waiter_gets_its_own_target():
    watch = PositionWatch(FakeView().positions, 0.001)
    targets = [Target(cseq=3), Target(offset=5), Target(time_us=9)]
    found = await asyncio.gather(*(watch.reach(LEDGER_0, each, in_s(2)) for each in targets))
    assert [position.cseq for position in found] == [3, 5, 9]


async def test_a_store_that_was_away_is_asked_again():
    view = FakeView()
    view.away = 5
    watch = PositionWatch(view.positions, 0.001)
    assert (await watch.reach(LEDGER_0, Target(cseq=1), in_s(2))).cseq == 6


async def test_patience_ends():
    watch = PositionWatch(FakeView().positions, 0.001)
    with pytest.raises(ApiError) as refused:
        await watch.reach(("ledger.ev", 7), Target(cseq=1), in_s(0.02))
    assert (refused.value.status, refused.value.code) == (503, -1008)
    await watch.stop()


class HangingRedis:
    """Takes every question and answers none."""

    def pipeline(self, *, transaction):
        return self

    def get(self, key):
        pass

    def hmget(self, key, fields):
        pass

    async def execute(self):
        await asyncio.sleep(3_600)


async def test_patience_ends_with_a_redis_that_hangs_too():
    views = LiveViews(cast(AsyncRedis, HangingRedis()), lambda: [LEDGER_0])
    async with asyncio.timeout(5):
        with pytest.raises(ApiError) as refused:
            await views.read({LEDGER_0: Target(cseq=1)}, [], in_s(0.02))
    assert (refused.value.status, refused.value.code) == (503, -1008)


partitions = st.tuples(
    st.sampled_from(["ledger.ev", "matching.ev", "accounts.ev"]), st.integers(0, 999)
)


@given(st.dictionaries(partitions, st.integers(0, 10**17)))
def test_positions_are_read_as_they_are_written(wanted):
    positions = {each: Position(cseq, cseq + 5, 0) for each, cseq in wanted.items()}
    assert parse_positions(format_positions(positions)) == wanted


@pytest.mark.parametrize("text", ["ledger.ev.0", "ledger.ev.0@-1", "ledger.in.0@1", "x", "0@0"])
def test_anything_else_is_no_position(text):
    with pytest.raises(ApiError) as refused:
        parse_positions(text)
    assert refused.value.code == -1130
