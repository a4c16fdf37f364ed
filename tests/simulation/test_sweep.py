"""The crash sweep: thousands of schedules without a violation, and mutants that it catches."""

import os

import pytest

from tests.simulation.faults import MICRO_STEPS
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.sweep import Report, run_schedule, sweep

SCHEDULES = int(os.environ.get("LOGBOURSE_SCHEDULES", "2000"))
SECONDS = 120.0
EVENTS = (
    "duplicate",
    "late delivery",
    "lost suffix",
    "spoiled snapshot",
    "acknowledged tail lost",
    "message miscomputed",
    "halt ACKED_LOSS",
    "halt DIVERGENCE",
    "forged record",
    "second leader",
    "promotion",
    "frozen",
    "stepped down",
    "handed over",
    "leader miscomputed",
    "shadow refused",
    "closed MARKET_HALTED",
    "closed STALE_RULES",
)


@pytest.mark.slow
def test_no_schedule_violates_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    report = sweep(range(SCHEDULES), SECONDS, lambda _: None)
    with capsys.disabled():
        print(f"\ncrash sweep: {report.line()}")
    assert not report.failures, f"seed {min(report.failures)}: {report.failures}"
    assert report.coverage.keys() >= set(MICRO_STEPS)
    for event in EVENTS:
        assert report.happened[event], f"no schedule had this: {event}"


@pytest.mark.slow
@pytest.mark.sources
@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_rule_is_noticed(name: str) -> None:
    report = Report()
    with mutated(name):
        caught = next((seed for seed in range(5_000) if run_schedule(seed, report)), None)
    assert caught is not None, f"{name} went unnoticed in {report.schedules} schedules"
