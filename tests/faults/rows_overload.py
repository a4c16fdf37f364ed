"""Rows of overload: ten times what can be taken, by shards that are well or that crawl."""

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.benchmarks.percentiles import percentile
from tests.faults.rows import Run, row
from tests.faults.stack import FaultStack
from tests.integration.overload import measure_overload

LOAD_S = 20.0
QUICK_S = 4.0
STOPPED_S, GOING_S = 0.045, 0.005
ENDED = " ended with "
LIMITS = {"ack p99 s": 0.25, "cancel p99 s": 1.0}
"""The first is the matrix's; of cancels it wants that they have priority, and names no time."""

FLAT_MB = 100.0
"""So much may a process still grow in the second half, when caches and queues have filled."""


def _overload(run: Run) -> None:
    """Ten times the capacity on top of the usual load, which must be served afterwards."""
    ended = run.stack.words().count(ENDED)
    found = measure_overload(run.stack, QUICK_S if run.quick else LOAD_S)
    run.demand(run.stack.words().count(ENDED) == ended, "no process may end for it")
    run.words += found.told().splitlines()
    for name, seconds in (("ack", found.accepted_s), ("cancel", found.cancels_s)):
        if seconds:
            run.measured[f"{name} p99 s"] = percentile(seconds, 99.0)
    run.measured["lag drained s"] = found.drained_s
    refused = found.answers["503 -1008"] + found.answers["429 -1003"]
    run.demand(refused > 0, "what is too much must be refused")
    run.demand(set(found.cancels) == {"200"}, f"cancels must pass, were {dict(found.cancels)}")
    run.demand(not found.lost(), f"acknowledged orders are not in the log once: {found.lost()[:3]}")
    run.demand(not found.ghosts(), f"refused orders are in the log: {found.ghosts()[:3]}")
    for name, sizes_mb in found.rss_mb.items():
        later_mb = sizes_mb[len(sizes_mb) // 2 :]
        grown_mb = max(later_mb) - later_mb[0]
        run.demand(grown_mb < FLAT_MB, f"{name} must stay flat, grew by {grown_mb:.0f} MB")
    run.recovered(time.monotonic())


@contextmanager
def _crawling(stack: FaultStack, *names: str) -> Iterator[None]:
    """Let processes run for a tenth of the time."""
    pids = [stack.pid(name) for name in names]
    ending = threading.Event()

    def crawl() -> None:
        while not ending.wait(GOING_S):
            for pid in pids:
                os.kill(pid, signal.SIGSTOP)
            time.sleep(STOPPED_S)
            for pid in pids:
                os.kill(pid, signal.SIGCONT)

    thread = threading.Thread(target=crawl, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


@row("F23 x10", "ten times the orders that can be taken", at_most=LIMITS)
def ten_times(run: Run) -> None:
    run.fault("ten times the capacity")
    _overload(run)


@row(
    "F23 crawl",
    "ten times the orders that can be taken, while the ledgers' host crawls",
    at_most=LIMITS,
)
def ten_times_while_shards_crawl(run: Run) -> None:
    name = run.stack.leading("L0")
    run.fault(f"{name} runs a tenth of the time, and ten times the capacity")
    with _crawling(run.stack, name):
        _overload(run)
