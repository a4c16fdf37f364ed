"""One stage of order entry: signed orders at a rate, fired by a client in a process of its own."""

import json
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from types import TracebackType
from typing import Self

from tests.benchmarks.open_loop import GIVE_UP_S, Hit, Shot, fire
from tests.benchmarks.order_flow import BATCH_ORDERS, WEB_SOCKET, Trader, order_shots
from tests.benchmarks.percentiles import percentile
from tests.benchmarks.web_socket import fire_frames
from tests.integration.running_stack import RunningStack

# Enough that no user has too many open orders while fills are still on their way.
USERS = 64
HTTP_CONNECTIONS, WEB_SOCKETS = 128, 16
LEAD_S = 1.0
LATE_S = 0.05
"""A client whose own lateness has a 99th percentile above this has fallen behind: void.

Below it, what it is late is part of every latency, since these count from planned moments.
"""


@dataclass(slots=True)
class Answers:
    """Latencies from planned moments in seconds, by what the answer tells; what went wrong."""

    acks_s: list[float]
    fills_s: list[float]
    own_late_s_p99: float
    orders: int
    refused: int
    first_refusal: str
    broke: str = ""

    @property
    def refusal(self) -> str:
        """What the server refused or left unanswered; empty if it accepted every order."""
        if self.broke:
            return self.broke
        if self.refused:
            return f"{self.refused} of {self.orders} not accepted, first: {self.first_refusal}"
        return ""

    @property
    def lateness(self) -> str:
        """How the client fell behind, which is not the server's fault; empty if it did not."""
        if self.own_late_s_p99 > LATE_S:
            return f"the client fell behind, p99 {self.own_late_s_p99 * 1e3:.0f} ms"
        return ""

    @property
    def trouble(self) -> str:
        """Why these latencies do not count; empty if they do."""
        return self.refusal or self.lateness


class Client:
    """The client's process, and the users that it trades for."""

    def __init__(self, stack: RunningStack) -> None:
        self._port = stack.settings.public_port
        accounts = [stack.add_user(USDT="1000000000", BTC="100000") for _ in range(USERS)]
        self._traders = [Trader(account.api_key, account.secret) for account in accounts]
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))
        self._stages = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._pool.shutdown()

    def stage(self, protocol: str, rate: float, seconds: float) -> Answers:
        """Fire orders at a rate; each stage has a seed of its own. A lost connection is trouble."""
        self._stages += 1
        stage = (self._traders, rate, seconds, self._port, self._stages)
        try:
            return self._pool.submit(drive, protocol, *stage).result()
        except OSError as error:
            return Answers([], [], 0.0, 0, 0, "", broke=str(error)[:160])


def drive(
    protocol: str, traders: Sequence[Trader], rate: float, seconds: float, port: int, seed: int
) -> Answers:
    """One stage, in the client's process: sign everything first, then fire."""
    start_s = time.time() + LEAD_S + rate * seconds / 20_000
    shots = order_shots(protocol, traders, rate, seconds, start_s, seed)
    if protocol == WEB_SOCKET:
        hits = fire_frames("127.0.0.1", port, shots, start_s, WEB_SOCKETS)
    else:
        hits = fire("127.0.0.1", port, shots, start_s, HTTP_CONNECTIONS)
    return _answers(shots, hits)


def _answers(shots: Sequence[Shot], hits: Sequence[Hit]) -> Answers:
    refusals = [refusal for hit in hits if (refusal := _refusal(hit))]
    return Answers(
        acks_s=[hit.latency_s for shot, hit in zip(shots, hits, strict=True) if not shot.fill],
        fills_s=[hit.latency_s for shot, hit in zip(shots, hits, strict=True) if shot.fill],
        own_late_s_p99=percentile([hit.own_late_s for hit in hits], 99.0),
        orders=len(hits),
        refused=len(refusals),
        first_refusal=refusals[0] if refusals else "",
    )


def _refusal(hit: Hit) -> str:
    """What an answer refuses; empty if the order, or each of a batch, was accepted."""
    if not hit.status:
        return f"no answer {GIVE_UP_S:.0f} s after the last order"
    if hit.status != 200:
        return f"{hit.status} {hit.body[:80].decode(errors='replace')}"
    if not hit.body.startswith(b'{"orders"'):
        return ""
    told = json.loads(hit.body)["orders"]
    refused = [each for each in told if "orderId" not in each]
    if refused or len(told) != BATCH_ORDERS:
        return f"{len(refused)} of a batch of {len(told)}: {refused[:1]}"[:120]
    return ""
