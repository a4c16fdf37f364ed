"""Runs many schedules, in several processes, until they or the time are used up."""

import gc
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor

from tests.simulation.opening import opening
from tests.simulation.report import Report
from tests.simulation.schedule import SCHEDULES_PER_TRAFFIC, run_schedule

CHUNK = 2 * SCHEDULES_PER_TRAFFIC
"""Seeds that one process runs in a row: what it keeps for one helps with the next."""

Progress = Callable[[Report, float], None]
"""Told after each chunk: the report of all that was run so far, and the seconds it took."""


def sweep(
    seeds: range,
    progress: Progress,
    *,
    jobs: int = 1,
    until_s: float = float("inf"),
    least: int = 0,
    only: tuple[str, ...] = (),
) -> Report:
    """What the first of `seeds` came to: all that the time is enough for, and `least` anyway.

    Where it ends early, of the time or by KeyboardInterrupt, no seed is left out in between.
    """
    report = Report()
    began_s = time.monotonic()

    def parts() -> Iterator[range]:
        for place in range(0, len(seeds), CHUNK):
            if place >= least and time.monotonic() - began_s >= until_s:
                return
            yield seeds[place : place + CHUNK]

    try:
        for chunk in _reports(parts(), jobs, only):
            report.add(chunk)
            progress(report, time.monotonic() - began_s)
    except KeyboardInterrupt:
        return report
    return report


def get_ready() -> None:
    """What a process does before its first schedule."""
    opening()
    # Worlds are made of cycles, and are dropped by the dozen: search more rarely than usual.
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 10, 10)


def workers(jobs: int) -> ProcessPoolExecutor:
    """Processes that are ready. They begin anew, whatever threads there are in this one."""
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(jobs, mp_context=context, initializer=_begin)


def _begin() -> None:
    # Ctrl-C is for the process that gathers the reports: what is under way is finished.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    get_ready()


def _reports(parts: Iterator[range], jobs: int, only: tuple[str, ...]) -> Iterator[Report]:
    """Reports of consecutive parts of seeds, in their order."""
    if jobs == 1:
        get_ready()
        for part in parts:
            yield _run(part, only)
        return
    with workers(jobs) as pool:
        under_way: deque[Future[Report]] = deque()
        for part in parts:
            under_way.append(pool.submit(_run, part, only))
            if len(under_way) > jobs:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _run(seeds: range, only: tuple[str, ...]) -> Report:
    report = Report()
    began_s = time.monotonic()
    for seed in seeds:
        run_schedule(seed, report, only)
    report.seconds = time.monotonic() - began_s
    return report
