"""Tickers, averages and what markets are."""

import json

import pytest

from domain.markets import MarketListed
from projections.intervals import DAY_US, HOUR_US, MINUTE_US
from projections.layout import Position
from projections.query.valuation import Valuation
from tests.projections.query.world import (
    BTC,
    BTCUSDT,
    E8,
    ETH,
    ETHBTC,
    T0_US,
    USDT,
    reference_data,
    trade,
)

MATCHING_0 = ("matching.ev", 0)


async def get(api, path, **parameters):
    response = await api.get(f"/api/v3/{path}", params=parameters)
    assert response.status == 200, await response.text()
    return await response.json()


@pytest.fixture
async def traded(world):
    """BTCUSDT: 60,001 ten minutes ago, 60,002 five minutes ago, 60,003 now; a book of two."""
    times = (T0_US - 10 * MINUTE_US, T0_US - 5 * MINUTE_US, T0_US)
    await world.trade(BTCUSDT, [trade(n + 1, time_us) for n, time_us in enumerate(times)])
    await world.put_book(BTCUSDT, {60_002 * E8: E8}, {60_004 * E8: 2 * E8}, sequence=3)


async def test_the_day_of_one_market_is_an_object(traded, api):
    row = await get(api, "ticker/24hr", symbol="BTCUSDT")
    assert row == {
        "symbol": "BTCUSDT",
        "priceChange": "2.00000000",
        "priceChangePercent": "0.003",
        "weightedAvgPrice": "60002.00000000",
        "openPrice": "60001.00000000",
        "highPrice": "60003.00000000",
        "lowPrice": "60001.00000000",
        "lastPrice": "60003.00000000",
        "volume": "0.30000000",
        "quoteVolume": "18000.60000000",
        "openTime": (T0_US - DAY_US + MINUTE_US) // 1_000,
        "closeTime": T0_US // 1_000,
        "firstId": 1,
        "lastId": 3,
        "count": 3,
        "prevClosePrice": "60001.00000000",
        "lastQty": "0.10000000",
        "bidPrice": "60002.00000000",
        "bidQty": "1.00000000",
        "askPrice": "60004.00000000",
        "askQty": "2.00000000",
    }
    assert "weightedAvgPrice" not in await get(api, "ticker/24hr", symbol="BTCUSDT", type="MINI")


async def test_symbols_and_none_are_lists(traded, api):
    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
        every = await get(api, path)
        assert [row["symbol"] for row in every] == ["BTCUSDT", "ETHBTC"]
        assert await get(api, path, symbols='["ETHBTC","BTCUSDT"]') == every[::-1]
        assert await get(api, path, symbol="BTCUSDT") == every[0]
    assert every[1] == {
        "symbol": "ETHBTC",
        "bidPrice": "0.00000000",
        "bidQty": "0.00000000",
        "askPrice": "0.00000000",
        "askQty": "0.00000000",
    }


async def test_only_windows_are_of_at_most_100_symbols(world, traded, api):
    listed = world.reference.markets[ETHBTC]
    for number in range(99):
        world.reference.apply(
            MarketListed(b"", 4 + 2 * number, f"MANY{number}", 1, listed.rules, 1)
        )
    symbols = [market.symbol for market in world.reference.markets.values()]
    assert len(symbols) == 101

    def named(count: int) -> str:
        return json.dumps(symbols[:count], separators=(",", ":"))

    for path in ("ticker/24hr", "ticker/price", "ticker/bookTicker"):
        assert [row["symbol"] for row in await get(api, path, symbols=named(101))] == symbols
    for path in ("ticker", "ticker/tradingDay"):
        assert [row["symbol"] for row in await get(api, path, symbols=named(100))] == symbols[:100]
        response = await api.get(f"/api/v3/{path}", params={"symbols": named(101)})
        assert (response.status, (await response.json())["code"]) == (400, -1130)


async def test_a_window_holds_the_minutes_that_begin_in_it(traded, api):
    row = await get(api, "ticker", symbol="BTCUSDT", windowSize="5m")
    assert (row["openPrice"], row["count"], row["firstId"]) == ("60002.00000000", 2, 2)
    assert row["openTime"] == (T0_US - 5 * MINUTE_US) // 1_000
    (row,) = await get(api, "ticker", symbols='["BTCUSDT"]', windowSize="1h")
    assert (row["openPrice"], row["volume"]) == ("60001.00000000", "0.30000000")
    assert "bidPrice" not in row


async def test_a_window_of_days_reaches_into_history(world, api):
    trades = [trade(1, T0_US - 3 * DAY_US), trade(2, T0_US - 30 * HOUR_US), trade(3, T0_US)]
    await world.trade(BTCUSDT, trades)
    expected = {"1d": (60_003, 1), "2d": (60_002, 2), "7d": (60_001, 3)}
    for size, (opened, count) in expected.items():
        row = await get(api, "ticker", symbol="BTCUSDT", windowSize=size)
        assert (row["openPrice"], row["count"]) == (f"{opened}.00000000", count)
        assert row["lastPrice"] == "60003.00000000"


async def test_a_turnover_beyond_64_bits_is_added_up(world, api):
    most = 9 * 10**18
    times = [T0_US - 2 * DAY_US + n * MINUTE_US for n in range(3)]
    huge = [trade(n + 1, time_us, quote=most) for n, time_us in enumerate(times)]
    await world.trade(BTCUSDT, [*huge, trade(4, T0_US, quote=E8)])
    row = await get(api, "ticker", symbol="BTCUSDT", windowSize="3d")
    assert (row["count"], row["quoteVolume"]) == (4, "270000000001.00000000")


async def test_the_trading_day_begins_at_midnight(world, traded, api):
    row = await get(api, "ticker/tradingDay", symbol="BTCUSDT")
    assert (row["count"], row["openTime"]) == (1, T0_US // 1_000)
    await world.advance(MATCHING_0, Position(200, 199, T0_US + DAY_US))
    row = await get(api, "ticker/tradingDay", symbol="BTCUSDT")
    assert (row["count"], row["openPrice"], row["volume"]) == (0, "60003.00000000", "0.00000000")


async def test_the_trading_day_ends_with_its_last_moment_however_early_it_is(world, traded, api):
    await world.advance(MATCHING_0, Position(200, 199, T0_US + HOUR_US))
    row = await get(api, "ticker/tradingDay", symbol="BTCUSDT")
    start_ms = T0_US // 1_000
    assert (row["openTime"], row["closeTime"]) == (start_ms, start_ms + 86_399_999)
    (row,) = await get(
        api, "ticker/tradingDay", symbols='["BTCUSDT"]', type="MINI", timeUnit="MICROSECOND"
    )
    assert (row["openTime"], row["closeTime"]) == (T0_US, T0_US + DAY_US - 1)


async def test_without_trades_there_is_no_first_and_no_last(world, traded, api):
    """As Binance tells it. ETHBTC never traded, BTCUSDT has no trade in the last minute."""
    await world.advance(MATCHING_0, Position(200, 199, T0_US + HOUR_US))
    for path, sent in (
        ("ticker/24hr", {"symbol": "ETHBTC"}),
        ("ticker/24hr", {"symbol": "ETHBTC", "type": "MINI"}),
        ("ticker/tradingDay", {"symbol": "ETHBTC"}),
        ("ticker", {"symbol": "ETHBTC", "windowSize": "7d"}),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "1m"}),
    ):
        row = await get(api, path, **sent)
        assert (row["firstId"], row["lastId"], row["count"]) == (-1, -1, 0), (path, sent)


@pytest.mark.parametrize(
    ("path", "weights"),
    [
        ("ticker/24hr", (2, 2, 2, 40, 40, 80, 80)),
        ("ticker/price", (2, 4, 4, 4, 4, 4, 4)),
        ("ticker/bookTicker", (2, 4, 4, 4, 4, 4, 4)),
        ("ticker", (4, 4, 80, 84, 200, 200, 4)),
        ("ticker/tradingDay", (4, 4, 80, 84, 200, 200, 4)),
    ],
)
async def test_a_ticker_weighs_by_how_many_symbols_are_named(api, path, weights):
    """By one `symbol`, by 1, 20, 21, 100 and 101 `symbols`, by none; known or not."""
    named = [{"symbols": str([f"S{n}" for n in range(count)])} for count in (1, 20, 21, 100, 101)]
    used = 0
    for sent, weight in zip([{"symbol": "BTCUSDT"}, *named, {}], weights, strict=True):
        answer = await api.get(f"/api/v3/{path}", params=sent)
        used += weight
        assert answer.headers["X-MBX-USED-WEIGHT-1M"] == str(used), sent


async def test_the_average_is_weighted_by_quantity(world, api):
    old = trade(1, T0_US - 6 * MINUTE_US)
    light = trade(2, T0_US - MINUTE_US, price=100 * E8, quantity=E8)
    heavy = trade(3, T0_US, price=200 * E8, quantity=3 * E8)
    await world.trade(BTCUSDT, [old, light, heavy])
    assert await get(api, "avgPrice", symbol="BTCUSDT") == {
        "mins": 5,
        "price": "175.00000000",
        "closeTime": T0_US // 1_000,
    }
    await world.advance(MATCHING_0, Position(200, 199, T0_US + HOUR_US))
    assert (await get(api, "avgPrice", symbol="BTCUSDT"))["price"] == "200.00000000"


async def test_exchange_info_lists_the_filters_of_the_log(api):
    info = await get(api, "exchangeInfo", symbol="BTCUSDT")
    (market,) = info["symbols"]
    assert [each["filterType"] for each in market["filters"]] == [
        "PRICE_FILTER",
        "LOT_SIZE",
        "MARKET_LOT_SIZE",
        "NOTIONAL",
        "PERCENT_PRICE_BY_SIDE",
        "MAX_NUM_ORDERS",
    ]
    assert market["filters"][0] == {
        "filterType": "PRICE_FILTER",
        "minPrice": "0.01000000",
        "maxPrice": "1000000.00000000",
        "tickSize": "0.01000000",
    }
    assert market["filters"][1]["stepSize"] == "0.00001000"
    assert market["filters"][4]["bidMultiplierUp"] == "5.0"
    assert market["filters"][4]["askMultiplierDown"] == "0.2"
    assert market["orderTypes"] == ["LIMIT", "LIMIT_MAKER", "MARKET"]
    assert market["permissionSets"] == [["SPOT"]]
    assert [each["limit"] for each in info["rateLimits"]] == [6_000, 100, 200_000, 61_000]


async def test_exchange_info_selects(world, api):
    world.reference.markets[ETHBTC].halted = True

    async def symbols(**parameters):
        found = await get(api, "exchangeInfo", **parameters)
        return [market["symbol"] for market in found["symbols"]]

    assert await symbols() == ["BTCUSDT", "ETHBTC"]
    assert await symbols(symbolStatus="TRADING") == ["BTCUSDT"]
    assert await symbols(symbolStatus="HALT") == ["ETHBTC"]
    assert await symbols(permissions="MARGIN") == []
    assert await symbols(permissions='["SPOT","MARGIN"]') == ["BTCUSDT", "ETHBTC"]
    assert await symbols(symbols='["ETHBTC"]') == ["ETHBTC"]


@pytest.mark.parametrize("path", ["24hr", "price", "bookTicker", "tradingDay", ""])
async def test_tickers_of_a_status(world, traded, api, path):
    """As Binance: others of several are left out, a single one of another status is an error."""
    world.reference.markets[ETHBTC].halted = True
    url = f"/api/v3/ticker/{path}".removesuffix("/")
    both = {"symbols": '["BTCUSDT","ETHBTC"]'}

    async def ask(**parameters):
        answer = await (await api.get(url, params=parameters)).json()
        return answer["code"] if "code" in answer else [row["symbol"] for row in answer]

    assert await ask(**both, symbolStatus="TRADING") == ["BTCUSDT"]
    assert await ask(**both, symbolStatus="HALT") == ["ETHBTC"]
    assert await ask(**both, symbolStatus="BREAK") == []
    assert await ask(**both, symbolStatus="OPEN") == -1130
    assert await ask(symbol="ETHBTC", symbolStatus="TRADING") == -1220
    if path in ("24hr", "price", "bookTicker"):
        assert await ask(symbolStatus="HALT") == ["ETHBTC"]


async def test_a_book_of_a_status(world, traded, api):
    book = await get(api, "depth", symbol="BTCUSDT", symbolStatus="TRADING")
    assert book["lastUpdateId"] == 3
    answer = await api.get("/api/v3/depth?symbol=BTCUSDT&symbolStatus=HALT")
    assert (await answer.json())["code"] == -1220


def test_amounts_are_worth_what_the_way_over_markets_says():
    markets = reference_data().markets
    prices = [(markets[BTCUSDT], 60_000 * E8), (markets[ETHBTC], E8 // 20)]
    in_usdt, in_eth = Valuation(USDT, prices), Valuation(ETH, prices)
    assert in_usdt.value(BTC, E8) == 60_000 * E8
    assert in_usdt.value(ETH, E8) == 3_000 * E8
    assert in_usdt.value(USDT, 7) == 7
    assert in_eth.value(USDT, 3_000 * E8) == E8
    assert Valuation(USDT, [(markets[BTCUSDT], 0)]).value(BTC, E8) is None
