"""Seeded clients on WebSockets whose record of every request and answer is the oracle.

One thread, one loop, one connection per client. A request that has no answer, or one that leaves
the outcome open, is sent again, the same bytes, until its end is known.
"""

import asyncio
import hashlib
import json
import random
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from infra.demo.seed import MARKETS
from tests.integration import witness
from tests.integration.running_stack import Account
from tests.integration.trader import signature

BNBUSDT = {
    **next(market for market in MARKETS if market["symbol"] == "ETHUSDT"),
    "symbol": "BNBUSDT",
    "base": "BNB",
}
"""A market of the other matching shard, M1, that is like ETHUSDT; the demo market is all on M0."""

SYMBOLS = {**witness.SYMBOLS, "BNBUSDT": ("BNB", "USDT")}
MIDDLES = {**witness.MIDDLES, "BNBUSDT": witness.MIDDLES["ETHUSDT"]}
FUNDS = {"USDT": "10000000", "BTC": "100", "ETH": "1000", "BNB": "1000"}
UNKNOWN = (0, 429, 418, 502, 503, 504)
"""Statuses after which the same bytes are sent again: not taken, or the outcome is open."""

LATE = -1021
AGAIN_S, LONGEST_AGAIN_S = 0.25, 1.0
UNANSWERED_S = 8.0
DRAIN_S = 120.0
IN_FLIGHT = 30
BURST = 10
"""So many requests a client makes at once, as bots do that move their quotes."""

OPEN_ORDERS = 12
WINDOW_MS = 59_999
KINDS: Mapping[str, Sequence[Mapping[str, str]]] = {
    "usual": (
        *({"type": "LIMIT", "timeInForce": "GTC"},) * 13,
        *({"type": "LIMIT", "timeInForce": "IOC"},) * 2,
        {"type": "LIMIT", "timeInForce": "FOK"},
        *({"type": "LIMIT_MAKER"},) * 2,
        *({"type": "MARKET"},) * 2,
    ),
    "refused by the book": (
        *({"type": "LIMIT", "timeInForce": "GTC"},) * 2,
        *({"type": "LIMIT", "timeInForce": "FOK"},) * 3,
        *({"type": "LIMIT_MAKER"},) * 3,
        *({"type": "LIMIT", "timeInForce": "IOC"},) * 2,
    ),
}
"""What clients ask for, each as likely as it occurs here."""


@dataclass(slots=True)
class Sent:
    """One request of a client: its bytes, and what came back in the end."""

    client: int
    ledger: int
    number: int
    command_id: bytes
    deadline_us: int
    frame: str
    symbol: str
    client_order_id: str = ""
    order_id: int = 0
    attempts: int = 0
    began_s: float = 0.0
    sent_s: float = 0.0
    answered_s: float = 0.0
    status: int = 0
    code: int = 0
    result: dict[str, Any] = field(default_factory=dict)

    @property
    def places(self) -> bool:
        """Whether it is an order; else it is a cancel of `order_id`."""
        return bool(self.client_order_id)

    @property
    def acknowledged(self) -> bool:
        """The exchange said that it took effect."""
        return self.status == 200

    @property
    def refused(self) -> bool:
        """The exchange said that it never will."""
        return self.status == 400 and self.code != LATE

    @property
    def only_late(self) -> bool:
        """It came too late the first time, so that no attempt can have had an effect."""
        return self.code == LATE and self.attempts == 1


class Client:
    """One account on one connection."""

    def __init__(self, number: int, url: str, account: Account, seed: int, kinds: str) -> None:
        self.number = number
        self.account = account
        self.record: list[Sent] = []
        self.retried = 0
        self._url = url.replace("http", "ws", 1) + "/ws-api/v3?returnRateLimits=false"
        self._rng = random.Random(f"{seed}/{number}")
        self._seed = seed
        self._kinds = KINDS[kinds]
        self._pending: dict[int, Sent] = {}
        self._due: list[tuple[float, int]] = []
        self._open: list[tuple[str, int]] = []
        self._socket: aiohttp.ClientWebSocketResponse | None = None

    async def connect_always(self, session: aiohttp.ClientSession) -> None:
        """Be connected, and read answers; what was on its way is sent again."""
        while True:
            with suppress(aiohttp.ClientError, OSError, TimeoutError):
                async with asyncio.timeout(5.0):
                    socket = await session.ws_connect(self._url, max_msg_size=0)
                self._socket = socket
                for sent in list(self._pending.values()):
                    await self._send(sent)
                async for message in socket:
                    if message.type is aiohttp.WSMsgType.TEXT:
                        self._answered(json.loads(message.data))
            self._socket = None
            await asyncio.sleep(AGAIN_S)

    async def send_steadily(self, per_second: float, stopping: threading.Event) -> None:
        """Make requests at that rate, as far as earlier ones are answered, until told to stop."""
        pause_s = BURST / per_second
        next_s = time.monotonic() + self._rng.random() * pause_s
        while not (stopping.is_set() and not self._pending):
            now_s = time.monotonic()
            while next_s <= now_s and not stopping.is_set():
                next_s += pause_s
                for _ in range(min(BURST, IN_FLIGHT - len(self._pending))):
                    await self._ask()
            next_s = max(next_s, now_s - 0.5)
            await self._ask_again(now_s)
            await asyncio.sleep(max(0.005, min(next_s - time.monotonic(), 0.05)))

    async def _ask(self) -> None:
        if len(self._open) > OPEN_ORDERS or (self._open and self._rng.random() < 0.25):
            symbol, order_id = self._open.pop(self._rng.randrange(len(self._open)))
            fields: dict[str, Any] = {"symbol": symbol, "orderId": order_id}
            sent = self._signed("order.cancel", fields, symbol)
            sent.order_id = order_id
        else:
            symbol = self._rng.choice(list(MIDDLES))
            sent = self._signed("order.place", self._order(symbol), symbol)
        self.record.append(sent)
        self._pending[sent.number] = sent
        sent.began_s = time.monotonic()
        await self._send(sent)

    def _order(self, symbol: str) -> dict[str, Any]:
        rng, middle = self._rng, MIDDLES[symbol]
        quantity = rng.randint(1, 9) * (10 if symbol == "BTCUSDT" else 200)
        fields: dict[str, Any] = {
            "symbol": symbol,
            "side": rng.choice(("BUY", "SELL")),
            "quantity": f"0.{quantity:04d}",
            "newClientOrderId": f"f{self._seed}-{self.number}-{len(self.record)}",
            "newOrderRespType": "RESULT",
            **rng.choice(self._kinds),
        }
        if fields["type"] != "MARKET":
            fields["price"] = str(middle + rng.randint(-10, 10) * middle // 10_000)
        return fields

    def _signed(self, method: str, fields: dict[str, Any], symbol: str) -> Sent:
        now_ms = time.time_ns() // 1_000_000
        key, secret = self.account.api_key, self.account.secret
        params = {**fields, "apiKey": key, "timestamp": now_ms, "recvWindow": WINDOW_MS}
        payload = "&".join(f"{name}={value}" for name, value in sorted(params.items()))
        params["signature"] = signature(secret, payload)
        number = len(self.record)
        identity = hashlib.blake2b(f"{key}\0{payload}".encode(), digest_size=16).digest()
        frame = json.dumps({"id": number, "method": method, "params": params})
        deadline_us = (now_ms + WINDOW_MS) * 1_000
        cid = fields.get("newClientOrderId", "")
        ledger = self.account.user_id % 2
        return Sent(self.number, ledger, number, identity, deadline_us, frame, symbol, cid)

    async def _send(self, sent: Sent) -> None:
        sent.attempts += 1
        sent.sent_s = time.monotonic()
        if self._socket is not None:
            with suppress(ConnectionError, aiohttp.ClientError, RuntimeError):
                await self._socket.send_str(sent.frame)

    async def _ask_again(self, now_s: float) -> None:
        """What was answered "unknown" a moment ago, and what got no answer for long."""
        due = [number for at_s, number in self._due if at_s <= now_s]
        self._due = [each for each in self._due if each[0] > now_s]
        waiting = [n for n, sent in self._pending.items() if now_s - sent.sent_s > UNANSWERED_S]
        for number in {*due, *waiting}:
            if number in self._pending:
                self.retried += 1
                await self._send(self._pending[number])

    def _answered(self, told: dict[str, Any]) -> None:
        sent = self._pending.get(told["id"])
        if sent is None:
            return
        sent.status = told["status"]
        if sent.status in UNKNOWN:
            pause_s = min(LONGEST_AGAIN_S, AGAIN_S * sent.attempts)
            self._due.append((time.monotonic() + pause_s, sent.number))
            return
        del self._pending[sent.number]
        sent.answered_s = time.monotonic()
        sent.code = told.get("error", {}).get("code", 0)
        sent.result = told.get("result", {})
        if sent.places and sent.acknowledged and sent.result["status"] == "NEW":
            self._open.append((sent.symbol, sent.result["orderId"]))


class Load(threading.Thread):
    """All clients, at `rate` requests a second together, until `end`."""

    def __init__(
        self, url: str, accounts: Sequence[Account], seed: int, rate: float, kinds: str = "usual"
    ) -> None:
        super().__init__(name="load", daemon=True)
        self.clients = [
            Client(number, url, account, seed, kinds) for number, account in enumerate(accounts)
        ]
        self.began_s = self.ended_s = 0.0
        self.error: BaseException | None = None
        self._rate = rate / len(accounts)
        self._stopping = threading.Event()

    def run(self) -> None:
        self.began_s = time.monotonic()
        try:
            asyncio.run(self._run())
        except BaseException as error:
            self.error = error

    def end(self) -> None:
        """Ask no more, and wait until the outcome of all is known."""
        self.ended_s = time.monotonic()
        self._stopping.set()
        self.join(DRAIN_S)
        if self.error is not None:
            raise self.error
        assert not self.is_alive(), "every request must come to its end once the faults are over"

    def acknowledged(self) -> list[Sent]:
        """The orders that were acknowledged so far, in the order of their answers."""
        found = [
            sent
            for client in self.clients
            for sent in client.record[:]
            if sent.places and sent.acknowledged
        ]
        return sorted(found, key=lambda sent: sent.answered_s)

    async def _run(self) -> None:
        async with aiohttp.ClientSession() as session:
            connections = [
                asyncio.create_task(client.connect_always(session)) for client in self.clients
            ]
            await asyncio.gather(
                *(client.send_steadily(self._rate, self._stopping) for client in self.clients)
            )
            for task in connections:
                task.cancel()
            await asyncio.gather(*connections, return_exceptions=True)
