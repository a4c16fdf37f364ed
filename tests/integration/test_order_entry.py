"""Batches and the WebSocket on a running stack: orders that are settled, read, and told once."""

import asyncio
import base64
import json
import time
from contextlib import asynccontextmanager

import aiohttp
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.integration.trader import signature

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LIMIT = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
COUNT = 60


def resting(n: int) -> dict[str, str]:
    """A small order far from the market, which is told from others by its client id."""
    return LIMIT | {"price": f"{41_000 + n}", "quantity": "0.001", "newClientOrderId": f"n{n}"}


@asynccontextmanager
async def socket_of(stack):
    """Asks on a WebSocket; the answers by their ids."""
    url = f"{stack.url.replace('http', 'ws', 1)}/ws-api/v3"
    async with aiohttp.ClientSession() as session, session.ws_connect(url) as socket:

        async def ask(*requests: tuple[str, dict[str, object]]) -> list[dict]:
            for number, (method, params) in enumerate(requests):
                params = {"timestamp": time.time_ns() // 1_000_000} | params
                await socket.send_json({"id": number, "method": method, "params": params})
            async with asyncio.timeout(30):
                found = [await socket.receive_json() for _ in requests]
            return sorted(found, key=lambda answer: answer["id"])

        yield ask


def log_on(stack, account) -> dict[str, object]:
    """The parameters of a session.logon with a new Ed25519 key."""
    private = Ed25519PrivateKey.generate()
    public = base64.b64encode(private.public_key().public_bytes_raw()).decode()
    key = stack.admin("create-api-key", userId=account.user_id, publicKey=public)["apiKey"]
    timestamp = time.time_ns() // 1_000_000
    signed = private.sign(f"apiKey={key}&timestamp={timestamp}".encode())
    return {
        "apiKey": key,
        "timestamp": timestamp,
        "signature": base64.b64encode(signed).decode(),
    }


async def batch(stack, account, document: str, timestamp: int):
    """Status and body of a signed batch."""
    query = f"timestamp={timestamp}&recvWindow=60000"
    signed = f"{query}&signature={signature(account.secret, query + document)}"
    url = f"{stack.url}/x/v1/orders/batch?{signed}"
    headers = {"X-MBX-APIKEY": account.api_key}
    async with (
        aiohttp.ClientSession() as session,
        session.post(url, data=document, headers=headers) as answer,
    ):
        return answer.status, await answer.json()


async def test_orders_of_a_session_are_placed_read_and_canceled(stack, trader):
    async with socket_of(stack) as ask:
        (answer,) = await ask(("session.logon", log_on(stack, trader.account)))
        assert answer["status"] == 200, answer
        placed = await ask(*(("order.place", resting(n)) for n in range(COUNT)))
        assert [answer["status"] for answer in placed] == [200] * COUNT, placed
        ids = [answer["result"]["orderId"] for answer in placed]
        assert ids == sorted(set(ids)), "orders of one connection keep their order"
        # Each is read at once, and a cancel sent behind its order finds it.
        reads = [("order.status", {"symbol": "BTCUSDT", "orderId": each}) for each in ids[:5]]
        assert [answer["result"]["status"] for answer in await ask(*reads)] == ["NEW"] * 5
        late = resting(COUNT)
        cancel = {"symbol": "BTCUSDT", "origClientOrderId": late["newClientOrderId"]}
        _, canceled = await ask(("order.place", late), ("order.cancel", cancel))
        assert canceled["result"]["status"] == "CANCELED"
        (answer,) = await ask(("openOrders.cancelAll", {"symbol": "BTCUSDT"}))
        assert len(answer["result"]) == COUNT


async def test_a_batch_has_one_effect_however_often_it_is_sent(stack, trader):
    document = json.dumps([*(resting(n) for n in range(COUNT)), LIMIT])
    timestamp = time.time_ns() // 1_000_000
    first = await batch(stack, trader.account, document, timestamp)
    assert first[0] == 200
    *placed, refused = first[1]["orders"]
    assert [order["status"] for order in placed] == ["NEW"] * COUNT
    assert refused["code"] == -1102
    again = await batch(stack, trader.account, document, timestamp)
    assert again == first
    opened = trader.good("GET", "/api/v3/openOrders", symbol="BTCUSDT")
    assert len(opened) == COUNT
    canceled = trader.good("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")
    assert {order["orderId"] for order in canceled} == {order["orderId"] for order in placed}
