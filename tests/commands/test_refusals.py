"""Every number and text of the interface that order entry can answer."""

import asyncio

from commands.reasons import order_error
from domain.limits import DEFAULT_LIMITS
from domain.orders.messages import OrderReason
from tests.commands.world import LIMIT

NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"


def limit(**changes):
    """A limit order with other fields; None takes one away."""
    fields = LIMIT | changes
    return {name: value for name, value in fields.items() if value is not None}


def market(**changes):
    return limit(type="MARKET", price=None, timeInForce=None, quantity=None) | changes


def mandatory(name):
    return -1102, f"Mandatory parameter '{name}' was not sent, was empty/null, or malformed."


def illegal(name, legal=NUMBER):
    return -1100, f"Illegal characters found in parameter '{name}'; legal range is '{legal}'."


def not_required(name):
    return -1106, f"Parameter '{name}' sent when not required."


CLIENT_ID = "^[a-zA-Z0-9-_]{1,36}$"
PREVENTION = "This symbol does not allow the specified self-trade prevention mode."

REFUSALS = [
    (limit(symbol=None), mandatory("symbol")),
    (limit(symbol=""), (-1105, "Parameter 'symbol' was empty.")),
    (limit(symbol="btc/usdt"), illegal("symbol", "^[A-Z0-9-_.]{1,20}$")),
    (limit(symbol="NOSUCH"), (-1121, "Invalid symbol.")),
    (limit(side=None), mandatory("side")),
    (limit(side="HOLD"), (-1117, "Invalid side.")),
    (limit(side="buy"), (-1117, "Invalid side.")),
    (limit(type=None), mandatory("type")),
    (limit(type="ICEBERG"), (-1116, "Invalid orderType.")),
    (limit(timeInForce=None), mandatory("timeInForce")),
    (limit(timeInForce="GTX"), (-1115, "Invalid timeInForce.")),
    (limit(price=None), mandatory("price")),
    (limit(quantity=None), mandatory("quantity")),
    (limit(quoteOrderQty="10"), not_required("quoteOrderQty")),
    (limit(type="LIMIT_MAKER"), (-1114, "TimeInForce parameter sent when not required.")),
    (
        market(),
        (-1102, "Param 'quantity' or 'quoteOrderQty' must be sent, but both were empty/null!"),
    ),
    (
        market(quantity="1", quoteOrderQty="1"),
        (-1128, "Combination of optional parameters invalid."),
    ),
    (market(quantity="1", price="1"), not_required("price")),
    (
        market(quantity="1", timeInForce="GTC"),
        (-1114, "TimeInForce parameter sent when not required."),
    ),
    (limit(quantity="NaN"), illegal("quantity")),
    (limit(quantity="Infinity"), illegal("quantity")),
    (limit(quantity="1e5"), illegal("quantity")),
    (limit(quantity="١"), illegal("quantity")),
    (limit(quantity="-0"), illegal("quantity")),
    (limit(quantity="-1"), illegal("quantity")),
    (limit(quantity="+1"), illegal("quantity")),
    (limit(quantity=" 1"), illegal("quantity")),
    (limit(quantity="0x10"), illegal("quantity")),
    (limit(quantity="1,5"), illegal("quantity")),
    (limit(quantity="1" * 41), illegal("quantity")),
    (limit(price="NaN"), illegal("price")),
    (
        limit(quantity="0.1234567890123456789"),
        (-1111, "Parameter 'quantity' has too much precision."),
    ),
    (limit(price="1.123456789"), (-1111, "Parameter 'price' has too much precision.")),
    (
        market(quoteOrderQty="1.123456789"),
        (-1111, "Parameter 'quoteOrderQty' has too much precision."),
    ),
    (limit(price="59000.001"), (-1013, "Filter failure: PRICE_FILTER")),
    (limit(price="9" * 30), (-1013, "Filter failure: PRICE_FILTER")),
    (limit(price="2000000"), (-1013, "Filter failure: PRICE_FILTER")),
    (limit(quantity="0.000001"), (-1013, "Filter failure: LOT_SIZE")),
    (limit(quantity="1000"), (-1013, "Filter failure: LOT_SIZE")),
    (limit(quantity="99999999999999999999"), (-1013, "Filter failure: LOT_SIZE")),
    (limit(price="0"), (-1013, "Invalid price.")),
    (limit(quantity="0.00000000"), (-1013, "Invalid quantity.")),
    (market(quoteOrderQty="0"), (-1013, "Invalid quantity.")),
    (limit(price="500000"), (-1013, "Filter failure: PERCENT_PRICE_BY_SIDE")),
    (limit(quantity="0.00001"), (-1013, "Filter failure: NOTIONAL")),
    (market(quoteOrderQty="1"), (-1013, "Filter failure: NOTIONAL")),
    (
        limit(quantity="50"),
        (-2010, "Account has insufficient balance for requested action."),
    ),
    (limit(newClientOrderId="a b"), illegal("newClientOrderId", CLIENT_ID)),
    (limit(newClientOrderId="x" * 37), illegal("newClientOrderId", CLIENT_ID)),
    (
        limit(newOrderRespType="ALL"),
        (-1130, "Data sent for parameter 'newOrderRespType' is not valid."),
    ),
    (
        limit(type="STOP_LOSS_LIMIT", stopPrice="1"),
        (-2010, "Stop loss limit orders are not supported for this symbol."),
    ),
    (
        market(type="TAKE_PROFIT", quantity="1", stopPrice="1"),
        (-2010, "Take profit orders are not supported for this symbol."),
    ),
    (limit(stopPrice="1"), not_required("stopPrice")),
    (limit(icebergQty="0.01"), (-2010, "Iceberg orders are not supported for this symbol.")),
    (limit(trailingDelta="10"), (-2010, "Trailing stop orders are not supported for this symbol.")),
    (limit(selfTradePreventionMode="EXPIRE_BOTH"), (-2010, PREVENTION)),
    (
        limit(selfTradePreventionMode="SOME"),
        (-1130, "Data sent for parameter 'selfTradePreventionMode' is not valid."),
    ),
    (limit(strategyId="1"), not_required("strategyId")),
    (limit(strategyType="1000000"), not_required("strategyType")),
    (
        limit(pegPriceType="PRIMARY_PEG"),
        (
            -1104,
            "Not all sent parameters were read; read '8' parameter(s) but was sent '9'.",
        ),
    ),
]


async def test_bad_orders_and_the_next_good_one(alice):
    for order, (code, msg) in REFUSALS:
        status, found = await alice.order(**order)
        assert (status, found) == (400, {"code": code, "msg": msg}), order
    await alice.limit("BUY", "59000", "0.1")


LEDGERS_ALONE = ("PERCENT_PRICE_BY_SIDE", "insufficient balance")
"""Texts of what a test order is not checked for."""


async def test_a_test_order_gets_the_number_that_the_order_would_get(world, alice):
    before = len(world.exchange.records_in)
    for order, (code, msg) in REFUSALS:
        status, found = await alice.try_order(**order)
        if any(text in msg for text in LEDGERS_ALONE):
            assert (status, found) == (200, {}), order
        else:
            assert (status, found) == (400, {"code": code, "msg": msg}), order
    assert len(world.exchange.records_in) == before


async def test_bad_cancels(alice):
    both = "Param 'origClientOrderId' or 'orderId' must be sent, but both were empty/null!"
    cases: list[tuple[dict[str, object], tuple[int, str]]] = [
        ({"symbol": "BTCUSDT"}, (-1102, both)),
        ({"orderId": 1}, mandatory("symbol")),
        ({"symbol": "BTCUSDT", "orderId": "x"}, illegal("orderId", "^[0-9]{1,19}$")),
        (
            {"symbol": "BTCUSDT", "orderId": 0},
            (-1130, "Data sent for parameter 'orderId' is not valid."),
        ),
        ({"symbol": "BTCUSDT", "orderId": 99}, (-2011, "Unknown order sent.")),
        ({"symbol": "BTCUSDT", "origClientOrderId": "none"}, (-2011, "Unknown order sent.")),
        (
            {"symbol": "BTCUSDT", "orderId": 1, "cancelRestrictions": "ONLY_NEW"},
            not_required("cancelRestrictions"),
        ),
    ]
    for params, (code, msg) in cases:
        query = alice.signed(**params)
        status, found, _ = await alice.send("DELETE", "/api/v3/order", query)
        assert (status, found) == (400, {"code": code, "msg": msg}), params


async def test_a_client_order_id_is_free_again_once_closed(alice):
    placed = await alice.limit("BUY", "59000", "0.1", newClientOrderId="one")
    status, found = await alice.order(**limit(newClientOrderId="one", quantity="0.2"))
    assert (status, found) == (400, {"code": -2010, "msg": "Duplicate order sent."})
    query = alice.signed(symbol="BTCUSDT", orderId=placed["orderId"])
    await alice.send("DELETE", "/api/v3/order", query)
    await alice.limit("BUY", "59000", "0.3", newClientOrderId="one")


async def test_a_halted_market_and_a_disabled_user_cancel_only(world, alice):
    placed = await alice.limit("BUY", "59000", "0.1")
    await world.operate("halt-market", symbol="BTCUSDT")
    closed = (400, {"code": -2010, "msg": "Market is closed."})
    assert await alice.order(**limit(quantity="0.3")) == closed
    assert await alice.try_order(**limit(quantity="0.3")) == closed
    await world.operate("resume-market", symbol="BTCUSDT")
    await world.operate("disable-user", userId=alice.user_id)
    disabled = (400, {"code": -2010, "msg": "This action is disabled on this account."})
    assert await alice.order(**limit(quantity="0.2")) == disabled
    assert await alice.try_order(**limit(quantity="0.2")) == disabled
    query = alice.signed(symbol="BTCUSDT", orderId=placed["orderId"])
    status, _, _ = await alice.send("DELETE", "/api/v3/order", query)
    assert status == 200


async def test_order_limits_are_values_in_the_log(world, alice):
    await world.operate("change-limits", ordersPer10s=2)
    for quantity in ("0.1", "0.2"):
        await alice.limit("BUY", "59000", quantity)
    body = alice.signed(**limit(quantity="0.3"))
    status, found, headers = await alice.send("POST", "/api/v3/order", body=body)
    msg = "Too many new orders; current limit is 2 orders per 10 SECOND."
    assert (status, found) == (429, {"code": -1015, "msg": msg})
    assert 1 <= int(headers["Retry-After"]) <= 10
    assert headers["X-MBX-ORDER-COUNT-10S"] == "2"


def test_too_many_orders_may_be_tried_again_when_the_window_ends():
    reason = OrderReason.TOO_MANY_ORDERS_10S
    assert order_error(reason, DEFAULT_LIMITS, 1_234_567_000_001).headers["Retry-After"] == "3"
    reason = OrderReason.TOO_MANY_ORDERS_1D
    assert order_error(reason, DEFAULT_LIMITS, 86_399_999_999).headers["Retry-After"] == "1"


async def test_request_weight_ends_in_429_and_then_418(world, alice):
    await world.operate("change-limits", requestWeightPerMinute=2)
    answers = []
    for recv_window in range(1_000, 1_024):
        body = alice.signed(**limit(symbol="NOSUCH"), recvWindow=recv_window)
        answers.append(await alice.send("POST", "/api/v3/order", body=body))
    assert [status for status, _, _ in answers] == [400] * 2 + [429] * 20 + [418] * 2
    _, too_much, headers = answers[2]
    assert too_much["code"] == -1003
    assert too_much["msg"].startswith(
        "Too much request weight used; current limit is 2 request weight per 1 MINUTE."
    )
    assert 1 <= int(headers["Retry-After"]) <= 60
    _, banned, headers = answers[-1]
    until = world.now_ms + 120_000
    assert banned["msg"].startswith(f"Way too much request weight used; IP banned until {until}.")
    assert headers["Retry-After"] == "120"


async def test_transport(alice):
    large = "symbol=" + "A" * 2_000_000
    status, found, _ = await alice.send("POST", "/api/v3/order", body=large)
    assert (status, found["code"]) == (413, -1101)
    status, found, _ = await alice.send("POST", "/api/v3/order", "symbol=%zz")
    assert (status, found) == (
        400,
        {"code": -1100, "msg": "Illegal characters found in a parameter."},
    )
    status, found, _ = await alice.send("POST", "/api/v3/order", body="symbol=%ff")
    assert (status, found["code"]) == (400, -1100)
    status, found, _ = await alice.send("POST", "/api/v3/order", body="a=1&a=2")
    assert (status, found["code"]) == (400, -1101)
    status, found, _ = await alice.send("PUT", "/api/v3/order")
    assert (status, found["code"]) == (405, -1000)
    status, found, _ = await alice.send("GET", "/nothing/here")
    assert (status, found["code"]) == (404, -1000)
    await alice.limit("BUY", "59000", "0.1")


async def test_keys_and_signatures(world, alice):
    body = alice.signed(**limit())
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body.replace("0.1", "0.2"))
    assert (status, found["code"]) == (400, -1022)
    no_key = {"X-MBX-APIKEY": ""}
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body, **no_key)
    assert (status, found) == (401, {"code": -2014, "msg": "API-key format invalid."})
    read_only = await world.operate("create-api-key", userId=alice.user_id, scopes="READ")
    alice.api_key, alice.secret = read_only["apiKey"], read_only["secretKey"]
    status, found = await alice.order(**limit())
    assert (status, found["code"]) == (401, -2015)


async def test_who_knows_a_key_alone_burns_the_weight_of_their_address(world, alice):
    await world.operate("change-limits", requestWeightPerMinute=3)
    forged = alice.signed(**limit()).replace("0.1", "0.2")
    answers = [await alice.send("POST", "/api/v3/order", body=forged) for _ in range(24)]
    assert [status for status, *_ in answers] == [400] * 3 + [429] * 20 + [418]
    assert [headers["X-MBX-USED-WEIGHT"] for *_, headers in answers[:4]] == ["1", "2", "3", "4"]
    unsigned = await world.gateway.get("/nowhere", headers={"X-MBX-APIKEY": alice.api_key})
    assert unsigned.headers["X-MBX-USED-WEIGHT"] == "23", "a key that nobody proved counts nothing"
    for weight, expected in (("1", 400), ("2", 400), ("3", 400), ("4", 429)):
        query = alice.signed(symbol="BTCUSDT", orderId=weight)
        status, _, headers = await alice.send("DELETE", "/api/v3/order", query)
        assert (status, headers["X-MBX-USED-WEIGHT-1M"]) == (expected, weight)


async def test_a_key_is_charged_for_what_it_may_not_do(world, alice):
    key = await world.operate("create-api-key", userId=alice.user_id, scopes="READ")
    alice.api_key, alice.secret = key["apiKey"], key["secretKey"]
    await world.gateway.get("/nowhere")
    status, _, headers = await alice.send("POST", "/api/v3/order", body=alice.signed(**limit()))
    assert (status, headers["X-MBX-USED-WEIGHT"]) == (401, "1")


async def test_a_request_is_as_old_as_its_last_byte(world, alice):
    body = alice.signed(**limit(), recvWindow=1_000).encode()

    async def slowly():
        yield body[:10]
        await asyncio.sleep(0.05)
        world.exchange.clock.us += 1_001_000
        yield body[10:]

    headers = {"X-MBX-APIKEY": alice.api_key}
    answer = await world.gateway.post("/api/v3/order", data=slowly(), headers=headers)
    assert (answer.status, (await answer.json())["code"]) == (400, -1021)
