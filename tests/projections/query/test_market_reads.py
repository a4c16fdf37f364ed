"""What was told of a market is not taken back, whatever becomes of the view."""

import asyncio

import pytest

from projections.layout import Position
from tests.projections.query.world import BTCUSDT, E8, ETHBTC, T0_US

PARTITION = ("matching.ev", BTCUSDT % 2)
BIDS, ASKS = {59_990 * E8: 4 * E8}, {60_000 * E8: 5 * E8}


@pytest.fixture(autouse=True)
def little_patience(monkeypatch):
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", 0.3)


@pytest.fixture
async def told(world, api):
    """A client has read the book where the view stands."""
    await world.put_book(BTCUSDT, BIDS, ASKS, sequence=7)
    assert await depth(api) == 7


async def depth(api, **headers):
    """The book's sequence, or the number of the error."""
    response = await api.get("/api/v3/depth", params={"symbol": "BTCUSDT"}, headers=headers)
    answer = await response.json()
    assert (response.status == 503) == (answer.get("code") == -1008)
    return answer.get("lastUpdateId", answer.get("code"))


async def stand_at(world, cseq):
    await world.advance(PARTITION, Position(cseq, cseq - 1, T0_US))


async def test_a_view_that_was_lost_is_no_empty_market(world, told, api):
    await world.redis.flushall()
    assert await depth(api) == -1008
    for path in ("ticker/24hr?symbol=BTCUSDT", "klines?symbol=BTCUSDT&interval=1m", "ticker/price"):
        assert (await api.get(f"/api/v3/{path}")).status == 503, path
    await stand_at(world, 60)
    assert await depth(api) == -1008, "it is being built again"
    await world.put_book(BTCUSDT, BIDS, ASKS, sequence=7)
    await stand_at(world, 100)
    assert await depth(api) == 7


async def test_a_read_waits_for_a_view_that_is_a_little_behind(world, told, api):
    await stand_at(world, 99)
    reading = asyncio.create_task(depth(api))
    await asyncio.sleep(0.05)
    assert not reading.done()
    await stand_at(world, 100)
    assert await reading == 7


async def test_markets_of_other_partitions_are_read(world, told, api):
    await stand_at(world, 60)
    assert await depth(api) == -1008
    market = world.reference.markets[ETHBTC].symbol
    assert (await api.get(f"/api/v3/depth?symbol={market}")).status == 200


async def test_what_a_client_asks_for_binds_no_other(world, told, api):
    asked = {"X-Log-Min-Position": f"{PARTITION[0]}.{PARTITION[1]}@900"}
    assert await depth(api, **asked) == -1008
    assert await depth(api) == 7


@pytest.mark.parametrize("wrong", [Position(300, 99, 0), Position(100, 400, 0)])
async def test_a_position_that_the_log_does_not_have_is_forgotten(world, told, api, wrong):
    """As a view had that was of another log, until it was built anew."""
    await world.advance(PARTITION, wrong._replace(cseq=wrong.cseq + 1))
    assert await depth(api) == 7
    await stand_at(world, 100)
    assert await depth(api) == -1008
    assert await depth(api) == 7


async def test_nothing_is_forgotten_because_the_log_cannot_be_asked(world, told, api):
    world.log_failure = TimeoutError()
    await stand_at(world, 60)
    for _ in range(2):
        assert await depth(api) == -1008
