"""The watchdog's judgment: what counts as hung, and what only has to wait."""

import pytest
from faust.types import TP

from projections import faust_worker
from projections.faust_worker import _Health

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
