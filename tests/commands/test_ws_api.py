"""Orders on a WebSocket: the answers of HTTP in frames, sessions, and whatever is no frame."""

import asyncio
import json
from urllib.parse import urlencode

import pytest
import pytest_asyncio
from aiohttp import WSMsgType

from domain.orders.messages import CancelOrder, PlaceOrder
from infra.http import ws_api
from tests.commands.socket_client import connected, frame
from tests.commands.world import LIMIT, ed25519_pair, hmac_hex


@pytest_asyncio.fixture
async def client(world, alice):
    async with connected(world, alice) as opened:
        yield opened


async def test_ping_and_time(world, client):
    answer = await client.ask("ping")
    assert (answer["status"], answer["result"]) == (200, {})
    answer = await client.ask("v3/time")
    assert answer["result"] == {"serverTime": world.now_ms}


async def test_a_frame_of_too_many_parameters_is_refused(client):
    answer = await client.ask("ping", **{f"n{number}": number for number in range(101)})
    assert (answer["status"], answer["error"]["code"]) == (400, -1101)
    assert answer["rateLimits"][0]["count"] == 1


async def test_an_order_is_placed_tested_and_canceled(client):
    answer = await client.ask("order.test", **client.signed(**LIMIT))
    assert (answer["status"], answer["result"]) == (200, {})
    answer = await client.ask("order.place", **client.signed(**LIMIT, newClientOrderId="a"))
    placed = answer["result"]
    assert (answer["status"], placed["status"], placed["clientOrderId"]) == (200, "NEW", "a")
    assert [limit["rateLimitType"] for limit in answer["rateLimits"]] == [
        "REQUEST_WEIGHT",
        "ORDERS",
        "ORDERS",
    ]
    assert [limit["count"] for limit in answer["rateLimits"]] == [2, 1, 1]
    params = client.signed(symbol="BTCUSDT", origClientOrderId="a")
    answer = await client.ask("order.cancel", **params)
    assert answer["result"]["status"] == "CANCELED"
    answer = await client.ask("openOrders.cancelAll", **client.signed(symbol="BTCUSDT"))
    assert (answer["status"], answer["error"]["code"]) == (400, -2011)


async def test_a_traded_order_tells_when_it_was_settled(world, client, alice):
    await alice.limit("BUY", "59000", "0.1")
    accepted_ms = world.now_ms
    answer = await world.settled_later(
        client.ask("order.place", **client.signed(**LIMIT | {"side": "SELL"}))
    )
    sold = answer["result"]
    assert (sold["transactTime"], sold["workingTime"]) == (world.now_ms, accepted_ms)
    assert world.now_ms > accepted_ms


async def test_an_order_too_many_is_told_how_many_there_were(world, client):
    await world.operate("change-limits", ordersPer10s=1)
    await client.ask("order.place", **client.signed(**LIMIT))
    answer = await client.ask("order.place", **client.signed(**LIMIT, newClientOrderId="b"))
    assert (answer["status"], answer["error"]["code"]) == (429, -1015)
    (orders,) = [each for each in answer["rateLimits"] if each["rateLimitType"] == "ORDERS"]
    assert orders == {
        "rateLimitType": "ORDERS",
        "interval": "SECOND",
        "intervalNum": 10,
        "limit": 1,
        "count": 1,
    }


async def test_many_requests_are_on_their_way_at_once_and_keep_their_order(world, client):
    before = len(world.exchange.records_in)
    world.exchange.held = []
    ids = []
    for n in range(20):
        order = LIMIT | {"quantity": "0.01", "newClientOrderId": f"c{n}"}
        ids.append(await client.send("order.place", **client.signed(**order)))
        params = client.signed(symbol="BTCUSDT", origClientOrderId=f"c{n}")
        ids.append(await client.send("order.cancel", **params))
    # All were read before any is answered: this frame came last.
    assert (await client.say(frame("ping")))["result"] == {}
    world.exchange.release()
    answers = [await client.answer() for _ in ids]
    assert sorted(answer["id"] for answer in answers) == ids
    assert {answer["status"] for answer in answers} == {200}
    sent = [m for _, record, _ in world.exchange.records_in[before:] for m in record.messages]
    assert [type(message) for message in sent] == [PlaceOrder, CancelOrder] * 20


async def test_more_than_may_be_on_their_way_are_read_later(client, monkeypatch, world, alice):
    monkeypatch.setattr(ws_api, "MAX_IN_FLIGHT", 2)
    async with connected(world, alice) as narrow:
        world.exchange.held = []
        orders = [LIMIT | {"quantity": f"0.0{n}"} for n in range(1, 6)]
        ids = [await narrow.send("order.place", **narrow.signed(**each)) for each in orders]
        # Another connection is not held up; by its answer this process has read what it reads.
        assert (await client.ask("ping"))["status"] == 200
        sent = sum(len(messages) for *_, messages in world.exchange.held)
        assert sent <= 2
        world.exchange.release()
        answers = [await narrow.answer() for _ in ids]
        assert [answer["id"] for answer in answers] == ids
        assert {answer["status"] for answer in answers} == {200}


async def test_the_same_signed_parameters_have_one_effect_whatever_their_id(client):
    params = client.signed(**LIMIT)
    first = await client.ask("order.place", **params)
    again = await client.ask("order.place", **params)
    assert first["result"] == again["result"]


async def test_a_session_needs_neither_key_nor_signature(world, alice, client):
    private, public = ed25519_pair()
    key = await world.operate("create-api-key", userId=alice.user_id, publicKey=public)
    answer = await client.ask("order.place", **LIMIT, timestamp=world.now_ms)
    assert (answer["status"], answer["error"]["code"]) == (400, -1102)
    alice.api_key = key["apiKey"]
    answer = await client.ask("session.logon", **client.signed(key=private))
    assert (answer["status"], answer["result"]["apiKey"]) == (200, key["apiKey"])
    assert answer["result"]["authorizedSince"] == world.now_ms
    order = LIMIT | {"quantity": "0.01", "timestamp": world.now_ms}
    first = await client.ask("order.place", **order)
    second = await client.ask("order.place", **order)
    assert first["result"]["orderId"] != second["result"]["orderId"], "the id tells them apart"
    answer = await client.ask("order.place", **LIMIT)
    assert answer["error"]["code"] == -1102, "a timestamp is still wanted"
    assert (await client.ask("session.logout"))["result"]["apiKey"] is None
    assert (await client.ask("session.status"))["result"]["authorizedSince"] is None
    answer = await client.ask("order.place", **order)
    assert (answer["status"], answer["error"]["code"]) == (400, -1102)


async def test_a_session_ends_with_its_key(world, alice, client):
    await client.ask("session.logon", **client.signed())
    await world.operate("revoke-api-key", userId=alice.user_id, apiKey=alice.api_key)
    answer = await client.ask("order.place", **LIMIT, timestamp=world.now_ms)
    assert (answer["status"], answer["error"]["code"]) == (401, -2015)


async def test_a_session_may_do_what_its_key_may(world, alice, client):
    key = await world.operate("create-api-key", userId=alice.user_id, scopes="READ")
    alice.api_key, alice.secret = key["apiKey"], key["secretKey"]
    await client.ask("session.logon", **client.signed())
    answer = await client.ask("order.place", **LIMIT, timestamp=world.now_ms)
    assert (answer["status"], answer["error"]["code"]) == (401, -2015)


async def test_what_is_signed_may_be_percent_encoded(alice, client):
    params = LIMIT | {"apiKey": alice.api_key, "timestamp": alice.world.now_ms, "note": "a b"}
    payload = urlencode(sorted(params.items()))
    params["signature"] = hmac_hex(alice.secret, payload.encode())
    answer = await client.ask("order.place", **params)
    assert answer["error"]["code"] == -1104, "signed well, but there is no such parameter"
    params["signature"] = "0" * 64
    answer = await client.ask("order.place", **params)
    assert answer["error"]["code"] == -1022


async def test_numbers_keep_their_text(alice, client):
    payload = "&".join(
        f"{name}={text}"
        for name, text in sorted(
            (LIMIT | {"apiKey": alice.api_key, "timestamp": alice.world.now_ms}).items()
        )
    )
    signature = hmac_hex(alice.secret, payload.encode())
    params = LIMIT | {"apiKey": alice.api_key, "timestamp": alice.world.now_ms}
    text = frame("order.place", **params, signature=signature)
    text = text.replace('"0.1"', "0.1").replace('"59000"', "59000")
    assert (await client.say(text))["result"]["origQty"] == "0.10000000"


BAD_FRAMES = [
    ("", -1135, None),
    ("ping", -1135, None),
    ("[]", -1135, None),
    ("[" * 50_000, -1135, None),
    ('{"id":1,"id":2}', -1101, None),
    ('{"id":1.5,"method":"ping"}', -1100, None),
    ('{"id":{},"method":"ping"}', -1100, None),
    ('{"id":true,"method":"ping"}', -1100, None),
    (json.dumps({"id": "x" * 37, "method": "ping"}), -1100, None),
    ('{"id":7}', -1102, 7),
    ('{"id":7,"method":7.5}', -1020, 7),
    ('{"id":7,"method":"nothing"}', -1020, 7),
    ('{"id":"a","method":"\\ud800"}', -1020, "a"),
    ('{"id":7,"method":"ping","params":[]}', -1130, 7),
    ('{"id":7,"method":"ping","params":{"a":null}}', -1130, 7),
    ('{"id":7,"method":"ping","params":{"a":"\\ud800"}}', -1100, 7),
    ('{"id":7,"method":"order.place","params":{"apiKey":""}}', -1105, 7),
    ('{"id":7,"method":"order.place","params":{"apiKey":"?"}}', -2014, 7),
    ('{"id":7,"method":"order.place","params":{"apiKey":"kkkkkkkkkkkkkkkkkkkk"}}', -2015, 7),
    ('{"id":7,"method":"order.status","params":{}}', -1020, 7),
]


@pytest.mark.parametrize(("text", "code", "frame_id"), BAD_FRAMES)
async def test_a_bad_frame_gets_a_number_and_the_connection_lives(client, text, code, frame_id):
    answer = await client.say(text)
    assert (answer["error"]["code"], answer["id"]) == (code, frame_id)
    assert 400 <= answer["status"] < 500
    await client.socket.send_bytes(b"\x00\xff")
    assert (await client.answer())["error"]["code"] == -1135
    assert (await client.ask("ping"))["status"] == 200


async def test_too_large_a_frame_ends_the_connection_alone(world, alice, client):
    async with connected(world, alice) as other:
        await other.socket.send_str("x" * 70_000)
        closed = await other.socket.receive()
        assert closed.data == 1009
    assert (await client.ask("ping"))["status"] == 200


async def test_too_much_weight_says_when_to_come_again(world, client):
    await world.operate("change-limits", requestWeightPerMinute=3)
    answers = [await client.ask("ping") for _ in range(4)]
    assert [answer["status"] for answer in answers] == [200, 200, 200, 429]
    error = answers[-1]["error"]
    assert error["code"] == -1003
    assert error["data"]["serverTime"] == world.now_ms
    assert world.now_ms < error["data"]["retryAfter"] <= world.now_ms + 60_000
    assert [answer["rateLimits"][0]["count"] for answer in answers] == [1, 2, 3, 4]


async def test_who_knows_a_key_alone_burns_the_weight_of_their_address(world, client):
    await world.operate("change-limits", requestWeightPerMinute=3)
    forged = client.signed(**LIMIT) | {"quantity": "0.2"}
    answers = [await client.ask("order.place", **forged) for _ in range(24)]
    assert [answer["status"] for answer in answers] == [400] * 3 + [429] * 20 + [418]
    params = client.signed(**LIMIT, newClientOrderId="a")
    answer = await client.ask("order.place", **params)
    assert (answer["status"], answer["rateLimits"][0]["count"]) == (200, 1)
    for name, status in (("a", 200), ("b", 400), ("c", 429)):
        params = client.signed(symbol="BTCUSDT", origClientOrderId=name)
        assert (await client.ask("order.cancel", **params))["status"] == status


async def test_options_of_the_address(world, alice):
    async with connected(world, alice, "returnRateLimits=false&timeUnit=microsecond") as client:
        answer = await client.ask("time")
        assert set(answer) == {"id", "status", "result"}
        assert answer["result"] == {"serverTime": world.exchange.clock.us}
    async with connected(world, alice) as client:
        assert "rateLimits" not in await client.ask("ping", returnRateLimits=False)


async def test_what_is_no_websocket_gets_a_number(world):
    answer = await world.gateway.get("/ws-api/v3")
    assert (answer.status, (await answer.json())["code"]) == (400, -1000)


async def test_a_client_is_told_that_the_gateway_stops(world, alice):
    async with connected(world, alice) as client:
        assert (await client.ask("ping"))["status"] == 200
        stopping = asyncio.create_task(world.gateway.server.runner.cleanup())
        closed = await client.socket.receive(timeout=5)
        assert closed.data == 1001
        await stopping


async def test_an_unknown_outcome_is_said_and_others_go_on(world, client):
    world.exchange.held = []
    lost = await client.send("order.place", **client.signed(**LIMIT))
    assert (await client.ask("ping"))["status"] == 200
    answer = await client.answer()
    assert (answer["id"], answer["status"], answer["error"]["code"]) == (lost, 503, -1007)


async def test_what_is_on_its_way_is_answered_before_the_gateway_stops(world, client):
    before = len(world.exchange.records_in)
    world.exchange.held = []
    placed = await client.send("order.place", **client.signed(**LIMIT))
    assert (await client.ask("ping"))["status"] == 200
    stopping = asyncio.create_task(world.gateway.server.runner.cleanup())
    await asyncio.sleep(0.05)
    await client.send("order.place", **client.signed(**LIMIT, newClientOrderId="late"))
    await asyncio.sleep(0.05)
    world.exchange.release()
    answer = await client.answer()
    assert (answer["id"], answer["status"], answer["result"]["status"]) == (placed, 200, "NEW")
    closed = await client.socket.receive(timeout=5)
    assert (closed.type, closed.data) == (WSMsgType.CLOSE, 1001)
    await stopping
    assert len(world.exchange.records_in) == before + 1, "what came later was not read"


async def test_an_order_without_outcome_is_answered_too_when_the_gateway_stops(world, client):
    world.exchange.held = []
    lost = await client.send("order.place", **client.signed(**LIMIT))
    assert (await client.ask("ping"))["status"] == 200
    stopping = asyncio.create_task(world.gateway.server.runner.cleanup())
    answer = await client.answer()
    assert (answer["id"], answer["error"]["code"]) == (lost, -1007)
    assert (await client.socket.receive(timeout=5)).data == 1001
    await stopping
