"""A query process that starts while views are built again does not tell of the past."""

import asyncio

import pytest

from projections.intervals import MINUTE_US
from projections.layout import CLOSED_ORDERS, Position, feeding_partitions
from tests.projections.query.patience import impatient
from tests.projections.query.world import (
    ALICE,
    BTCUSDT,
    ETHBTC,
    T0_US,
    closed,
    signed,
    trade,
)

MARKET = ("matching.ev", BTCUSDT % 2)
OTHER_MARKET = ("matching.ev", ETHBTC % 2)
LEDGER = ("ledger.ev", ALICE % 2)

OF_MARKET = (
    "/api/v3/depth?symbol=BTCUSDT",
    "/api/v3/trades?symbol=BTCUSDT",
    "/api/v3/klines?symbol=BTCUSDT&interval=1m",
    "/api/v3/ticker/price",
    "/x/v1/risk/markets/BTCUSDT",
    f"/x/v1/risk/users/{ALICE}",
)
OF_ACCOUNT = (
    "/api/v3/account",
    "/api/v3/openOrders",
    "/api/v3/allOrders?symbol=BTCUSDT",
    f"/x/v1/risk/users/{ALICE}",
)
FROM_TRADES = (
    "/api/v3/historicalTrades?symbol=BTCUSDT&fromId=1",
    "/api/v3/aggTrades?symbol=BTCUSDT&fromId=1",
    f"/api/v3/aggTrades?symbol=BTCUSDT&endTime={T0_US // 1_000}",
)
FROM_ACCOUNT_TABLES = (
    "/api/v3/myTrades?symbol=BTCUSDT",
    "/sapi/v1/capital/deposit/hisrec",
    "/sapi/v1/capital/withdraw/history",
)
OF_OTHER_MARKET = ("/api/v3/depth?symbol=ETHBTC", "/api/v3/ticker/price?symbol=ETHBTC")


@pytest.fixture
async def api(world):
    """It began when each partition held a hundred records."""
    world.told_at_start.update(dict.fromkeys(world.positions, 100))
    client = await world.start()
    yield client
    await client.close()


async def statuses(api, paths):
    """Of reads, at once, of a client who is content with what he knew long ago."""
    sent = signed(ALICE) | {"X-Log-Min-Position": "ledger.ev.0@1;matching.ev.0@1"}
    answers = await asyncio.gather(*(api.get(path, headers=sent) for path in paths))
    return {answer.status for answer in answers}


async def statuses_soon(api, paths):
    """Of reads that do not wait for long."""
    with impatient():
        return await statuses(api, paths)


async def stand_at(world, partition, cseq):
    await world.advance(partition, Position(cseq, cseq - 1, T0_US))


async def test_markets_are_not_shown_as_they_were(world, api):
    await stand_at(world, MARKET, 60)
    assert await statuses_soon(api, OF_MARKET) == {503}
    await stand_at(world, MARKET, 99)
    assert await statuses_soon(api, OF_MARKET) == {503}
    await stand_at(world, MARKET, 100)
    assert await statuses(api, OF_MARKET) == {200}


async def test_accounts_are_not_shown_as_they_were(world, api):
    await stand_at(world, LEDGER, 60)
    assert await statuses_soon(api, OF_ACCOUNT) == {503}
    await stand_at(world, LEDGER, 100)
    assert await statuses(api, OF_ACCOUNT) == {200}


async def test_an_account_does_not_go_back_behind_what_was_told(world, api):
    await stand_at(world, LEDGER, 130)
    world.ends[LEDGER] = 130
    assert await statuses(api, OF_ACCOUNT) == {200}
    await stand_at(world, LEDGER, 110)
    assert await statuses_soon(api, OF_ACCOUNT) == {503}


async def test_a_partition_that_does_not_get_there_holds_up_no_other(world, api):
    """As one does whose log lacks a record."""
    await stand_at(world, MARKET, 60)
    assert await statuses_soon(api, OF_MARKET[:1]) == {503}
    assert await statuses(api, (*OF_OTHER_MARKET, *OF_ACCOUNT[:-1])) == {200}


async def test_what_comes_later_is_not_waited_for(world, api):
    world.ends[MARKET] = 10_000
    assert await statuses(api, OF_MARKET) == {200}


async def test_a_wrong_position_is_forgotten_but_not_where_the_log_ended(world, api):
    await world.advance(MARKET, Position(300, 299, T0_US))
    assert await statuses(api, OF_MARKET[:1]) == {200}
    await stand_at(world, MARKET, 60)
    for _ in range(3):
        assert await statuses_soon(api, OF_MARKET[:1]) == {503}
    await stand_at(world, MARKET, 100)
    assert await statuses(api, OF_MARKET[:1]) == {200}


async def test_nothing_live_is_told_before_the_ends_are_known(world, api):
    ends = dict(world.told_at_start)
    world.told_at_start.clear()
    assert await statuses_soon(api, {*OF_MARKET, *OF_ACCOUNT, *OF_OTHER_MARKET}) == {503}
    assert await statuses_soon(api, ["/health/ready"]) == {503}
    assert await statuses(api, ["/api/v3/exchangeInfo", "/x/v1/positions"]) == {200}
    world.told_at_start.update(ends)
    assert await statuses(api, {*OF_MARKET, *OF_ACCOUNT, *OF_OTHER_MARKET}) == {200}
    assert await statuses(api, ["/health/ready"]) == {200}


async def test_an_empty_log_is_read_at_once(world, api):
    world.told_at_start.update(dict.fromkeys(feeding_partitions(2, 2), 0))
    await world.redis.flushall()
    assert {(await api.get(path)).status for path in OF_MARKET[:-1]} == {200}


def history_stands_at(world, partition, cseq):
    """History is filled again from one partition, a record a minute, and Redis has all."""
    world.store.empty()
    at = {partition: Position(cseq, cseq - 1, T0_US - (100 - cseq) * MINUTE_US)}
    world.advance_history(world.positions | at)


@pytest.mark.parametrize(
    ("partition", "paths"), [(MARKET, FROM_TRADES), (LEDGER, FROM_ACCOUNT_TABLES)]
)
async def test_history_is_not_shown_as_it_was(world, api, partition, paths):
    for cseq in (60, 99):
        history_stands_at(world, partition, cseq)
        assert await statuses_soon(api, paths) == {503}
    history_stands_at(world, partition, 100)
    assert await statuses(api, paths) == {200}


async def test_history_that_is_filled_again_holds_up_nothing_else(world, api):
    history_stands_at(world, MARKET, 60)
    live = {*OF_MARKET, *OF_ACCOUNT}
    assert await statuses(api, {*live, "/health/ready", "/x/v1/positions"}) == {200}


async def test_candles_need_history_as_far_as_they_are_made_of_it(world, api):
    await world.trade(BTCUSDT, [trade(1, T0_US - 30 * MINUTE_US), trade(2, T0_US)])
    asked = "/api/v3/klines?symbol=BTCUSDT&interval=1m"
    before = f"{asked}&endTime={(T0_US - 30 * MINUTE_US) // 1_000}"
    history_stands_at(world, MARKET, 60)
    assert await statuses_soon(api, [asked]) == {503}
    assert await statuses_soon(api, [before]) == {503}
    history_stands_at(world, MARKET, 80)
    assert await statuses_soon(api, [asked]) == {503}
    assert await statuses(api, [before]) == {200}


async def test_orders_need_history_only_where_redis_forgot_some(world, api):
    history_stands_at(world, LEDGER, 60)
    await world.put_order(closed(1, cseq=70))
    asked = "/api/v3/allOrders?symbol=BTCUSDT"
    assert await statuses(api, [asked]) == {200}
    for number in range(2, CLOSED_ORDERS + 1):
        await world.put_order(closed(number, cseq=70))
    assert await statuses_soon(api, [asked]) == {503}
    history_stands_at(world, LEDGER, 70)
    assert await statuses(api, [asked]) == {200}


async def test_history_is_not_told_before_the_ends_are_known(world, api):
    ends = dict(world.told_at_start)
    world.told_at_start.clear()
    assert await statuses_soon(api, {*FROM_TRADES, *FROM_ACCOUNT_TABLES}) == {503}
    world.told_at_start.update(ends)
    assert await statuses(api, {*FROM_TRADES, *FROM_ACCOUNT_TABLES}) == {200}
