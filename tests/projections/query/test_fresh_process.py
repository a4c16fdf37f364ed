"""A query process that starts while views are built again does not tell of the past."""

import pytest

from projections.layout import Position, feeding_partitions
from tests.projections.query.world import ALICE, BTCUSDT, ETHBTC, T0_US, signed

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
OF_OTHER_MARKET = ("/api/v3/depth?symbol=ETHBTC", "/api/v3/ticker/price?symbol=ETHBTC")


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", 0.3)


@pytest.fixture
async def api(world):
    """It began when each partition held a hundred records."""
    world.told_at_start.update(dict.fromkeys(world.positions, 100))
    client = await world.start()
    yield client
    await client.close()


async def statuses(api, paths):
    """Of reads of a client who is content with what he knew long ago."""
    sent = signed(ALICE) | {"X-Log-Min-Position": "ledger.ev.0@1;matching.ev.0@1"}
    return {(await api.get(path, headers=sent)).status for path in paths}


async def stand_at(world, partition, cseq):
    await world.advance(partition, Position(cseq, cseq - 1, T0_US))


async def test_markets_are_not_shown_as_they_were(world, api):
    await stand_at(world, MARKET, 60)
    assert await statuses(api, OF_MARKET) == {503}
    await stand_at(world, MARKET, 99)
    assert await statuses(api, OF_MARKET) == {503}
    await stand_at(world, MARKET, 100)
    assert await statuses(api, OF_MARKET) == {200}


async def test_accounts_are_not_shown_as_they_were(world, api):
    await stand_at(world, LEDGER, 60)
    assert await statuses(api, OF_ACCOUNT) == {503}
    await stand_at(world, LEDGER, 100)
    assert await statuses(api, OF_ACCOUNT) == {200}


async def test_an_account_does_not_go_back_behind_what_was_told(world, api):
    await stand_at(world, LEDGER, 130)
    world.ends[LEDGER] = 130
    assert await statuses(api, OF_ACCOUNT) == {200}
    await stand_at(world, LEDGER, 110)
    assert await statuses(api, OF_ACCOUNT) == {503}


async def test_a_partition_that_does_not_get_there_holds_up_no_other(world, api):
    """As one does whose log lacks a record."""
    await stand_at(world, MARKET, 60)
    assert await statuses(api, OF_MARKET[:1]) == {503}
    assert await statuses(api, (*OF_OTHER_MARKET, *OF_ACCOUNT[:-1])) == {200}


async def test_what_comes_later_is_not_waited_for(world, api):
    world.ends[MARKET] = 10_000
    assert await statuses(api, OF_MARKET) == {200}


async def test_a_wrong_position_is_forgotten_but_not_where_the_log_ended(world, api):
    await world.advance(MARKET, Position(300, 299, T0_US))
    assert await statuses(api, OF_MARKET[:1]) == {200}
    await stand_at(world, MARKET, 60)
    for _ in range(3):
        assert await statuses(api, OF_MARKET[:1]) == {503}
    await stand_at(world, MARKET, 100)
    assert await statuses(api, OF_MARKET[:1]) == {200}


async def test_nothing_live_is_told_before_the_ends_are_known(world, api):
    ends = dict(world.told_at_start)
    world.told_at_start.clear()
    assert await statuses(api, {*OF_MARKET, *OF_ACCOUNT, *OF_OTHER_MARKET}) == {503}
    assert await statuses(api, ["/health/ready"]) == {503}
    assert await statuses(api, ["/api/v3/exchangeInfo", "/x/v1/positions"]) == {200}
    world.told_at_start.update(ends)
    assert await statuses(api, {*OF_MARKET, *OF_ACCOUNT, *OF_OTHER_MARKET}) == {200}
    assert await statuses(api, ["/health/ready"]) == {200}


async def test_an_empty_log_is_read_at_once(world, api):
    world.told_at_start.update(dict.fromkeys(feeding_partitions(2, 2), 0))
    await world.redis.flushall()
    assert {(await api.get(path)).status for path in OF_MARKET[:-1]} == {200}
