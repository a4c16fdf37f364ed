"""A served exchange for contract tests: gateway and admin clients over the fake exchange."""

import asyncio
import base64
import hashlib
import hmac
from collections.abc import Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast
from urllib.parse import urlencode

from aiohttp.test_utils import TestClient, TestServer
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from yarl import URL

from commands.execution import Execution
from commands.serve import build_gateway_app, build_operator_app
from commands.write_side import open_write_side
from domain.limits import DEFAULT_LIMITS, Limits
from infra.keys import open_keys
from infra.log import Log
from infra.settings import load_settings
from tests.commands.fake_exchange import FakeAppender, FakeClock, FakeExchange, FakeLog

TOKEN = "t" * 40
MARKET = {
    "symbol": "BTCUSDT",
    "base": "BTC",
    "quote": "USDT",
    "quantityStep": "0.00001",
    "priceStep": "0.01",
    "referencePrice": "60000",
    "minPrice": "0.01",
    "maxPrice": "1000000",
    "minQuantity": "0.00001",
    "maxQuantity": "100",
    "minNotional": "5",
    "maxNotional": "9000000",
}
LIMIT: dict[str, Any] = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "price": "59000",
    "quantity": "0.1",
}
"""A limit order that rests in that market."""


class World:
    """Clients, users and what stands behind them."""

    def __init__(self, exchange, appender, side, gateway, admin) -> None:
        self.exchange: FakeExchange = exchange
        self.appender: FakeAppender = appender
        self.side = side
        self.gateway: TestClient = gateway
        self.admin: TestClient = admin

    @property
    def now_ms(self) -> int:
        return self.exchange.clock.us // 1_000

    async def operate(self, operation: str, status: int = 200, **body):
        headers = {"Authorization": f"Bearer {TOKEN}"}
        answer = await self.admin.post(f"/admin/v1/{operation}", json=body, headers=headers)
        found = await answer.json()
        assert answer.status == status, found
        return found

    async def until_missing(self, expected: list[str]) -> None:
        """Wait until just this keeps the gateway from being ready."""
        for _ in range(500):
            answer = await self.gateway.get("/health/ready")
            if (await answer.json()).get("missing", []) == expected:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{expected} must be missing")

    async def until_held(self, count: int) -> None:
        """Wait until the exchange holds back so many commands."""
        for _ in range(150):
            held = self.exchange.held or []
            if sum(len(messages) for *_, messages in held) == count:
                return
            await asyncio.sleep(0.01)
        raise AssertionError(f"{count} commands were wanted, were {self.exchange.held}")

    async def settled_later(self, order: Coroutine[Any, Any, Any]) -> Any:
        """The answer to an order that is accepted now, and reported by the books 7 ms later."""
        self.exchange.held = []
        placed = asyncio.create_task(order)
        await self.until_held(1)
        self.exchange.clock.us += 7_000
        self.exchange.tick(down=["L0", "L1"])
        self.exchange.release()
        return await placed

    async def add_user(self, login: str, **money: str) -> "User":
        user_id = (await self.operate("register-user", login=login))["userId"]
        for asset, amount in money.items():
            reference = f"{login}-{asset}"
            await self.operate(
                "deposit", userId=user_id, asset=asset, amount=amount, reference=reference
            )
        key = await self.operate("create-api-key", userId=user_id)
        return User(self, user_id, key["apiKey"], key["secretKey"])


class User:
    """A trader with an HMAC key."""

    def __init__(self, world: World, user_id: int, api_key: str, secret: str) -> None:
        self.world = world
        self.user_id = user_id
        self.api_key = api_key
        self.secret = secret

    def signed(self, **params) -> str:
        """The urlencoded parameters with timestamp and signature."""
        params.setdefault("timestamp", self.world.now_ms)
        payload = urlencode(params)
        return f"{payload}&signature={hmac_hex(self.secret, payload.encode())}"

    async def send(self, method: str, path: str, query: str = "", body: str = "", **headers):
        """Status, decoded body and headers."""
        url = URL(f"{path}?{query}" if query else path, encoded=True)
        headers.setdefault("X-MBX-APIKEY", self.api_key)
        answer = await self.world.gateway.request(method, url, data=body or None, headers=headers)
        return answer.status, await answer.json(), answer.headers

    async def order(self, **params):
        """POST /api/v3/order, a limit order for BTCUSDT if nothing else is said."""
        status, found, _ = await self.send("POST", "/api/v3/order", body=self.signed(**params))
        return status, found

    async def try_order(self, **params):
        """POST /api/v3/order/test."""
        body = self.signed(**params)
        status, found, _ = await self.send("POST", "/api/v3/order/test", body=body)
        return status, found

    async def limit(self, side: str, price: str, quantity: str, **params):
        """The order's FULL response."""
        fields = {"symbol": "BTCUSDT", "side": side, "type": "LIMIT", "timeInForce": "GTC"} | params
        status, found = await self.order(**fields, price=price, quantity=quantity)
        assert status == 200, found
        return found


def hmac_hex(secret: str, payload: bytes) -> str:
    return hmac.new(secret.encode(), payload, hashlib.sha256).hexdigest()


def ed25519_pair() -> tuple[Ed25519PrivateKey, str]:
    """A private key, and the public one as base64."""
    private = Ed25519PrivateKey.generate()
    return private, base64.b64encode(private.public_key().public_bytes_raw()).decode()


@asynccontextmanager
async def opened_world(
    tmp_path, limits: Limits = DEFAULT_LIMITS, proxy=None, timeout_s=2.0, behind_proxy=False
):
    """A world without assets."""
    clock = FakeClock()
    exchange = FakeExchange(clock, limits)
    appender = FakeAppender(exchange)
    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})
    failures: list[Exception] = []

    def open_log() -> Log:
        return cast(Log, FakeLog(exchange))

    side = await open_write_side(
        settings, open_log, appender, clock, failures.append, open_matching=open_log
    )
    shorten(side.orders, timeout_s)
    shorten(side.operations, timeout_s)
    keys = open_keys(settings.key_file)
    app = build_gateway_app(side, keys, clock, proxy, behind_proxy=behind_proxy)
    gateway = TestClient(TestServer(app))
    admin = TestClient(TestServer(build_operator_app(side, keys, clock, TOKEN)))
    await gateway.start_server()
    await admin.start_server()
    try:
        yield World(exchange, appender, side, gateway, admin)
        assert failures == []
    finally:
        await gateway.close()
        await admin.close()
        await side.stop()


@asynccontextmanager
async def trading_world(tmp_path, **options):
    """A world with the market BTCUSDT."""
    async with opened_world(tmp_path, **options) as world:
        await world.operate("list-asset", code="BTC", name="Bitcoin")
        await world.operate("list-asset", code="USDT", name="Tether")
        await world.operate("list-market", **MARKET)
        yield world


def shorten(execution: Execution, timeout_s: float) -> None:
    """Wait less than a real gateway would."""
    execution._timeout_s = timeout_s
