"""Batches of orders: one record, an answer for each in its place, one effect for equal bytes."""

import json

import pytest

from domain.orders.messages import PlaceOrder
from tests.commands.world import LIMIT, hmac_hex

PATH = "/x/v1/orders/batch"


async def send(user, document, query=""):
    """Status and body of a batch; a document that is no text is made JSON."""
    body = document if isinstance(document, str) else json.dumps(document)
    query = query or f"timestamp={user.world.now_ms}&recvWindow=60000"
    signature = hmac_hex(user.secret, (query + body).encode())
    return await user.send("POST", PATH, f"{query}&signature={signature}", body)


async def test_each_order_has_its_own_answer_and_all_stand_in_one_record(world, alice):
    before = len(world.exchange.records_in)
    status, found, headers = await send(
        alice,
        [
            LIMIT | {"newClientOrderId": "a"},
            LIMIT | {"price": "NaN"},
            LIMIT | {"newClientOrderId": "a"},
            LIMIT | {"side": "SELL", "price": "58000", "newOrderRespType": "FULL"},
            LIMIT | {"newOrderRespType": "ACK", "newClientOrderId": "b"},
        ],
    )
    assert status == 200
    placed, malformed, duplicate, sold, accepted = found["orders"]
    assert (placed["status"], placed["clientOrderId"]) == ("NEW", "a")
    assert malformed["code"] == -1100
    assert duplicate == {"code": -2010, "msg": "Duplicate order sent."}
    assert (sold["status"], sold["fills"][0]["price"]) == ("FILLED", "59000.00000000")
    assert set(accepted) == {"symbol", "orderId", "orderListId", "clientOrderId", "transactTime"}
    assert found["meta"]["position"] == headers["X-Log-Position"] != ""
    sent = [record for _, record, _ in world.exchange.records_in[before:]]
    assert [[type(m) for m in record.messages] for record in sent] == [[PlaceOrder] * 4]


async def test_a_traded_order_tells_when_it_was_settled(world, alice):
    await alice.limit("BUY", "59000", "0.1")
    accepted_ms = world.now_ms
    _, found, _ = await world.settled_later(send(alice, [LIMIT | {"side": "SELL"}]))
    (sold,) = found["orders"]
    assert (sold["transactTime"], sold["workingTime"]) == (world.now_ms, accepted_ms)
    assert world.now_ms > accepted_ms


async def test_the_same_bytes_get_the_same_answers(world, alice):
    query = f"timestamp={world.now_ms}"
    document = [LIMIT | {"price": str(50_000 + n), "quantity": "0.01"} for n in range(40)]
    first = await send(alice, document, query)
    assert [order["status"] for order in first[1]["orders"]] == ["NEW"] * 40
    assert len({order["orderId"] for order in first[1]["orders"]}) == 40
    again = await send(alice, document, query)
    assert again[:2] == first[:2]
    status, canceled, _ = await alice.send(
        "DELETE", "/api/v3/openOrders", alice.signed(symbol="BTCUSDT")
    )
    assert (status, len(canceled)) == (200, 40)


@pytest.mark.parametrize(("count", "weight"), [(1, 5), (5, 5), (6, 6), (100, 100)])
async def test_a_batch_weighs_as_much_as_its_orders_and_5_at_least(alice, count, weight):
    _, found, headers = await send(alice, count * [LIMIT | {"side": "HOLD"}])
    assert [order["code"] for order in found["orders"]] == count * [-1117]
    assert headers["X-MBX-USED-WEIGHT-1M"] == str(weight)


async def test_a_batch_that_is_too_heavy_reaches_no_log(world, alice):
    await world.operate("change-limits", requestWeightPerMinute=30)
    before = len(world.exchange.records_in)
    document = [LIMIT | {"quantity": "0.01"}] * 20
    status, _, headers = await send(alice, document)
    assert (status, headers["X-MBX-USED-WEIGHT-1M"]) == (200, "20")
    after = len(world.exchange.records_in)
    assert after == before + 1
    status, found, headers = await send(alice, document, f"timestamp={world.now_ms + 1}")
    assert (status, found["code"]) == (429, -1003)
    assert headers["X-MBX-USED-WEIGHT-1M"] == "40"
    assert headers["Retry-After"]
    assert len(world.exchange.records_in) == after


async def test_a_batch_is_one_request_whatever_it_weighs(world, alice):
    await world.operate("change-limits", rawRequestsPer5m=2)
    for late, status in ((0, 200), (1, 200), (2, 429)):
        answer = await send(alice, 6 * [LIMIT], f"timestamp={world.now_ms + late}")
        assert answer[0] == status


async def test_numbers_may_be_numbers_and_keep_their_text(alice):
    document = json.dumps([LIMIT]).replace('"0.1"', "0.10").replace('"59000"', "59000")
    _, found, _ = await send(alice, document)
    assert found["orders"][0]["origQty"] == "0.10000000"
    _, found, _ = await send(alice, json.dumps([LIMIT]).replace('"0.1"', "1e-1"))
    assert found["orders"][0]["code"] == -1100


@pytest.mark.parametrize(
    ("element", "code"),
    [
        (7, -1135),
        ([], -1135),
        (LIMIT | {"quantity": None}, -1130),
        (LIMIT | {"quantity": ["1"]}, -1130),
        (LIMIT | {"newClientOrderId": "\ud800"}, -1100),
        (LIMIT | {"timestamp": 1}, -1106),
        (LIMIT | {"pegPriceType": "x"}, -1104),
        (LIMIT | {"iceberg": True}, -1104),
        (LIMIT | {"symbol": "NOSUCH"}, -1121),
        ({}, -1102),
    ],
)
async def test_a_bad_element_is_an_error_in_its_place(alice, element, code):
    status, found, _ = await send(alice, [element, LIMIT])
    assert status == 200
    assert found["orders"][0]["code"] == code
    assert found["orders"][1]["status"] == "NEW"


@pytest.mark.parametrize(
    ("document", "code"),
    [
        ("", -1135),
        ("{}", -1135),
        ("[", -1135),
        ("[NaN]", -1135),
        ("[" * 30_000, -1135),
        ("\xff", -1135),
        ('[{"side":"BUY","side":"SELL"}]', -1101),
        ("[]", -1130),
        (json.dumps([LIMIT] * 101), -1130),
    ],
)
async def test_a_bad_batch_is_refused_as_a_whole(world, alice, document, code):
    before = len(world.exchange.records_in)
    status, found, _ = await send(alice, document)
    assert (status, found["code"]) == (400, code)
    assert len(world.exchange.records_in) == before


async def test_the_body_is_signed(alice):
    body = json.dumps([LIMIT])
    query = f"timestamp={alice.world.now_ms}"
    signature = hmac_hex(alice.secret, (query + body).encode())
    changed = body.replace("0.1", "9.1")
    status, found, _ = await alice.send("POST", PATH, f"{query}&signature={signature}", changed)
    assert (status, found["code"]) == (400, -1022)
    # Nor does a signature in the document stand for one, whatever is around it.
    status, found, _ = await alice.send("POST", PATH, query, f"{body}&signature={signature}")
    assert (status, found["code"]) == (400, -1102)


async def test_a_batch_without_outcome_is_unknown_order_by_order(world, alice):
    world.exchange.held = []
    status, found, _ = await send(alice, [LIMIT, LIMIT | {"side": "HOLD"}])
    assert status == 200
    assert [order["code"] for order in found["orders"]] == [-1007, -1117]
