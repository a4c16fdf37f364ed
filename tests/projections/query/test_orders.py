"""Orders and fills: what stands in Redis, what only history has, and reading one's own writes."""

import asyncio
import time

import pytest

from domain.orders.messages import OrderType, TimeInForce
from projections import layout
from projections.layout import OrderWindows, Position
from projections.query.account_responses import order_status
from projections.query.freshness import PATIENCE_S
from tests.projections.query.patience import impatient
from tests.projections.query.world import (
    ALICE,
    BOB,
    E8,
    ETHBTC,
    T0_US,
    USDT,
    closed,
    fill,
    order,
    signed,
)

LEDGER_0 = ("ledger.ev", 0)
MS = 1_000
OF_NO_MARKET = ("/api/v3/account", "/api/v3/rateLimit/order", "/sapi/v1/capital/deposit/hisrec")


async def get(api, path, user=ALICE, headers=None, **parameters):
    headers = signed(user) | (headers or {})
    usual = {} if path in OF_NO_MARKET else {"symbol": "BTCUSDT"}
    response = await api.get(path, params=usual | parameters, headers=headers)
    return response.status, await response.json()


async def test_a_market_order_reads_as_it_was_answered(world, api):
    """The order's first answer says GTC and no price, whatever the log says of its collar."""
    await world.put_order(
        closed(4, order_type=int(OrderType.MARKET), time_in_force=int(TimeInForce.IOC), price=0)
    )

    for path in ("/api/v3/order", "/api/v3/allOrders"):
        _, found = await get(api, path, orderId=4)
        row = found[0] if isinstance(found, list) else found
        told = (row["type"], row["timeInForce"], row["price"], row["status"])
        assert told == ("MARKET", "GTC", "0.00000000", "FILLED")


async def test_an_open_order_is_told_by_either_id(world, api):
    await world.put_order(order(4, filled_quantity=E8 // 10, filled_quote=6_000 * E8))

    status, row = await get(api, "/api/v3/order", orderId=4)

    assert status == 200
    assert row == {
        "symbol": "BTCUSDT",
        "orderId": 4,
        "orderListId": -1,
        "clientOrderId": "client-4",
        "price": "60000.00000000",
        "origQty": "0.50000000",
        "executedQty": "0.10000000",
        "cummulativeQuoteQty": "6000.00000000",
        "status": "PARTIALLY_FILLED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "stopPrice": "0.00000000",
        "icebergQty": "0.00000000",
        "time": T0_US // MS + 4_000,
        "updateTime": T0_US // MS + 4_000,
        "isWorking": True,
        "workingTime": T0_US // MS + 4_000,
        "origQuoteOrderQty": "0.00000000",
        "selfTradePreventionMode": "NONE",
    }
    assert (await get(api, "/api/v3/order", origClientOrderId="client-4"))[1] == row


async def test_an_open_order_goes_before_a_closed_one_with_the_same_client_id(world, api):
    await world.put_order(closed(2, client_order_id="mine"))
    await world.put_order(closed(6, client_order_id="mine"))
    _, row = await get(api, "/api/v3/order", origClientOrderId="mine")
    assert row["orderId"] == 6, "the newest of the closed"
    await world.put_order(order(4, client_order_id="mine"))
    _, row = await get(api, "/api/v3/order", origClientOrderId="mine")
    assert row["orderId"] == 4


async def test_an_order_that_redis_forgot_comes_from_history(world, api):
    world.store_order(order(4))
    world.store_order(closed(4, cseq=9))
    for parameters in ({"orderId": 4}, {"origClientOrderId": "client-4"}):
        status, row = await get(api, "/api/v3/order", **parameters)
        assert (status, row["status"]) == (200, "FILLED")


async def test_nobody_sees_the_order_of_another_user_or_market(world, api):
    await world.put_order(order(4))
    world.store_order(order(4))
    world.clock.time_us = T0_US - 1
    for found in (
        await get(api, "/api/v3/order", user=BOB, orderId=4),
        await get(api, "/api/v3/order", symbol="ETHBTC", orderId=4),
    ):
        assert found == (400, {"code": -2013, "msg": "Order does not exist."})


async def test_an_order_does_not_exist_only_once_log_time_passed_the_request(
    world, api, monkeypatch
):
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", PATIENCE_S)
    world.clock.time_us = T0_US + 500_000
    started_s = time.monotonic()
    status, answer = await get(api, "/api/v3/order", orderId=4)
    assert (status, answer["code"]) == (503, -1008)
    assert 0.95 * PATIENCE_S < time.monotonic() - started_s < 10 * PATIENCE_S

    asking = asyncio.create_task(get(api, "/api/v3/order", orderId=4))
    await asyncio.sleep(0.1)
    assert not asking.done()
    await world.advance(LEDGER_0, Position(101, 100, T0_US + 600_000))
    assert await asking == (400, {"code": -2013, "msg": "Order does not exist."})


async def test_an_order_accepted_while_it_was_looked_for_is_found(world, api):
    world.clock.time_us = T0_US + 500_000
    asking = asyncio.create_task(get(api, "/api/v3/order", orderId=4))
    await asyncio.sleep(0.1)
    await world.put_order(order(4))
    await world.advance(LEDGER_0, Position(101, 100, T0_US + 600_000))
    status, row = await asking
    assert (status, row["orderId"]) == (200, 4)


async def test_a_private_read_waits_for_the_end_of_the_users_partition(world, api):
    world.ends[LEDGER_0] = 103
    asking = [asyncio.create_task(get(api, "/api/v3/openOrders")) for _ in range(20)]
    await asyncio.sleep(0.1)
    await world.put_order(order(4))
    await world.advance(LEDGER_0, Position(102, 101, T0_US))
    await asyncio.sleep(0.05)
    assert not any(each.done() for each in asking)
    await world.advance(LEDGER_0, Position(103, 102, T0_US))
    for status, rows in await asyncio.gather(*asking):
        assert (status, [row["orderId"] for row in rows]) == (200, [4])
    assert {partition for _, partition in world.asked_ends} == {0}


async def test_a_view_that_stays_behind_is_503(world, api):
    world.ends[LEDGER_0] = 103
    started_s = time.monotonic()
    with impatient(1.0):
        answers = await asyncio.gather(
            get(api, "/api/v3/openOrders"),
            get(api, "/api/v3/account"),
            get(api, "/api/v3/allOrders"),
            get(api, "/api/v3/myTrades"),
            get(api, "/sapi/v1/capital/deposit/hisrec"),
        )
    for status, answer in answers:
        assert (status, answer["code"]) == (503, -1008)
    assert time.monotonic() - started_s < 3


@pytest.mark.parametrize("cells", [{"cseq": "100"}, {"cseq": "x", "offset": "9", "time_us": "1"}])
async def test_a_view_that_does_not_say_where_it_stands_is_behind(world, api, cells):
    key = layout.redis_key("1", layout.position_key(*LEDGER_0))
    await world.redis.delete(key)
    await world.redis.hset(key, mapping=cells)
    with impatient():
        status, answer = await get(api, "/api/v3/openOrders")
    assert (status, answer["code"]) == (503, -1008)


async def test_a_client_may_name_the_position_it_wants(world, api):
    world.ends[LEDGER_0] = 10_000
    at = {"X-Log-Min-Position": "ledger.ev.0@100;matching.ev.1@5"}
    assert await get(api, "/api/v3/openOrders", headers=at) == (200, [])
    assert world.asked_ends == [], "the end of the log is not asked for then"
    bad = {"X-Log-Min-Position": "ledger.ev.0"}
    status, answer = await get(api, "/api/v3/openOrders", headers=bad)
    assert (status, answer["code"]) == (400, -1130)


async def test_public_reads_honor_a_wanted_position_too(world, api):
    asking = asyncio.create_task(
        get(api, "/api/v3/depth", headers={"X-Log-Min-Position": "matching.ev.0@105"})
    )
    await asyncio.sleep(0.05)
    assert not asking.done()
    await world.advance(("matching.ev", 0), Position(105, 104, T0_US))
    assert (await asking)[0] == 200


async def test_answers_name_the_position_they_were_read_at(world, api):
    await world.advance(LEDGER_0, Position(107, 106, T0_US))
    response = await api.get("/api/v3/openOrders", headers=signed(ALICE))
    assert response.headers["X-Log-Position"] == "ledger.ev.0@107"
    response = await api.get("/api/v3/exchangeInfo")
    assert response.headers["X-Log-Position"] == "accounts.ev.0@40;accounts.ev.1@30"


async def test_a_flipped_build_is_read_from_then_on(world, api):
    await world.put_order(order(4))
    await get(api, "/api/v3/openOrders")
    cells = {"cseq": "100", "offset": "99", "time_us": str(T0_US)}
    key = layout.redis_key("2", layout.position_key(*LEDGER_0))
    await world.redis.hset(key, mapping=cells)
    await world.redis.set(layout.BUILD_KEY, "2")
    assert await get(api, "/api/v3/openOrders") == (200, [])


async def test_open_orders_of_all_markets_ascend(world, api):
    for row in (order(8), order(4, market_id=ETHBTC, price=5 * E8 // 100), closed(6)):
        await world.put_order(row)
    response = await api.get("/api/v3/openOrders", headers=signed(ALICE))
    assert [(row["symbol"], row["orderId"]) for row in await response.json()] == [
        ("ETHBTC", 4),
        ("BTCUSDT", 8),
    ]


async def test_all_orders_show_each_order_once_in_its_last_state(world, api):
    for number in (2, 4, 6):
        world.store_order(order(number))
    world.store_order(closed(2, cseq=50))
    world.store_order(closed(6, cseq=60, reason=1, filled_quantity=0, filled_quote=0))

    async def ids(**parameters):
        _, rows = await get(api, "/api/v3/allOrders", **parameters)
        return [(row["orderId"], row["status"]) for row in rows]

    assert await ids() == [(2, "FILLED"), (4, "NEW"), (6, "CANCELED")]
    assert await ids(limit=2) == [(4, "NEW"), (6, "CANCELED")], "the most recent"
    assert await ids(orderId=2, limit=2) == [(2, "FILLED"), (4, "NEW")], "the oldest from there"
    start = T0_US // MS + 3_000
    assert await ids(startTime=start, limit=1) == [(4, "NEW")]
    assert await ids(endTime=start) == [(2, "FILLED")]
    assert await ids(user=BOB) == []


async def test_all_orders_need_not_wait_for_history(world, api):
    for number in (2, 4, 6):
        world.store_order(order(number))
    await world.put_order(closed(2, cseq=150))
    await world.put_order(order(4))
    await world.put_order(order(6, cseq=151, filled_quantity=E8 // 10))
    await world.put_order(order(8, cseq=152))
    await world.put_order(order(10, cseq=153, market_id=ETHBTC))
    await world.advance(LEDGER_0, Position(160, 159, T0_US), history=False)
    world.ends[LEDGER_0] = 160

    async def found(**parameters):
        response = await api.get(
            "/api/v3/allOrders",
            params={"symbol": "BTCUSDT"} | parameters,
            headers=signed(ALICE),
        )
        assert response.headers["X-Log-Position"] == "ledger.ev.0@160"
        return [(row["orderId"], row["status"]) for row in await response.json()]

    states = [(2, "FILLED"), (4, "NEW"), (6, "PARTIALLY_FILLED"), (8, "NEW")]
    assert await found() == states
    assert await found(limit=2) == states[-2:]
    assert await found(orderId=4, limit=2) == states[1:3]
    assert await found(endTime=T0_US // MS + 6_000) == states[:3]


async def test_all_orders_wait_for_history_of_what_redis_forgot(world, api):
    for number in range(2, 402, 2):
        await world.put_order(closed(number, cseq=200 + number))
    await world.advance(LEDGER_0, Position(700, 699, T0_US), history=False)
    asking = asyncio.create_task(get(api, "/api/v3/allOrders"))
    await asyncio.sleep(0.1)
    assert not asking.done()
    world.advance_history({LEDGER_0: Position(202, 201, T0_US)})
    status, rows = await asking
    assert (status, len(rows)) == (200, 200)


async def test_own_trades(world, api):
    world.store.insert("fills", [fill(n, order_id=n // 2 * 2 or 8) for n in range(1, 6)])
    world.store.insert(
        "fills", [fill(6, order_id=7, side=1, role=0, fee_asset=USDT, fee=6 * E8, user_id=BOB)]
    )

    _, rows = await get(api, "/api/v3/myTrades", limit=1)
    assert rows == [
        {
            "symbol": "BTCUSDT",
            "id": 5,
            "orderId": 4,
            "orderListId": -1,
            "price": "60000.00000000",
            "qty": "0.10000000",
            "quoteQty": "6000.00000000",
            "commission": "0.00010000",
            "commissionAsset": "BTC",
            "time": T0_US // MS + 5_000,
            "isBuyer": True,
            "isMaker": False,
            "isBestMatch": True,
        }
    ]

    async def ids(**parameters):
        return [row["id"] for row in (await get(api, "/api/v3/myTrades", **parameters))[1]]

    assert await ids() == [1, 2, 3, 4, 5]
    assert await ids(orderId=2) == [2, 3]
    assert await ids(orderId=0) == [], "no order has this id"
    assert await ids(fromId=2, limit=2) == [2, 3]
    assert await ids(startTime=T0_US // MS + 4_000) == [4, 5]
    _, rows = await get(api, "/api/v3/myTrades", user=BOB)
    assert [(row["isBuyer"], row["isMaker"], row["commissionAsset"]) for row in rows] == [
        (False, True, "USDT")
    ]


async def test_order_counts_are_those_of_the_windows_that_run_now(world, api):
    ten, day = T0_US // 10_000_000, T0_US // 86_400_000_000
    await world.put(layout.account_key(ALICE), "windows", OrderWindows(ten, 7, day, 90))

    async def counts():
        return [row["count"] for row in (await get(api, "/api/v3/rateLimit/order"))[1]]

    assert await counts() == [7, 90]
    await world.advance(LEDGER_0, Position(101, 100, T0_US + 10_000_000))
    assert await counts() == [0, 90]
    await world.advance(LEDGER_0, Position(102, 101, T0_US + 86_400_000_000))
    assert await counts() == [0, 0]


@pytest.mark.parametrize(
    ("path", "query", "code", "msg"),
    [
        ("order", {}, -1102, "Param 'origClientOrderId' or 'orderId' must be sent, but both were"),
        ("order", {"orderId": "x"}, -1100, "Illegal characters found in parameter 'orderId'; lega"),
        ("order", {"orderId": ""}, -1105, "Parameter 'orderId' was empty."),
        (
            "order",
            {"origClientOrderId": "é"},
            -1100,
            "Illegal characters found in parameter 'origC",
        ),
        ("order", {"origClientOrderId": "x" * 37}, -1100, "Illegal characters found in parameter"),
        ("order", {"orderId": 2, "origClientOrderId": "a b"}, -1100, "Illegal characters found in"),
        ("allOrders", {"startTime": 0, "endTime": 86_400_001}, -1127, "More than 24 hours between"),
        ("allOrders", {"symbol": "NOPE"}, -1121, "Invalid symbol."),
        ("myTrades", {"fromId": 1, "startTime": 1}, -1128, "Combination of optional parameters in"),
        ("myTrades", {"limit": 0}, -1130, "Data sent for parameter 'limit' is not valid."),
    ],
)
async def test_bad_requests_get_numbered_errors(api, path, query, code, msg):
    status, answer = await get(api, f"/api/v3/{path}", **query)
    assert (status, answer["code"]) == (400, code)
    assert answer["msg"].startswith(msg)


async def test_a_key_that_may_not_read_reads_nothing(api):
    for key in ("mute-2", "forged"):
        response = await api.get("/api/v3/openOrders", headers={"X-MBX-APIKEY": key})
        assert (response.status, (await response.json())["code"]) == (401, -2015)


def test_every_reason_to_end_has_a_status():
    ended = [order_status(closed(2, reason=reason)) for reason in range(9)]
    assert ended == ["FILLED", "CANCELED", *["EXPIRED"] * 2, *["REJECTED"] * 5]
    assert order_status(order(2)) == "NEW"
