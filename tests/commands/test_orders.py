"""Order entry against real deciders: what a client sends, and what it is told."""

import asyncio

import pytest_asyncio

from tests.commands.world import LIMIT


@pytest_asyncio.fixture
async def bob(world):
    return await world.add_user("bob", BTC="10", USDT="1000000")


async def test_a_resting_limit_order_is_answered_in_full(world, alice):
    found = await alice.limit("BUY", "59000.00", "0.5", newClientOrderId="mine-1")
    order_id = found.pop("orderId")
    assert order_id % 2 == alice.user_id % 2
    assert found == {
        "symbol": "BTCUSDT",
        "orderListId": -1,
        "clientOrderId": "mine-1",
        "transactTime": world.now_ms,
        "price": "59000.00000000",
        "origQty": "0.50000000",
        "executedQty": "0.00000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "0.00000000",
        "status": "NEW",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "workingTime": world.now_ms,
        "selfTradePreventionMode": "NONE",
        "fills": [],
    }


async def test_a_taker_is_told_its_fills_and_fees(alice, bob):
    await alice.limit("SELL", "60000", "0.3")
    await alice.limit("SELL", "60001", "0.3")
    found = await bob.limit("BUY", "60001", "0.5")
    assert found["status"] == "FILLED"
    assert found["executedQty"] == "0.50000000"
    assert found["cummulativeQuoteQty"] == "30000.20000000"
    assert found["fills"] == [
        {
            "price": "60000.00000000",
            "qty": "0.30000000",
            "commission": "0.00030000",
            "commissionAsset": "BTC",
            "tradeId": 1,
        },
        {
            "price": "60001.00000000",
            "qty": "0.20000000",
            "commission": "0.00020000",
            "commissionAsset": "BTC",
            "tradeId": 2,
        },
    ]


async def test_what_does_not_trade_rests(alice, bob):
    await alice.limit("SELL", "60000", "0.3")
    found = await bob.limit("BUY", "60000", "0.5")
    assert (found["status"], found["executedQty"]) == ("PARTIALLY_FILLED", "0.30000000")


async def test_a_traded_order_tells_when_it_was_settled(world, alice, bob):
    """As `updateTime` of the order later; when it was accepted is its `workingTime`."""
    await alice.limit("SELL", "60000", "0.3")
    for response_type in ("ACK", "RESULT", "FULL"):
        accepted_ms = world.now_ms
        bought = bob.limit("BUY", "60000", "0.1", newOrderRespType=response_type)
        found = await world.settled_later(bought)
        assert world.now_ms > accepted_ms
        told_ms = accepted_ms if response_type == "ACK" else world.now_ms
        assert found["transactTime"] == told_ms
        assert found.get("workingTime", accepted_ms) == accepted_ms


async def test_an_order_without_fills_tells_when_it_was_accepted(world, alice):
    accepted_ms = world.now_ms
    found = await world.settled_later(alice.limit("BUY", "59000", "0.1"))
    assert (found["transactTime"], found["workingTime"]) == (accepted_ms, accepted_ms)


async def test_response_types_differ_in_their_fields(alice):
    _, ack = await alice.order(**LIMIT, newOrderRespType="ACK")
    _, result = await alice.order(**LIMIT | {"quantity": "0.2"}, newOrderRespType="RESULT")
    assert list(ack) == ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime"]
    assert "status" in result
    assert "fills" not in result


async def test_a_market_order_by_quantity(alice, bob):
    await alice.limit("SELL", "60000", "0.3")
    status, found = await bob.order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.2")
    assert status == 200
    assert (found["status"], found["price"]) == ("FILLED", "0.00000000")
    assert (found["origQty"], found["executedQty"]) == ("0.20000000", "0.20000000")
    assert (found["timeInForce"], found["type"]) == ("GTC", "MARKET")


async def test_a_market_order_by_quote(alice, bob):
    await alice.limit("SELL", "60000", "0.3")
    status, found = await bob.order(
        symbol="BTCUSDT", side="BUY", type="MARKET", quoteOrderQty="600"
    )
    assert status == 200
    assert found["status"] == "FILLED"
    assert found["origQuoteOrderQty"] == "600.00000000"
    assert (found["origQty"], found["executedQty"]) == ("0.01000000", "0.01000000")


async def test_a_market_order_without_liquidity_expires(alice):
    status, found = await alice.order(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="1")
    assert (status, found["status"]) == (200, "EXPIRED")


async def test_immediate_or_cancel_and_fill_or_kill(alice, bob):
    await alice.limit("SELL", "60000", "0.3")
    killed = await bob.limit("BUY", "60000", "0.5", timeInForce="FOK")
    assert (killed["status"], killed["executedQty"]) == ("EXPIRED", "0.00000000")
    partly = await bob.limit("BUY", "60000", "0.5", timeInForce="IOC")
    assert (partly["status"], partly["executedQty"]) == ("EXPIRED", "0.30000000")


async def test_a_limit_maker_that_would_take_is_refused(alice, bob):
    await alice.limit("SELL", "60000", "0.3")
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT_MAKER", "quantity": "0.1"}
    status, found = await bob.order(**order, price="60000")
    assert (status, found) == (
        400,
        {"code": -2010, "msg": "Order would immediately match and take."},
    )
    status, found = await bob.order(**order, price="59999")
    assert status == 200
    assert list(found) == ["symbol", "orderId", "orderListId", "clientOrderId", "transactTime"]


async def test_a_canceled_order(world, alice):
    placed = await alice.limit("BUY", "59000", "0.5", newClientOrderId="mine-1")
    query = alice.signed(symbol="BTCUSDT", orderId=placed["orderId"], newClientOrderId="stop-1")
    status, found, _ = await alice.send("DELETE", "/api/v3/order", query)
    assert status == 200
    assert found == {
        "symbol": "BTCUSDT",
        "origClientOrderId": "mine-1",
        "orderId": placed["orderId"],
        "orderListId": -1,
        "clientOrderId": "stop-1",
        "transactTime": world.now_ms,
        "price": "59000.00000000",
        "origQty": "0.50000000",
        "executedQty": "0.00000000",
        "origQuoteOrderQty": "0.00000000",
        "cummulativeQuoteQty": "0.00000000",
        "status": "CANCELED",
        "timeInForce": "GTC",
        "type": "LIMIT",
        "side": "BUY",
        "selfTradePreventionMode": "NONE",
    }


async def test_a_cancel_by_client_id_works_once(alice):
    await alice.limit("BUY", "59000", "0.5", newClientOrderId="mine-1")
    for expected in (200, 400):
        query = alice.signed(symbol="BTCUSDT", origClientOrderId="mine-1", recvWindow=expected)
        status, found, _ = await alice.send("DELETE", "/api/v3/order", query)
        assert status == expected
    assert found == {"code": -2011, "msg": "Unknown order sent."}


async def test_nobody_cancels_another_users_order(alice, bob):
    placed = await alice.limit("BUY", "59000", "0.5")
    query = bob.signed(symbol="BTCUSDT", orderId=placed["orderId"])
    status, found, _ = await bob.send("DELETE", "/api/v3/order", query)
    assert (status, found["code"]) == (400, -2011)


async def test_cancel_all(alice):
    orders = [await alice.limit("BUY", price, "0.1") for price in ("59000", "58000")]
    query = alice.signed(symbol="BTCUSDT")
    status, found, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
    assert status == 200
    assert sorted(o["orderId"] for o in found) == sorted(o["orderId"] for o in orders)
    assert {o["status"] for o in found} == {"CANCELED"}
    again = alice.signed(symbol="BTCUSDT", recvWindow=4_000)
    status, found, _ = await alice.send("DELETE", "/api/v3/openOrders", again)
    assert (status, found) == (400, {"code": -2011, "msg": "Unknown order sent."})


async def test_cancel_all_of_what_is_filled_meanwhile_cancels_nothing(world, alice, bob):
    await alice.limit("BUY", "59000", "0.1")
    world.exchange.held = []
    sold = asyncio.create_task(bob.limit("SELL", "59000", "0.1"))
    await world.until_held(1)
    query = alice.signed(symbol="BTCUSDT")
    canceled = asyncio.create_task(alice.send("DELETE", "/api/v3/openOrders", query))
    await world.until_held(2)
    world.exchange.release()
    assert (await sold)["status"] == "FILLED"
    status, found, _ = await canceled
    assert (status, found) == (400, {"code": -2011, "msg": "Unknown order sent."})


async def test_a_test_order_is_checked_and_not_placed(world, alice):
    before = len(world.exchange.records_in)
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET"}
    body = alice.signed(**order, quantity="1")
    status, found, _ = await alice.send("POST", "/api/v3/order/test", body=body)
    assert (status, found) == (200, {})
    body = alice.signed(**order, quantity="1e5")
    status, found, _ = await alice.send("POST", "/api/v3/order/test", body=body)
    assert (status, found["code"]) == (400, -1100)
    assert len(world.exchange.records_in) == before


async def test_order_headers(alice):
    body = alice.signed(**LIMIT)
    _, _, headers = await alice.send("POST", "/api/v3/order", body=body)
    assert headers["X-MBX-ORDER-COUNT-10S"] == "1"
    assert headers["X-MBX-ORDER-COUNT-1D"] == "1"
    assert int(headers["X-MBX-USED-WEIGHT-1M"]) == int(headers["X-MBX-USED-WEIGHT"]) == 1
    topic, _, cseq = headers["X-Log-Position"].partition("@")
    assert topic == f"ledger.ev.{alice.user_id % 2}"
    assert int(cseq) > 1


async def test_microseconds(world, alice):
    body = alice.signed(**LIMIT, timestamp=world.exchange.clock.us)
    unit = {"X-MBX-TIME-UNIT": "MICROSECOND"}
    _, found, _ = await alice.send("POST", "/api/v3/order", body=body, **unit)
    assert found["transactTime"] == world.exchange.clock.us
    body = alice.signed(**LIMIT | {"quantity": "0.2"}, timeUnit="MICROSECOND")
    _, found, _ = await alice.send("POST", "/api/v3/order", body=body)
    assert found["transactTime"] == world.exchange.clock.us


async def test_the_body_is_urlencoded_whatever_its_type_says(alice):
    json = {"Content-Type": "application/json"}
    body = alice.signed(**LIMIT)
    status, _, _ = await alice.send("POST", "/api/v3/order", body=body, **json)
    assert status == 200
    status, _, _ = await alice.send(
        "POST", "/api/v3/order", alice.signed(**LIMIT | {"quantity": "0.2"})
    )
    assert status == 200
