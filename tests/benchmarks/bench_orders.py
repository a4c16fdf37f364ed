"""Order entry over HTTP on a whole stack with real Kafka: latency, top rate, freshness, memory."""

import math
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

from tests.benchmarks.freshness import SETTLE_S, FreshnessWatch
from tests.benchmarks.open_loop import Hit, fire
from tests.benchmarks.order_flow import FLOW, Trader, order_shots
from tests.benchmarks.report import Effort, Figure, median_of
from tests.integration.running_stack import PROCESSES, RunningStack

RATES = (100, 500, 1_000)
FLOOR_RATE = 500
FLOORS_MS = {50.0: 5.0, 99.0: 25.0}
FRESH_FLOOR_MS = 500.0
STAGE_S = 20.0
WARM_UP_STAGES = 2
"""Kafka's virtual machine compiles what is hot; that takes it most of a minute."""

RUNS_MOST = 3
USERS = 8
CONNECTIONS = 128
LEAD_S = 1.0
TOP_START = 200.0
TOP_STEP = 1.25
TOP_P99_S = 0.25
"""A rate is sustained while 99 % of the answers come within that of their planned moment."""
STACK = (
    "a stack as `logbourse run --no-bots` starts it: one Kafka broker (acks=all, written to the "
    "page cache, no fsync per record), six shards in one process, Redis, embedded ClickHouse, all "
    "beside the client on this machine"
)


def measure(effort: Effort) -> list[Figure]:
    """All figures of one stack, which is started for it and stopped."""
    with tempfile.TemporaryDirectory(prefix="logbourse-bench-") as folder:
        stack = RunningStack(Path(folder) / "data")
        try:
            stack.start()
            stack.until_ready()
            figures = _Session(stack, effort).figures()
            return [*figures, _ended(stack)]
        finally:
            stack.stop()


class _Session:
    """One stack under load from a client in a process of its own."""

    def __init__(self, stack: RunningStack, effort: Effort) -> None:
        self._stack = stack
        self._runs = min(effort.runs, RUNS_MOST)
        self._seconds = max(3.0, STAGE_S * effort.scale)
        accounts = [stack.add_user(USDT="1000000000", BTC="100000") for _ in range(USERS)]
        self._traders = [Trader(account.api_key, account.secret) for account in accounts]
        self._stages = 0
        self._client = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def figures(self) -> list[Figure]:
        """Latencies by rate, freshness at the middle one, memory, and the top rate at last."""
        with self._client:
            self._stage(FLOOR_RATE, WARM_UP_STAGES * self._seconds)
            found: list[Figure] = []
            for rate in RATES:
                found += self._at(rate)
            found += _memory(self._stack)
            return [*found, self._top_rate()]

    def _at(self, rate: int) -> list[Figure]:
        runs: list[list[Hit]] = []
        watch = FreshnessWatch(self._stack.settings)
        for _ in range(self._runs):
            runs.append(self._stage(rate, self._seconds))
            _expect_answers(runs[-1])
        figures = [_latency(rate, percent, runs, self._seconds) for percent in (50.0, 99.0, 99.9)]
        if rate == FLOOR_RATE:
            late = [1e3 * percentile([hit.late_s for hit in hits], 99.0) for hits in runs]
            name = f"of that, the client's own lateness p99 at {rate}/s"
            figures.append(median_of(name, "ms", late, figures[0].method, least_is_best=True))
            before_s = _processor_s(self._stack)
            with watch.watching():
                hits = self._stage(rate, self._seconds)
            _expect_answers(hits)
            figures += _freshness(rate, watch, self._seconds)
            figures += _processor(before_s, _processor_s(self._stack), len(hits))
        return figures

    def _stage(self, rate: float, seconds: float) -> list[Hit]:
        self._stages += 1
        port = self._stack.settings.public_port
        stage = (self._traders, rate, seconds, port, self._stages)
        return self._client.submit(drive, *stage).result()

    def _top_rate(self) -> Figure:
        """Steps up until one is not sustained."""
        method = (
            f"top rate: {FLOW}; {STACK}; {self._seconds / 2:.0f} s at rates that rise by a quarter "
            f"from {TOP_START:.0f}/s; the last at which every order was accepted and 99 % of "
            f"answers came within {TOP_P99_S * 1e3:.0f} ms of their planned moments"
        )
        sustained, rate = 0.0, TOP_START
        while True:
            hits = self._stage(rate, self._seconds / 2)
            latencies = [hit.latency_s for hit in hits]
            if any(hit.status != 200 for hit in hits) or percentile(latencies, 99.0) > TOP_P99_S:
                return median_of("orders, highest sustained rate", "orders/s", [sustained], method)
            sustained, rate = rate, rate * TOP_STEP


def drive(
    traders: Sequence[Trader], rate: float, seconds: float, port: int, seed: int
) -> list[Hit]:
    """One stage, in the client's process: sign everything first, then fire."""
    start_s = time.time() + LEAD_S + rate * seconds / 20_000
    shots = order_shots(traders, rate, seconds, start_s, seed)
    return fire("127.0.0.1", port, shots, start_s, CONNECTIONS)


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by `percent` of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def _expect_answers(hits: Sequence[Hit]) -> None:
    refused = [hit for hit in hits if hit.status != 200]
    if refused:
        worst = refused[0]
        raise AssertionError(
            f"{len(refused)} of {len(hits)} orders failed, first: {worst.status} {worst.body!r}"
        )


def _latency(rate: int, percent: float, runs: Sequence[Sequence[Hit]], seconds: float) -> Figure:
    method = (
        f"orders: {FLOW}; open loop, {seconds:.0f} s a run after a warm-up of "
        f"{WARM_UP_STAGES * seconds:.0f} s at {FLOOR_RATE}/s, evenly spaced, latency from the "
        f"planned moment to the answer; {STACK}"
    )
    values = [1e3 * percentile([hit.latency_s for hit in hits], percent) for hits in runs]
    floor = FLOORS_MS.get(percent) if rate == FLOOR_RATE else None
    name = f"orders, ack p{percent:g} at {rate:,}/s"
    return median_of(name, "ms", values, method, floor=floor, least_is_best=True)


def _freshness(rate: int, watch: FreshnessWatch, seconds: float) -> list[Figure]:
    method = (
        f"freshness: each record of ledger.ev and matching.ev during {seconds:.0f} s of {rate} "
        "orders/s, from its log time (when the gateway sent the order) until the view's position "
        "passes it; Redis looked at every 5 ms, all tables of ClickHouse every 100 ms through "
        f"/x/v1/positions, which adds up to that much; what was not shown {SETTLE_S:.0f} s after "
        "the last order counts as shown then"
    )
    figures = []
    for view, lags_s in zip(("Redis", "ClickHouse"), watch.lags_s(), strict=True):
        for percent in (50.0, 99.0):
            lag = 1e3 * percentile(lags_s, percent)
            floor = FRESH_FLOOR_MS if percent == 99.0 else None
            name = f"orders, fresh in {view} p{percent:g} at {rate}/s"
            figures.append(median_of(name, "ms", [lag], method, floor=floor, least_is_best=True))
    return figures


def _memory(stack: RunningStack) -> list[Figure]:
    method = (
        "memory: resident size of each process after the latency stages, embedded parts included"
    )
    figures = []
    for name in PROCESSES:
        pid = stack.pid(name)
        status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8")
        line = next(line for line in status.splitlines() if line.startswith("VmRSS:"))
        size_mb = int(line.split()[1]) / 1024
        figures.append(median_of(f"memory of {name}", "MB", [size_mb], method, least_is_best=True))
    return figures


def _processor_s(stack: RunningStack) -> dict[str, float]:
    """Seconds of processor that each process has used so far, in user and kernel mode."""
    ticks_per_s = os.sysconf("SC_CLK_TCK")
    used = {}
    for name in PROCESSES:
        text = Path(f"/proc/{stack.pid(name)}/stat").read_text(encoding="utf-8")
        user, kernel = text.rpartition(")")[2].split()[11:13]
        used[name] = (int(user) + int(kernel)) / ticks_per_s
    return used


def _processor(before_s: dict[str, float], after_s: dict[str, float], orders: int) -> list[Figure]:
    method = (
        "processor: seconds of processor per order at the rate of the freshness stage, three idle "
        "seconds after it and the watching itself included"
    )
    spent = {name: 1e3 * (after_s[name] - before_s[name]) / orders for name in PROCESSES}
    spent["all six"] = sum(spent.values())
    return [
        median_of(f"processor of {name} per order", "ms", [used], method, least_is_best=True)
        for name, used in spent.items()
    ]


def _ended(stack: RunningStack) -> Figure:
    method = "ended: how many processes ended and were started again while all this was measured"
    ended = float(stack.words().count(" ended with "))
    return median_of("processes ended", "", [ended], method, floor=0.0, least_is_best=True)
