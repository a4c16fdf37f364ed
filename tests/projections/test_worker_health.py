"""The watchdog's judgment: what counts as hung, and what only has to wait."""

import pytest
from faust.types import TP

from projections import faust_worker
from projections.faust_worker import _Health, _steps

QUIET, BUSY = TP("matching.ev", 1), TP("ledger.ev", 0)


@pytest.fixture
def clock(monkeypatch):
    now = [1_000.0]
    monkeypatch.setattr(faust_worker, "monotonic", lambda: now[0])
    return now


def watch(clock: list[float], seconds: int, busy_moves: bool) -> str:
    """The complaint after so many seconds in which QUIET stood still with records waiting."""
    health = _Health()
    for second in range(seconds):
        health.beat_s = clock[0]
        health.stuck_s(QUIET, 7, behind=True)
        health.stuck_s(BUSY, second if busy_moves else 3, behind=True)
        clock[0] += 1.0
    health.beat_s = clock[0]
    return health.complaint()


def test_nothing_moves(clock):
    assert watch(clock, 5, busy_moves=False) == ""
    assert "must move on" in watch(clock, 12, busy_moves=False)


def test_one_waits_while_another_moves(clock):
    assert watch(clock, 12, busy_moves=True) == ""
    assert "matching.ev.1 must move on" in watch(clock, 62, busy_moves=True)


def test_a_partition_of_another_worker_is_no_concern(clock):
    health = _Health()
    health.stuck_s(QUIET, 7, behind=True)
    health.keep([BUSY])
    clock[0] += 100.0
    health.beat_s = clock[0]
    assert health.complaint() == ""


def test_a_loop_that_stands_still(clock):
    health = _Health()
    clock[0] += 11.0
    assert "the event loop must turn" in health.complaint()


class Waiting:
    """An event that waits, as Faust brings it."""

    def __init__(self, size):
        self.message = self
        self.value = bytes(size) if size else None


def test_steps_are_bounded_by_bytes_and_keep_the_order(monkeypatch):
    monkeypatch.setattr(faust_worker, "STEP_BYTES", 100)
    many, few = [Waiting(size) for size in (60, 60, 10, 100, 300, 0)], [Waiting(5), Waiting(5)]
    steps = list(_steps({BUSY: many, QUIET: few}))
    assert [[each.value and len(each.value) for each in step[BUSY]] for step in steps] == [
        [60, 60],
        [10, 100],
        [300],
        [None],
    ]
    assert [step.get(QUIET) for step in steps] == [few, None, None, None]
    assert [event for step in steps for event in step[BUSY]] == many
