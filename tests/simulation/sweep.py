"""Runs many schedules, in several processes, until they or the time are used up."""

import gc
import multiprocessing
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
    only: tuple[str, ...] = (),
) -> Report:
    """What the first of `seeds` came to, all of them if the time is enough.

    Where it ends early, of the time or by KeyboardInterrupt, no seed is left out in between.
    """
    report = Report()
    began_s = time.monotonic()
    try:
        for chunk in _chunks(seeds, jobs, began_s + until_s, only):
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


def _chunks(seeds: range, jobs: int, end_s: float, only: tuple[str, ...]) -> Iterator[Report]:
    """Reports of consecutive parts of `seeds`, in their order."""
    parts = (seeds[place : place + CHUNK] for place in range(0, len(seeds), CHUNK))
    get_ready()
    if jobs == 1:
        for part in parts:
            if time.monotonic() < end_s:
                yield _run(part, end_s, only)
        return
    context = multiprocessing.get_context("fork")
    with ProcessPoolExecutor(jobs, mp_context=context) as pool:
        under_way: deque[Future[Report]] = deque()
        for part in parts:
            under_way.append(pool.submit(_run, part, end_s, only))
            if len(under_way) > 2 * jobs:
                yield under_way.popleft().result()
            if time.monotonic() >= end_s:
                break
        while under_way:
            yield under_way.popleft().result()


def _run(seeds: range, end_s: float, only: tuple[str, ...]) -> Report:
    """All of the seeds, so that none is left out, or none once the time is over."""
    report = Report()
    began_s = time.monotonic()
    if began_s >= end_s:
        return report
    for seed in seeds:
        run_schedule(seed, report, only)
    report.seconds = time.monotonic() - began_s
    return report
