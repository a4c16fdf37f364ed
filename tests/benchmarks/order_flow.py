"""Signed orders for an open loop: resting limit orders, and IOC orders that trade with them."""

import hashlib
import hmac
import random
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.benchmarks.open_loop import Shot

SYMBOL = "BTCUSDT"
MIDDLE_CENTS = 6_000_000
FLOW = (
    f"orders of 8 users on {SYMBOL}: 60 % limit orders that rest, 40 % IOC that trade with them, "
    "newOrderRespType=ACK, HMAC, signed beforehand"
)


@dataclass(slots=True, frozen=True)
class Trader:
    """An API key and its secret."""

    api_key: str
    secret: str


def order_shots(
    traders: Sequence[Trader], rate: float, seconds: float, start_s: float, seed: int
) -> list[Shot]:
    """Evenly spaced orders at `rate` a second, stamped with the wall time they are to leave at."""
    rng = random.Random(seed)
    shots = []
    for number in range(int(rate * seconds)):
        at_s = number / rate
        trader = traders[rng.randrange(len(traders))]
        stamp_ms = int((start_s + at_s) * 1_000)
        shots.append(Shot(at_s, _request(trader, {**_order(rng), "timestamp": stamp_ms})))
    return shots


def _order(rng: random.Random) -> dict[str, object]:
    """Takers ask for a little more than makers offer, so that the book stays thin."""
    side = rng.choice(("BUY", "SELL"))
    taking = rng.random() < 0.4
    away = -20 if taking else rng.randint(1, 20)
    cents = MIDDLE_CENTS - away if side == "BUY" else MIDDLE_CENTS + away
    steps = rng.randint(100, 1_000) * (17 if taking else 10)
    return {
        "symbol": SYMBOL,
        "side": side,
        "type": "LIMIT",
        "timeInForce": "IOC" if taking else "GTC",
        "quantity": f"{steps // 100_000}.{steps % 100_000:05}",
        "price": f"{cents // 100}.{cents % 100:02}",
        "newOrderRespType": "ACK",
        "recvWindow": 30_000,
    }


def _request(trader: Trader, parameters: dict[str, object]) -> bytes:
    text = urlencode(parameters)
    signature = hmac.new(trader.secret.encode(), text.encode(), hashlib.sha256).hexdigest()
    body = f"{text}&signature={signature}".encode()
    head = (
        "POST /api/v3/order HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        f"X-MBX-APIKEY: {trader.api_key}\r\n"
        "Content-Type: application/x-www-form-urlencoded\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
