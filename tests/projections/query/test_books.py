"""Depth, trades, aggregates and klines over the HTTP API."""

import pytest

from projections.intervals import HOUR_US, MINUTE_US
from projections.layout import Position, trades_key
from tests.projections.query.patience import impatient
from tests.projections.query.world import BTCUSDT, E8, T0_US, trade

MS = 1_000


async def get(api, path, **parameters):
    response = await api.get(path, params=parameters)
    return response.status, await response.json()


async def test_depth_has_three_keys_and_the_best_prices_first(world, api):
    bids, asks = {59_990 * E8: 4 * E8, 59_980 * E8: E8}, {60_000 * E8: 5 * E8, 60_010 * E8: 3 * E8}
    await world.put_book(BTCUSDT, bids, asks, sequence=7)

    response = await api.get("/api/v3/depth", params={"symbol": "BTCUSDT"})

    assert await response.json() == {
        "lastUpdateId": 7,
        "bids": [["59990.00000000", "4.00000000"], ["59980.00000000", "1.00000000"]],
        "asks": [["60000.00000000", "5.00000000"], ["60010.00000000", "3.00000000"]],
    }
    assert response.headers["X-Log-Position"] == "matching.ev.0@100"
    _, one = await get(api, "/api/v3/depth", symbol="BTCUSDT", limit=1)
    assert [one["bids"], one["asks"]] == [
        [["59990.00000000", "4.00000000"]],
        [["60000.00000000", "5.00000000"]],
    ]


async def test_an_empty_book_is_empty(world, api):
    _, book = await get(api, "/api/v3/depth", symbol="ETHBTC")
    assert book == {"lastUpdateId": 0, "bids": [], "asks": []}


async def test_trades_ascend_and_end_with_the_last(world, api):
    await world.trade(BTCUSDT, [trade(n, T0_US + n * 1_000_000) for n in range(1, 6)])

    _, rows = await get(api, "/api/v3/trades", symbol="BTCUSDT", limit=2)

    assert [row["id"] for row in rows] == [4, 5]
    assert rows[1] == {
        "id": 5,
        "price": "60005.00000000",
        "qty": "0.10000000",
        "quoteQty": "6000.50000000",
        "time": T0_US // MS + 5_000,
        "isBuyerMaker": False,
        "isBestMatch": True,
    }
    _, rows = await get(api, "/api/v3/historicalTrades", symbol="BTCUSDT", fromId=2, limit=2)
    assert [row["id"] for row in rows] == [2, 3]


async def test_history_waits_for_the_position_that_is_asked_for(world, api):
    partition = ("matching.ev", BTCUSDT % 2)
    await world.trade(BTCUSDT, [trade(1, T0_US)])
    headers = {"X-Log-Min-Position": f"{partition[0]}.{partition[1]}@101"}
    parameters = {"symbol": "BTCUSDT", "fromId": "1"}
    with impatient():
        response = await api.get("/api/v3/historicalTrades", params=parameters, headers=headers)
        assert response.status == 503
    world.advance_history({partition: Position(101, 100, T0_US)})
    response = await api.get("/api/v3/historicalTrades", params=parameters, headers=headers)
    assert response.status == 200
    assert response.headers["X-Log-Position"] == headers["X-Log-Min-Position"]


async def test_times_come_in_microseconds_for_who_wants_them(world, api):
    await world.trade(BTCUSDT, [trade(1, T0_US + 7)])
    response = await api.get(
        "/api/v3/trades",
        params={"symbol": "BTCUSDT"},
        headers={"X-MBX-TIME-UNIT": "MICROSECOND"},
    )
    assert [row["time"] for row in await response.json()] == [T0_US + 7]


def sweep(first_id, time_us, prices, taker):
    return [
        trade(first_id + n, time_us, price=price * E8, taker_order_id=taker)
        for n, price in enumerate(prices)
    ]


async def test_trades_of_one_taker_at_one_price_are_one_aggregate(world, api):
    first = sweep(1, T0_US, [60_000, 60_000, 60_010], taker=70)
    second = sweep(4, T0_US + HOUR_US, [60_010, 60_010], taker=71)
    await world.trade(BTCUSDT, first + second)

    _, rows = await get(api, "/api/v3/aggTrades", symbol="BTCUSDT")
    spans = [(row["a"], row["f"], row["l"], row["q"]) for row in rows]
    assert spans == [
        (1, 1, 2, "0.20000000"),
        (3, 3, 3, "0.10000000"),
        (4, 4, 5, "0.20000000"),
    ]
    _, rows = await get(api, "/api/v3/aggTrades", symbol="BTCUSDT", fromId=2)
    assert [row["a"] for row in rows] == [3, 4], "an aggregate that began before is left out"
    start = (T0_US + HOUR_US) // MS
    _, rows = await get(api, "/api/v3/aggTrades", symbol="BTCUSDT", startTime=start)
    assert [row["a"] for row in rows] == [4]
    _, rows = await get(api, "/api/v3/aggTrades", symbol="BTCUSDT", endTime=start - 1, limit=1)
    assert [row["a"] for row in rows] == [3]


SECOND_US = 1_000_000


@pytest.fixture
async def swept(world):
    """Aggregates of trades 1 to 3, 4 to 6, 7 and 8, a second apart; Redis keeps trades 5 to 8."""
    trades = sweep(1, T0_US, [60_000] * 3, taker=70)
    trades += sweep(4, T0_US + SECOND_US, [60_010] * 3, taker=71)
    trades += [trade(n, T0_US + (n - 5) * SECOND_US) for n in (7, 8)]
    for each in trades[4:]:
        await world.put(trades_key(BTCUSDT), each.trade_id, each)
    at = Position(200, 199, T0_US + 3 * SECOND_US)
    await world.advance(("matching.ev", 0), at, history=False)
    return trades


async def newest_aggregates(api, **parameters):
    """First and last id of each, or the number of the error; the answer's position."""
    query = {"symbol": "BTCUSDT", **parameters}
    response = await api.get("/api/v3/aggTrades", params=query)
    rows = await response.json()
    found = rows["code"] if response.status == 503 else [(row["f"], row["l"]) for row in rows]
    return found, response.headers.get("X-Log-Position")


async def test_the_newest_aggregates_end_with_the_last_trade_however_many(world, api, swept):
    """History lags: were they its own, who asks for more of them would be led back."""
    world.store_trades(BTCUSDT, swept[:5])
    world.advance_history({("matching.ev", 0): Position(150, 149, T0_US + SECOND_US + 1)})
    rows, position = [(1, 3), (4, 6), (7, 7), (8, 8)], "matching.ev.0@200"
    for limit in range(1, 5):
        assert await newest_aggregates(api, limit=limit) == (rows[-limit:], position)
    assert await newest_aggregates(api) == (rows, position)


async def test_the_newest_aggregates_wait_for_what_redis_does_not_keep(world, api, swept):
    world.store_trades(BTCUSDT, swept[:3])
    world.advance_history({("matching.ev", 0): Position(150, 149, T0_US + SECOND_US)})
    assert (await newest_aggregates(api, limit=2))[0] == [(7, 7), (8, 8)]
    with impatient():
        assert (await newest_aggregates(api))[0] == -1008, "trade 4 came in that microsecond"
    world.store_trades(BTCUSDT, swept[3:4])
    world.advance_history({("matching.ev", 0): Position(160, 159, T0_US + 2 * SECOND_US)})
    assert len((await newest_aggregates(api))[0]) == 4


async def test_the_newest_aggregates_are_known_while_the_log_stands(world, api, swept):
    """All that Redis keeps may be of one microsecond, after which nothing came yet."""
    for each in swept[4:]:
        await world.put(trades_key(BTCUSDT), each.trade_id, each._replace(time_us=T0_US))
    at = Position(200, 199, T0_US)
    await world.advance(("matching.ev", 0), at, history=False)
    world.advance_history({("matching.ev", 0): Position(199, 198, T0_US)})
    with impatient():
        assert (await newest_aggregates(api))[0] == -1008
    world.store_trades(BTCUSDT, swept)
    world.advance_history({("matching.ev", 0): at})
    assert len((await newest_aggregates(api))[0]) == 4


async def test_klines_fill_quiet_minutes_from_the_close_before(world, api):
    await world.trade(BTCUSDT, [trade(1, T0_US), trade(2, T0_US + 3 * MINUTE_US + 5)])
    at = Position(200, 199, T0_US + 4 * MINUTE_US)
    await world.advance(("matching.ev", 0), at)

    _, rows = await get(api, "/api/v3/klines", symbol="BTCUSDT", interval="1m")

    assert [row[0] for row in rows] == [T0_US // MS + n * 60_000 for n in range(5)]
    assert [row[4] for row in rows] == [
        *["60001.00000000"] * 3,
        *["60002.00000000"] * 2,
    ]
    assert [row[8] for row in rows] == [1, 0, 0, 1, 0]
    assert [row[6] - row[0] for row in rows] == [59_999] * 5
    assert {len(row) for row in rows} == {12}
    assert rows[1][1:6] == [*["60001.00000000"] * 4, "0.00000000"]
    assert rows[3][9:] == ["0.10000000", "6000.20000000", "0"]


async def test_klines_begin_where_the_client_says(world, api):
    await world.trade(BTCUSDT, [trade(1, T0_US), trade(2, T0_US + 10 * MINUTE_US)])
    await world.advance(("matching.ev", 0), Position(200, 199, T0_US + 20 * MINUTE_US))
    start = T0_US // MS + 4 * 60_000

    _, rows = await get(
        api, "/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=start - 1, limit=2
    )
    assert [(row[0], row[4]) for row in rows] == [
        (start, "60001.00000000"),
        (start + 60_000, "60001.00000000"),
    ]
    _, rows = await get(
        api, "/api/v3/klines", symbol="BTCUSDT", interval="1m", startTime=start, endTime=start
    )
    assert [row[0] for row in rows] == [start]
    _, rows = await get(api, "/api/v3/klines", symbol="BTCUSDT", interval="1m", limit=3)
    assert [row[0] for row in rows] == [T0_US // MS + n * 60_000 for n in (18, 19, 20)]


async def test_klines_wait_until_history_has_the_candle_that_just_ended(world, api):
    partition = ("matching.ev", 0)
    await world.trade(BTCUSDT, [trade(1, T0_US), trade(2, T0_US + MINUTE_US)])
    await world.advance(partition, Position(200, 199, T0_US + MINUTE_US), history=False)

    with impatient():
        status, answer = await get(api, "/api/v3/klines", symbol="BTCUSDT", interval="1m")
    assert (status, answer["code"]) == (503, -1008)

    world.advance_history({partition: Position(200, 199, T0_US + MINUTE_US)})
    status, rows = await get(api, "/api/v3/klines", symbol="BTCUSDT", interval="1m")
    assert (status, [row[8] for row in rows]) == (200, [1, 1])


async def test_a_candle_that_a_span_ends_in_is_whole(world, api):
    partition, start = ("matching.ev", 0), T0_US // MS
    await world.trade(BTCUSDT, [trade(1, T0_US), trade(2, T0_US + MINUTE_US)])
    await world.advance(partition, Position(200, 199, T0_US + MINUTE_US), history=False)
    span = {"symbol": "BTCUSDT", "interval": "1m", "startTime": start, "endTime": start + 1}

    world.advance_history({partition: Position(150, 149, T0_US + MINUTE_US // 2)})
    with impatient():
        status, answer = await get(api, "/api/v3/klines", **span)
    assert (status, answer["code"]) == (503, -1008), "trades of the other half may be missing"

    world.advance_history({partition: Position(200, 199, T0_US + MINUTE_US)})
    status, rows = await get(api, "/api/v3/klines", **span)
    assert (status, [row[8] for row in rows]) == (200, [1])


async def test_a_candle_may_have_a_turnover_beyond_64_bits(world, api):
    huge = {"quantity": 9 * 10**18, "quote": 9 * 10**18, "taker_side": 0}
    hour = [trade(n, T0_US + n * MINUTE_US, **huge) for n in range(1, 4)]
    await world.trade(BTCUSDT, [*hour, trade(4, T0_US + HOUR_US)])
    await world.advance(("matching.ev", 0), Position(200, 199, T0_US + HOUR_US))

    _, rows = await get(api, "/api/v3/klines", symbol="BTCUSDT", interval="1h")

    sum_of_three = "270000000000.00000000"
    assert [rows[0][n] for n in (5, 7, 9, 10)] == [sum_of_three] * 4


async def test_a_market_without_trades_has_no_klines(world, api):
    assert await get(api, "/api/v3/klines", symbol="ETHBTC", interval="1d") == (200, [])


@pytest.mark.parametrize(
    ("path", "query", "code", "msg"),
    [
        ("depth", "", -1102, "Mandatory parameter 'symbol' was not sent, was empty/null, or"),
        ("depth", "symbol=", -1105, "Parameter 'symbol' was empty."),
        ("depth", "symbol=NOPE", -1121, "Invalid symbol."),
        ("depth", "symbol=btc%2f", -1100, "Illegal characters found in parameter 'symbol'; legal"),
        ("depth", "symbol=BTCUSDT&limit=0", -1130, "Data sent for parameter 'limit' is not valid."),
        ("depth", "symbol=BTCUSDT&limit=-1", -1100, "Illegal characters found in parameter 'lim"),
        ("depth", "symbol=BTCUSDT&limit=%D9%A1", -1100, "Illegal characters found in parameter "),
        ("klines", "symbol=BTCUSDT&interval=2m", -1120, "Invalid interval."),
        ("klines", "symbol=BTCUSDT", -1102, "Mandatory parameter 'interval' was not sent, was"),
        ("klines", "symbol=BTCUSDT&interval=1m&timeZone=3", -1130, "Data sent for parameter 'tim"),
        ("klines", "symbol=BTCUSDT&interval=1m&startTime=5&endTime=4", -1130, "Data sent for par"),
        ("aggTrades", "symbol=BTCUSDT&fromId=1&startTime=1", -1128, "Combination of optional pa"),
        ("historicalTrades", "symbol=BTCUSDT&fromId=x", -1100, "Illegal characters found in para"),
        ("exchangeInfo", "symbol=NOPE", -1121, "Invalid symbol."),
        ("exchangeInfo", "symbols=BTCUSDT", -1100, "Illegal characters found in parameter 'symb"),
        ("exchangeInfo", 'symbols=["BTCUSDT","BTCUSDT"]', -1101, "Duplicate values for parameter"),
        ("exchangeInfo", "symbol=BTCUSDT&permissions=SPOT", -1128, "Combination of optional para"),
        ("exchangeInfo", "permissions=" + "[" * 2_000, -1130, "Data sent for parameter 'permissi"),
        ("exchangeInfo", "permissions=[1]", -1130, "Data sent for parameter 'permissions' is not "),
        ("ticker/24hr", "symbol=BTCUSDT&type=ALL", -1130, "Data sent for parameter 'type' is not"),
        (
            "ticker",
            "",
            -1102,
            "Param 'symbol' or 'symbols' must be sent, but both were empty/null!",
        ),
        ("ticker", "symbol=BTCUSDT&windowSize=8d", -1100, "Illegal characters found in parameter"),
    ],
)
async def test_bad_requests_get_numbered_errors(api, path, query, code, msg):
    response = await api.get(f"/api/v3/{path}?{query}")
    answer = await response.json()
    assert (response.status, answer["code"]) == (400, code)
    assert answer["msg"].startswith(msg)
