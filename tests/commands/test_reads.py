"""Reads on a WebSocket: the query API is asked on behalf of whom the gateway has authenticated."""

from contextlib import asynccontextmanager

import pytest_asyncio
from aiohttp.test_utils import TestServer

from commands.authentication import KeyAuthenticator
from commands.opened_secrets import OpenedSecrets
from commands.proxy import Proxy
from domain.accounts.messages import Scope
from domain.limits import DEFAULT_LIMITS
from infra.http import errors
from infra.http.app import Call, Endpoint, Frame, build_app
from infra.http.limits import RequestLimits
from infra.keys import SealingKeys, open_keys
from infra.ports import any_port
from infra.settings import load_settings
from tests.commands.socket_client import connected
from tests.commands.world import World, ed25519_pair, trading_world

LIMITED = 429
"""The order that nobody may ask for just now."""


async def show(call: Call):
    """An order that is who asked, or none."""
    if call.parameters.has("orderId") and call.parameters.text("orderId") == str(LIMITED):
        raise errors.too_much_weight(6_000, retry_after_s=7)
    if call.parameters.has("orderId"):
        raise errors.order_does_not_exist()
    call.parameters.refuse_unknown(("symbol", "origClientOrderId"))
    call.position = "ledger.ev.0@7"
    symbol = call.parameters.text("symbol")
    return {"user": call.sender.user_id, "symbol": symbol, "time": call.time(7_000)}


@asynccontextmanager
async def query_api(world: World, keys: SealingKeys, port: int):
    frame = Frame(
        authenticator=KeyAuthenticator(
            world.side.follower.credentials, OpenedSecrets(keys), keys.voucher
        ),
        limits=RequestLimits(lambda: DEFAULT_LIMITS),
        clock=world.exchange.clock,
        behind_proxy=True,
    )
    app = build_app(frame, [Endpoint("GET", "/api/v3/order", show, 4, Scope.READ)])
    async with TestServer(app, host="127.0.0.1", port=port):
        yield


@asynccontextmanager
async def world_with_reads(tmp_path, **options):
    """A trading world whose gateway asks a query API of its own."""
    port = any_port("127.0.0.1")
    proxy = Proxy(f"http://127.0.0.1:{port}")
    await proxy.start()
    keys = open_keys(load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)}).key_file)
    async with (
        trading_world(tmp_path, proxy=proxy, **options) as opened,
        query_api(opened, keys, port),
    ):
        yield opened
    await proxy.stop()


@pytest_asyncio.fixture
async def world(tmp_path):
    async with world_with_reads(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def alice(world):
    return await world.add_user("alice", USDT="1000000")


async def test_a_signed_request_is_asked_on(world, alice):
    async with connected(world, alice, "timeUnit=MICROSECOND") as client:
        params = client.signed(symbol="BTCUSDT", origClientOrderId="a&b =ü")
        answer = await client.ask("order.status", **params)
        assert answer["status"] == 200
        assert answer["result"] == {"user": alice.user_id, "symbol": "BTCUSDT", "time": 7_000}


async def test_a_session_is_asked_on_whatever_its_key(world, alice):
    private, public = ed25519_pair()
    key = await world.operate("create-api-key", userId=alice.user_id, publicKey=public)
    alice.api_key = key["apiKey"]
    async with connected(world, alice) as client:
        await client.ask("session.logon", **client.signed(key=private))
        answer = await client.ask("order.status", symbol="BTCUSDT", timestamp=world.now_ms)
        assert (answer["status"], answer["result"]["user"]) == (200, alice.user_id)


async def test_what_the_query_api_refuses_keeps_its_number(world, alice):
    async with connected(world, alice) as client:
        params = client.signed(symbol="BTCUSDT", orderId=1)
        answer = await client.ask("order.status", **params)
        assert (answer["status"], answer["error"]["code"]) == (400, -2013)
        # No such path there: an answer all the same.
        answer = await client.ask("myTrades", **client.signed(symbol="BTCUSDT"))
        assert (answer["status"], answer["error"]["code"]) == (404, -1000)


async def test_the_query_api_says_through_the_socket_when_to_come_again(world, alice):
    async with connected(world, alice) as client:
        params = client.signed(symbol="BTCUSDT", orderId=LIMITED)
        answer = await client.ask("order.status", **params)
        assert (answer["status"], answer["error"]["code"]) == (429, -1003)
        told = {"serverTime": world.now_ms, "retryAfter": world.now_ms + 7_000}
        assert answer["error"]["data"] == told


async def test_a_read_is_weighed_once_where_it_is_answered(world, alice):
    async with connected(world, alice) as client:
        for weight in (4, 8):
            answer = await client.ask("order.status", **client.signed(symbol="BTCUSDT"))
            assert answer["rateLimits"][0]["count"] == weight
            world.exchange.clock.us += 1_000
        answer = await client.ask("order.status", **client.signed(symbol="BTCUSDT", orderId=1))
        assert (answer["status"], answer["rateLimits"][0]["count"]) == (400, 12)
        answer = await client.ask("ping")
        assert answer["rateLimits"][0]["count"] == 1


async def test_nobody_vouches_at_the_public_port_or_with_another_key_file(world, alice, tmp_path):
    keys = open_keys(load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)}).key_file)
    body = f"symbol=BTCUSDT&timestamp={world.now_ms}"
    signature = keys.voucher(alice.api_key, body.encode())
    query = f"{body}&signature={signature}"
    status, found, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
    assert (status, found["code"]) == (400, -1022)
    forged = open_keys(tmp_path / "other.key").voucher(alice.api_key, body.encode())
    status, found, _ = await alice.send("GET", "/api/v3/order", f"{body}&signature={forged}")
    assert (status, found["code"]) == (400, -1022)
    status, found, _ = await alice.send("GET", "/api/v3/order", query)
    assert (status, found["user"]) == (200, alice.user_id)
