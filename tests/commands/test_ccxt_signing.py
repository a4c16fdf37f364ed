"""What ccxt signs is what is checked: its own code makes the requests of this test."""

import ccxt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.commands.world import ed25519_pair


def client(world, api_key: str, secret: str) -> ccxt.binance:
    exchange = ccxt.binance({"apiKey": api_key, "secret": secret})
    exchange.milliseconds = lambda: world.now_ms
    market = {
        "id": "BTCUSDT",
        "symbol": "BTC/USDT",
        "base": "BTC",
        "quote": "USDT",
        "type": "spot",
        "spot": True,
        "precision": {"amount": 0.00001, "price": 0.01},
        "info": {"orderTypes": ["LIMIT", "LIMIT_MAKER", "MARKET"]},
    }
    exchange.set_markets([exchange.deep_extend(exchange.safe_market(), market)])
    return exchange


async def send(world, exchange, path: str, method: str, params: dict):
    """Sign as ccxt does, send to the gateway, and give back what it answered."""
    signed = exchange.sign(path, ["private"], method, params)
    url = "/api/v3/" + signed["url"].split("/api/v3/")[1]
    answer = await world.gateway.request(
        method, url, data=signed["body"], headers=signed["headers"]
    )
    return answer.status, await answer.json()


@pytest.mark.parametrize("kind", ["hmac", "ed25519"])
async def test_orders_and_cancels_of_ccxt_are_understood(world, kind):
    alice = await world.add_user("alice", BTC="10", USDT="1000000")
    api_key, secret = alice.api_key, alice.secret
    if kind == "ed25519":
        private, public = ed25519_pair()
        key = await world.operate("create-api-key", userId=alice.user_id, publicKey=public)
        api_key = key["apiKey"]
        pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        secret = pem.decode()
    exchange = client(world, api_key, secret)
    order = exchange.create_order_request("BTC/USDT", "limit", "buy", 0.5, 59000, {})
    status, placed = await send(world, exchange, "order", "POST", order)
    assert status == 200, placed
    parsed = exchange.parse_order(placed)
    assert (parsed["status"], parsed["amount"], parsed["price"]) == ("open", 0.5, 59000)
    status, canceled = await send(
        world, exchange, "order", "DELETE", {"symbol": "BTCUSDT", "orderId": placed["orderId"]}
    )
    assert status == 200, canceled
    assert exchange.parse_order(canceled)["status"] == "canceled"


async def test_market_and_post_only_orders_of_ccxt_are_understood(world):
    alice = await world.add_user("alice", BTC="10", USDT="1000000")
    bob = await world.add_user("bob", BTC="10", USDT="1000000")
    await bob.limit("SELL", "60000", "1")
    exchange = client(world, alice.api_key, alice.secret)
    order = exchange.create_order_request("BTC/USDT", "market", "buy", 0.5, None, {"cost": 600})
    status, placed = await send(world, exchange, "order", "POST", order)
    assert status == 200, placed
    parsed = exchange.parse_order(placed)
    assert (parsed["status"], parsed["filled"], parsed["cost"]) == ("closed", 0.01, 600)
    assert parsed["fees"] == [{"currency": "BTC", "cost": 0.00001}]
    order = exchange.create_order_request(
        "BTC/USDT", "limit", "buy", 0.1, 60000, {"postOnly": True}
    )
    status, refused = await send(world, exchange, "order", "POST", order)
    assert (status, refused["msg"]) == (400, "Order would immediately match and take.")
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        exchange.throw_exactly_matched_exception(
            exchange.exceptions["exact"], refused["msg"], refused["msg"]
        )
