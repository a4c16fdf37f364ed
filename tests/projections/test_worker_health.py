"""What counts as hung, what only has to wait, and which stop is a failure."""

import asyncio
import time
from collections import deque

import pytest
from faust.types import TP

from infra.processor import effort_s
from infra.settings import load_settings
from projections import faust_worker
from projections.faust_worker import FaustWorker, _Health, take_step
from tests.projections.dict_sink import DictSink

QUIET, BUSY = TP("matching.ev", 1), TP("ledger.ev", 0)


@pytest.fixture
def clock(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(faust_worker, "monotonic", lambda: now[0])
    return now


def watch(clock: list[float], seconds: int, busy_moves: bool, effort: float = 0.0) -> str:
    """The first complaint in so many seconds in which QUIET stood still with records waiting.

    `effort`: the part of the time in which the process computes, or waits to.
    """
    health = _Health(lambda: effort * clock[0])
    for second in range(seconds):
        health.beat_s = clock[0]
        health.stuck_s(QUIET, 7, behind=True)
        health.stuck_s(BUSY, second if busy_moves else 3, behind=True)
        clock[0] += 1.0
        health.beat_s = clock[0]
        if complaint := health.complaint():
            return complaint
    return ""


def test_nothing_moves(clock):
    assert watch(clock, 5, busy_moves=False) == ""
    assert "must move on" in watch(clock, 12, busy_moves=False)


def test_one_waits_while_another_moves(clock):
    assert watch(clock, 12, busy_moves=True) == ""
    assert "matching.ev.1 must move on" in watch(clock, 62, busy_moves=True)


def test_who_works_slowly_is_not_hung(clock):
    assert "must move on" in watch(clock, 12, busy_moves=False, effort=0.05)
    assert watch(clock, 55, busy_moves=False, effort=0.2) == ""
    assert "must move on" in watch(clock, 62, busy_moves=False, effort=0.2)


def test_a_slow_apply_and_a_slow_loop_may_take_a_minute(clock):
    health = _Health(lambda: 0.2 * clock[0])
    health.busy_since_s = clock[0]
    for second in range(80):
        clock[0] += 1.0
        complaint = health.complaint()
        assert bool(complaint) == (second >= 60), complaint
    health.beat_s, health.busy_since_s = clock[0], clock[0] - 61.0
    assert "an apply must end within 60 s" in health.complaint()


def test_work_of_long_ago_is_no_excuse(clock):
    worked = [0.0]
    health = _Health(lambda: worked[0])
    for _ in range(30):
        clock[0] += 1.0
        worked[0] += 1.0
        health.beat_s = clock[0]
        assert health.complaint() == ""
    for _ in range(12):
        clock[0] += 1.0
        complaint = health.complaint()
    assert "the event loop must turn" in complaint


def test_effort_grows_by_what_is_computed():
    before_s, processor_s = effort_s(), time.process_time()
    while time.process_time() < processor_s + 0.05:
        pass
    assert effort_s() - before_s >= 0.045


def test_a_partition_of_another_worker_is_no_concern(clock):
    health = _Health(lambda: 0.0)
    health.stuck_s(QUIET, 7, behind=True)
    health.keep([BUSY])
    clock[0] += 100.0
    health.beat_s = clock[0]
    assert health.complaint() == ""


def test_a_loop_that_stands_still(clock):
    health = _Health(lambda: 0.0)
    clock[0] += 11.0
    assert "the event loop must turn" in health.complaint()


class Waiting:
    """An event that waits, as Faust brings it."""

    def __init__(self, size):
        self.message = self
        self.size = size


def test_steps_are_bounded_by_bytes_and_keep_the_order(monkeypatch):
    monkeypatch.setattr(faust_worker, "STEP_BYTES", 100)
    many = deque(Waiting(size) for size in (60, 60, 10, 100, 300, 5))
    few = deque([Waiting(5), Waiting(5)])
    waiting = {BUSY: many, QUIET: few}
    late = Waiting(7)
    steps = [take_step(waiting)]
    few.append(late)
    while any(waiting.values()):
        steps.append(take_step(waiting))
    sizes = [[each.size for each in step[BUSY]] for step in steps]
    assert sizes == [[60, 60], [10, 100], [300], [5]]
    assert [len(step.get(QUIET, ())) for step in steps] == [2, 1, 0, 0]
    assert steps[1][QUIET] == [late], "what came meanwhile does not wait for the backlog"


class EndlessApp:
    """A Faust whose start and stop end when they may."""

    def __init__(self):
        self.may_start = asyncio.Event()
        self.may_stop = asyncio.Event()

    async def start(self):
        await self.may_start.wait()

    async def wait_until_stopped(self):
        await self.may_stop.wait()

    async def stop(self):
        await self.may_stop.wait()


@pytest.mark.parametrize("started", [False, True])
async def test_only_a_faust_that_had_started_must_stop_in_time(monkeypatch, started):
    monkeypatch.setattr(faust_worker, "HUNG_AFTER_S", 0.05)
    failures: list[str] = []
    worker = FaustWorker(load_settings({}), "endless", DictSink, failures.append)
    worker._app = EndlessApp()
    if started:
        worker._app.may_start.set()
    pumping = asyncio.create_task(worker._until_done([]))
    await asyncio.sleep(0.01)
    worker.stop()
    await pumping
    await worker._stop_faust()
    assert failures == (["Faust must stop within 0 s, did not"] if started else [])
    worker._app.may_stop.set()
