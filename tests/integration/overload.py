"""Ten times more orders than a stack can take, and beside them cancels: who is answered, and how.

`measure_overload` is one whole run: capacity first, then the load, then what became of all of it.
"""

import json
import math
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import overload

from domain.orders.messages import OrderAccepted
from tests.benchmarks.open_loop import Hit, Shot, fire
from tests.benchmarks.percentiles import percentile
from tests.benchmarks.process_cost import processor_s, resident_mb
from tests.integration.running_stack import Account, RunningStack
from tests.integration.trader import raw_request, signature

BATCH_ORDERS = 100
FLOODERS, QUIET = 8, 4
CONNECTIONS, CANCEL_CONNECTIONS = 96, 16
TIMES = 10
PROBE_BATCHES, PROBE_CONNECTIONS = 150, 6
CANCELS_A_SECOND = 20
LEAD_S = 1.5
LOOK_S = 0.5
DRAIN_S = 120.0
PATIENCE = 40
"""Tries to prepare what a busy stack does not take."""
LAG_MS = 3_000
"""Log time moves once a second: what is less far behind the clock has no backlog."""
FUNDS = {"USDT": "1000000000", "BTC": "100000"}
PRICE, FAR_PRICE = "59990", "30000"


@dataclass(slots=True)
class Overload:
    """What one run showed. Latencies are from planned moments; `rss_mb`: by process, in turn."""

    capacity: float
    offered: float
    answers: Counter[str] = field(default_factory=Counter)
    cancels: Counter[str] = field(default_factory=Counter)
    accepted: set[str] = field(default_factory=set)
    refused: set[str] = field(default_factory=set)
    accepted_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)
    cancels_s: list[float] = field(default_factory=list)
    own_late_s_p99: float = 0.0
    rss_mb: dict[str, list[float]] = field(default_factory=dict)
    processor_s: dict[str, float] = field(default_factory=dict)
    drained_s: float = 0.0
    in_log: Counter[str] = field(default_factory=Counter)

    def told(self) -> str:
        """The figures in some lines."""
        grown = {
            name: f"{mb[0]:.0f}..{max(mb):.0f}..{mb[-1]:.0f}" for name, mb in self.rss_mb.items()
        }
        return "\n".join(
            (
                f"capacity {self.capacity:,.0f} orders/s, offered {self.offered:,.0f} orders/s",
                f"answers {dict(self.answers)}, cancels {dict(self.cancels)}",
                f"accepted {_spread(self.accepted_s)}, refused {_spread(self.refused_s)}, "
                f"cancels {_spread(self.cancels_s)}; client late p99 {self.own_late_s_p99:.3f} s",
                f"processor s { {n: round(s, 1) for n, s in self.processor_s.items()} }",
                f"drained in {self.drained_s:.1f} s; MB first..most..last {grown}",
            )
        )

    def lost(self) -> list[str]:
        """Acknowledged orders that the log does not have exactly once."""
        return [name for name in self.accepted if self.in_log[name] != 1]

    def ghosts(self) -> list[str]:
        """Orders that were refused and are in the log."""
        return [name for name in self.refused if self.in_log[name]]


def measure_overload(stack: RunningStack, seconds: float) -> Overload:
    """One run on a ready stack: `TIMES` its capacity that long, then everything is looked up."""
    flooders = [stack.add_user(**FUNDS) for _ in range(FLOODERS)]
    quiet = [stack.add_user(**FUNDS) for _ in range(QUIET)]
    port = stack.settings.public_port
    cancels = min(BATCH_ORDERS, math.ceil(CANCELS_A_SECOND * seconds / QUIET))
    resting = [_rest(account, port, cancels) for account in quiet]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        capacity = pool.submit(probe, flooders, port).result()
        run = Overload(capacity, TIMES * capacity)
        with _Memory(stack) as memory:
            before_s = _processor_s(stack)
            hits = pool.submit(flood, flooders, quiet, resting, run.offered, seconds, port).result()
            run.processor_s = {
                name: spent_s - before_s[name] for name, spent_s in _processor_s(stack).items()
            }
            _judge(run, hits)
            run.drained_s = _drained(stack)
            memory.look()
    run.rss_mb = memory.seen
    run.in_log = accepted_in_log(stack)
    return run


def probe(accounts: Sequence[Account], port: int) -> float:
    """In the client's process: orders a second that are accepted where nobody is in a hurry."""
    flow = Flow(accounts, "c", [n * 1e-6 for n in range(PROBE_BATCHES)])
    hits = fire("127.0.0.1", port, flow, time.time(), PROBE_CONNECTIONS)
    taken_s = max(hit.latency_s for hit in hits)
    return BATCH_ORDERS * sum(hit.status == 200 for hit in hits) / taken_s


def flood(
    flooders: Sequence[Account],
    quiet: Sequence[Account],
    resting: Sequence[Sequence[str]],
    rate: float,
    seconds: float,
    port: int,
) -> list[tuple[str, Hit]]:
    """In the client's process: the load, and what became of each request, named by its kind."""
    start_s = time.time() + LEAD_S
    batches = [n * BATCH_ORDERS / rate for n in range(int(rate * seconds / BATCH_ORDERS))]
    cancels = [
        (name, account)
        for names in zip(*resting, strict=True)
        for name, account in zip(names, quiet, strict=True)
    ][: int(CANCELS_A_SECOND * seconds)]
    found: list[list[Hit]] = [[], []]

    def cancel() -> None:
        shots = [
            Shot(
                (number + 0.5) / CANCELS_A_SECOND,
                _cancel(account, name, start_s + number / CANCELS_A_SECOND),
            )
            for number, (name, account) in enumerate(cancels)
        ]
        found[1] = fire("127.0.0.1", port, shots, start_s, CANCEL_CONNECTIONS)

    beside = threading.Thread(target=cancel)
    beside.start()
    flow = Flow(flooders, "f", batches)
    found[0] = fire("127.0.0.1", port, flow, start_s, CONNECTIONS)
    beside.join()
    named = [(flow.name(number), hit) for number, hit in enumerate(found[0])]
    return named + [("cancel", hit) for hit in found[1]]


class Flow(Sequence[Shot]):
    """Batches of orders as shots, signed when they are asked for: too many to keep."""

    def __init__(self, accounts: Sequence[Account], kind: str, at_s: Sequence[float]) -> None:
        self._accounts = accounts
        self._kind = kind
        self._at_s = at_s
        self._last = (-1, Shot(0.0, b""))

    def name(self, number: int) -> str:
        """What the client order ids of a batch begin with: nobody else's do."""
        return f"{self._kind}{self._account(number).user_id}-{number}"

    def _account(self, number: int) -> Account:
        return self._accounts[number % len(self._accounts)]

    def __len__(self) -> int:
        return len(self._at_s)

    @overload
    def __getitem__(self, number: int) -> Shot: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[Shot]: ...
    def __getitem__(self, number: int | slice) -> Shot | Sequence[Shot]:
        assert isinstance(number, int), "shots are asked for one by one"
        if number < 0:
            return Shot(self._at_s[number], b"")
        if self._last[0] != number:
            request = _batch(self._account(number), self.name(number))
            self._last = (number, Shot(self._at_s[number], request))
        return self._last[1]


def accepted_in_log(stack: RunningStack) -> Counter[str]:
    """How often each client order id was accepted, by the ledgers' own words."""
    found = Counter[str]()
    for partition in range(stack.settings.ledger_partitions):
        messages = stack.messages("ledger.ev", partition)
        found.update(m.client_order_id for m in messages if isinstance(m, OrderAccepted))
    return found


def _rest(account: Account, port: int, count: int) -> list[str]:
    """The client order ids of so many orders that rest far from the market, 100 at most."""
    for _ in range(PATIENCE):
        shot = Shot(0.0, _batch(account, f"q{account.user_id}", count, FAR_PRICE, "GTC"))
        (hit,) = fire("127.0.0.1", port, [shot], time.time(), 1)
        if hit.status == 200:
            break
        time.sleep(LOOK_S)
    assert hit.status == 200, hit
    told = json.loads(hit.body)["orders"]
    assert all("orderId" in each for each in told), told
    return [each["clientOrderId"] for each in told]


def _judge(run: Overload, hits: Sequence[tuple[str, Hit]]) -> None:
    run.own_late_s_p99 = percentile([hit.own_late_s for _, hit in hits], 99.0)
    for name, hit in hits:
        kind = _kind(hit)
        if name == "cancel":
            run.cancels[kind] += 1
            run.cancels_s.append(hit.latency_s)
            continue
        run.answers[kind] += 1
        if hit.status == 200:
            run.accepted_s.append(hit.latency_s)
            told = json.loads(hit.body)["orders"]
            run.accepted |= {each["clientOrderId"] for each in told if "orderId" in each}
        elif kind in REFUSED:
            run.refused_s.append(hit.latency_s)
            run.refused |= {f"{name}-{number}" for number in range(BATCH_ORDERS)}


REFUSED = ("503 -1008", "429 -1003")


def _kind(hit: Hit) -> str:
    """Status and number; of a batch that was taken also what it lacks."""
    if hit.status in (0, 200):
        return str(hit.status)
    return f"{hit.status} {json.loads(hit.body)['code']}"


def _drained(stack: RunningStack) -> float:
    """Seconds until no view is behind the log."""
    begun_s = time.monotonic()
    while _lag_ms(stack) > LAG_MS:
        assert time.monotonic() - begun_s < DRAIN_S, f"lag must drain within {DRAIN_S:.0f} s"
        time.sleep(LOOK_S)
    return time.monotonic() - begun_s


def _lag_ms(stack: RunningStack) -> int:
    try:
        with urllib.request.urlopen(f"{stack.url}/x/v1/positions", timeout=10.0) as answer:
            rows = json.load(answer)["positions"]
    except OSError:
        return LAG_MS + 1
    return max(row["lagMs"] for row in rows if row["view"] != "reference" and row["logTime"])


def _pids(stack: RunningStack) -> dict[str, int]:
    """Every process that the supervisor keeps alive now."""
    return {name: pid for name in stack.names() if (pid := stack.pid(name))}


def _processor_s(stack: RunningStack) -> dict[str, float]:
    return {name: processor_s(pid) for name, pid in _pids(stack).items()}


class _Memory:
    """Looks at the size of each process from a thread."""

    def __init__(self, stack: RunningStack) -> None:
        self._pids = _pids(stack)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self.seen: dict[str, list[float]] = {name: [] for name in self._pids}

    def __enter__(self) -> "_Memory":
        self.look()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ending.set()
        self._thread.join()

    def look(self) -> None:
        """Note the sizes now, in MB."""
        for name, pid in self._pids.items():
            # A process that has ended has no size; whoever judges asks what ended.
            with suppress(FileNotFoundError, StopIteration):
                self.seen[name].append(resident_mb(pid))

    def _watch(self) -> None:
        while not self._ending.wait(LOOK_S):
            self.look()


def _batch(
    account: Account, name: str, count: int = BATCH_ORDERS, price: str = PRICE, tif: str = "IOC"
) -> bytes:
    """IOC orders find nobody: accepted and closed, so that no book grows."""
    head = (
        f'{{"symbol":"BTCUSDT","side":"BUY","type":"LIMIT","timeInForce":"{tif}",'
        f'"quantity":"0.001","price":"{price}","newOrderRespType":"ACK",'
        f'"newClientOrderId":"{name}-'
    )
    body = "[" + ",".join(f'{head}{number}"}}' for number in range(count)) + "]"
    query = f"recvWindow=5000&timestamp={time.time_ns() // 1_000}"
    path = f"/x/v1/orders/batch?{query}&signature={signature(account.secret, query + body)}"
    return raw_request("POST", path, account.api_key, body)


def _cancel(account: Account, name: str, at_s: float) -> bytes:
    query = f"symbol=BTCUSDT&origClientOrderId={name}&recvWindow=5000&timestamp={int(at_s * 1e6)}"
    path = f"/api/v3/order?{query}&signature={signature(account.secret, query)}"
    return raw_request("DELETE", path, account.api_key, "")


def _spread(seconds: Sequence[float]) -> str:
    if not seconds:
        return "none"
    each = (percentile(seconds, percent) * 1e3 for percent in (50.0, 99.0, 100.0))
    return "{:.0f}/{:.0f}/{:.0f} ms".format(*each) + f" of {len(seconds):,}"
