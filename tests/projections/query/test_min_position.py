"""`X-Log-Min-Position` on every path: no answer is older than what the client names."""

import asyncio

import pytest

from projections.layout import Position
from tests.projections.query.world import ALICE, T0_US, TOKEN, order, signed

ACCOUNTS = {("accounts.ev", 0), ("accounts.ev", 1)}
MARKETS = {("matching.ev", 0), ("matching.ev", 1)}
ALICES = {("ledger.ev", 0)}
BTCUSDT_FEED = {("matching.ev", 0)}
EVERY = ACCOUNTS | MARKETS | {("ledger.ev", 0), ("ledger.ev", 1)}

ONE = "symbol=BTCUSDT"
READS = {
    # Path: the parameters of a request, and which partitions feed its answer.
    "/api/v3/ping": ("", ACCOUNTS),
    "/api/v3/time": ("", ACCOUNTS),
    "/sapi/v1/system/status": ("", ACCOUNTS),
    "/sapi/v1/margin/allPairs": ("", ACCOUNTS),
    "/sapi/v1/margin/isolated/allPairs": ("", ACCOUNTS),
    "/fapi/v1/exchangeInfo": ("", ACCOUNTS),
    "/dapi/v1/exchangeInfo": ("", ACCOUNTS),
    "/x/v1/positions": ("", EVERY),
    "/x/v1/assets": ("", ACCOUNTS),
    "/health/live": ("", set()),
    "/health/ready": ("", set()),
    "/api/v3/exchangeInfo": ("", ACCOUNTS),
    "/api/v3/depth": (ONE, ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/trades": (ONE, ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/historicalTrades": (f"{ONE}&fromId=1", ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/aggTrades": (ONE, ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/klines": (f"{ONE}&interval=1m", ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/uiKlines": (f"{ONE}&interval=1m", ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/avgPrice": (ONE, ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/ticker/24hr": ("", ACCOUNTS | MARKETS),
    "/api/v3/ticker/price": ("", ACCOUNTS | MARKETS),
    "/api/v3/ticker/bookTicker": ("", ACCOUNTS | MARKETS),
    "/api/v3/ticker": (ONE, ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/ticker/tradingDay": (ONE, ACCOUNTS | BTCUSDT_FEED),
    "/api/v3/order": (f"{ONE}&orderId=1", ACCOUNTS | ALICES),
    "/api/v3/openOrders": ("", ACCOUNTS | ALICES),
    "/api/v3/allOrders": (ONE, ACCOUNTS | ALICES),
    "/api/v3/myTrades": (ONE, ACCOUNTS | ALICES),
    "/api/v3/rateLimit/order": ("", ACCOUNTS | ALICES),
    "/api/v3/account": ("", ACCOUNTS | ALICES),
    "/api/v3/account/commission": (ONE, ACCOUNTS),
    "/sapi/v1/asset/tradeFee": ("", ACCOUNTS),
    "/sapi/v1/capital/config/getall": ("", ACCOUNTS | ALICES),
    "/sapi/v1/capital/deposit/hisrec": ("", ACCOUNTS | ALICES),
    "/sapi/v1/capital/withdraw/history": ("", ACCOUNTS | ALICES),
    "/x/v1/risk/users/{id}": ("", ACCOUNTS | ALICES | MARKETS),
    "/x/v1/risk/markets/{symbol}": ("", ACCOUNTS | BTCUSDT_FEED),
    "/x/v1/audit/history": ("tables=trades&upto=0:1", MARKETS),
    "/x/v1/audit/candles": ("", MARKETS),
}


@pytest.fixture(autouse=True)
def patience(monkeypatch):
    """Sets how long a read may wait: long, since a hundred are asked at once, until told."""

    def wait_s(seconds):
        monkeypatch.setattr("projections.query.sources.PATIENCE_S", seconds)

    wait_s(20.0)
    return wait_s


@pytest.fixture
async def api(world):
    await world.put_order(order(1))
    client = await world.start()
    yield client
    await client.close()


async def ask(api, path, wanted):
    """The status of an answer to who wants these positions."""
    url = path.replace("{id}", str(ALICE)).replace("{symbol}", "BTCUSDT")
    sent = {"X-Log-Min-Position": ";".join(f"{t}.{p}@{cseq}" for (t, p), cseq in wanted.items())}
    sender = {"Authorization": f"Bearer {TOKEN}"} if "/audit/" in path else signed(ALICE)
    response = await api.get(f"{url}?{READS[path][0]}", headers=sender | sent)
    await response.read()
    return response.status


async def ask_each(api, wanted):
    """The status by path and partition that feeds it, each partition being named alone."""
    asked = [(path, feed) for path, (_, feeds) in READS.items() for feed in sorted(feeds)]
    statuses = await asyncio.gather(*(ask(api, p, {feed: wanted[feed]}) for p, feed in asked))
    return dict(zip(asked, statuses, strict=True))


def next_records(world):
    positions = world.positions | world.reference_at
    return {feed: positions[feed].cseq + 1 for feed in EVERY}


def test_every_path_says_what_it_reads(api):
    assert {route.resource.canonical for route in api.app.router.routes()} == set(READS)


async def test_no_answer_is_older_than_what_is_asked_for(world, api, patience):
    wanted = next_records(world)
    patience(0.5)
    told = await ask_each(api, wanted)
    assert not [asked for asked, status in told.items() if status != 503]
    patience(20.0)
    for feed, cseq in wanted.items():
        if feed in ACCOUNTS:
            world.reference_at[feed] = Position(cseq, cseq, T0_US)
        else:
            await world.advance(feed, Position(cseq, cseq - 1, T0_US))
    told = await ask_each(api, wanted)
    assert not [asked for asked, status in told.items() if status != 200]


async def test_an_answer_waits_for_nothing_that_it_does_not_read(world, api):
    wanted = next_records(world)
    others = {
        path: {feed: cseq for feed, cseq in wanted.items() if feed not in feeds}
        for path, (_, feeds) in READS.items()
    }
    statuses = await asyncio.gather(*(ask(api, path, other) for path, other in others.items()))
    assert not [path for path, status in zip(READS, statuses, strict=True) if status != 200]


async def test_an_answer_comes_as_soon_as_its_view_is_there(world, api):
    market = ("matching.ev", 1)
    reading = asyncio.create_task(ask(api, "/x/v1/risk/users/{id}", {market: 101}))
    await asyncio.sleep(0.05)
    assert not reading.done()
    await world.advance(market, Position(101, 100, T0_US))
    assert await reading == 200


async def test_all_views_together_are_waited_for_no_longer_than_one(world, api, patience):
    patience(1.5)
    feed, at = ("ledger.ev", 0), Position(101, 100, T0_US)
    reading = asyncio.create_task(ask(api, "/x/v1/positions", {feed: 101}))
    await asyncio.sleep(1.2)
    await world.advance(feed, at, history=False)
    await asyncio.sleep(0.6)
    world.advance_history({feed: at})
    assert await reading == 503
