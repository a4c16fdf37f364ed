"""Signed orders for an open loop, each in the frame of REST, WebSocket or a batch."""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.benchmarks.open_loop import Shot
from tests.benchmarks.web_socket import text_frame
from tests.integration.trader import raw_request, signature

SYMBOL = "BTCUSDT"
MIDDLE_CENTS = 6_000_000
BATCH_ORDERS = 100
FLOW = (
    f"orders of 64 users on {SYMBOL}: 60 % limit orders that rest, answered when accepted (ACK), "
    "40 % IOC that trade with them, answered when settled (FULL), HMAC, signed beforehand"
)
REST, WEB_SOCKET, BATCH = "REST", "WebSocket", "batch"

Parameters = dict[str, object]


@dataclass(slots=True, frozen=True)
class Trader:
    """An API key and its secret."""

    api_key: str
    secret: str


def order_shots(
    protocol: str, traders: Sequence[Trader], rate: float, seconds: float, start_s: float, seed: int
) -> list[Shot]:
    """Evenly spaced orders at `rate` a second, stamped with the wall time they are to leave at.

    In a batch go `BATCH_ORDERS` at once, all of them only acknowledged.
    """
    rng = random.Random(seed)
    frames: dict[str, Callable[[random.Random, Trader, int, int], Shot]]
    frames = {REST: _rest_shot, WEB_SOCKET: _web_socket_shot, BATCH: _batch_shot}
    each = BATCH_ORDERS if protocol == BATCH else 1
    shots = []
    for number in range(max(1, int(rate * seconds / each))):
        at_s = number * each / rate
        trader = traders[rng.randrange(len(traders))]
        shot = frames[protocol](rng, trader, number, int((start_s + at_s) * 1_000))
        shot.at_s = at_s
        shots.append(shot)
    return shots


def _rest_shot(rng: random.Random, trader: Trader, _number: int, stamp_ms: int) -> Shot:
    order = _order(rng)
    text = urlencode({**order, **_window(stamp_ms)})
    body = f"{text}&signature={signature(trader.secret, text)}"
    kind = "application/x-www-form-urlencoded"
    request = raw_request("POST", "/api/v3/order", trader.api_key, body, kind)
    return Shot(0.0, request, fill=order["newOrderRespType"] == "FULL")


def _web_socket_shot(rng: random.Random, trader: Trader, number: int, stamp_ms: int) -> Shot:
    order = _order(rng)
    parameters = {**order, **_window(stamp_ms), "apiKey": trader.api_key}
    text = "&".join(f"{name}={parameters[name]}" for name in sorted(parameters))
    parameters["signature"] = signature(trader.secret, text)
    wish = {"id": number, "method": "order.place", "params": parameters}
    return Shot(0.0, text_frame(json.dumps(wish)), fill=order["newOrderRespType"] == "FULL")


def _batch_shot(rng: random.Random, trader: Trader, _number: int, stamp_ms: int) -> Shot:
    orders = [{**_order(rng), "newOrderRespType": "ACK"} for _ in range(BATCH_ORDERS)]
    body = json.dumps(orders, separators=(",", ":"))
    query = urlencode(_window(stamp_ms))
    query += f"&signature={signature(trader.secret, query + body)}"
    request = raw_request("POST", f"/x/v1/orders/batch?{query}", trader.api_key, body)
    return Shot(0.0, request)


def _order(rng: random.Random) -> Parameters:
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
        "newOrderRespType": "FULL" if taking else "ACK",
    }


def _window(stamp_ms: int) -> Parameters:
    return {"recvWindow": 30_000, "timestamp": stamp_ms}
