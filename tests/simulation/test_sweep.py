"""The crash sweep: thousands of schedules without a violation, and mutants that it catches."""

import os
import re
from collections import Counter

import pytest

from tests.simulation import breaking
from tests.simulation.breaking import MUTANTS, first_of, mutated, verdict
from tests.simulation.examples import EXAMPLES, MISJUDGED
from tests.simulation.faults import MICRO_STEPS
from tests.simulation.report import Report, added, first_unused
from tests.simulation.schedule import run_schedule, size_of
from tests.simulation.sweep import sweep
from tests.simulation.trace import Trace

LEAST = int(os.environ.get("LOGBOURSE_SCHEDULES", "2000"))
SECONDS = 120.0
JOBS = 2
SOON = 5_000
"""The gate looks for a mutant's violation so far; `logbourse simulate --mutants` four times."""

SHOWN_HERE = [
    "deduplication off",
    "mark rule broken",
    "snapshot rule broken",
    "chain check off",
    "gap check off",
    "promotion without drain",
    "commands forgotten",
    "deadlines ignored",
    "outbox not asked after a loss",
    "planning faults",
    "makers settle as takers",
    "deposit credited twice",
    "fee to nobody",
    "hold not released",
    "newest order first",
    "halted market trades",
    "answer before the book's report",
    "answer without its first fill",
    "book change left out of views",
]
"""The quick ones of each kind: all are shown by `logbourse simulate --mutants`."""


@pytest.mark.slow
def test_no_schedule_violates_an_invariant(capsys: pytest.CaptureFixture[str]) -> None:
    told: list[float] = []
    report = sweep(
        range(100 * LEAST),
        lambda _, elapsed_s: told.append(elapsed_s),
        jobs=JOBS,
        until_s=SECONDS,
        least=LEAST,
    )
    with capsys.disabled():
        print(f"\ncrash sweep: {report.line(told[-1])}")
    assert not report.failures, f"seed {min(report.failures)}: {report.failures}"
    assert report.schedules >= LEAST
    assert report.coverage.keys() >= set(MICRO_STEPS)
    assert report.lacking() == []


@pytest.mark.slow
@pytest.mark.sources
@pytest.mark.parametrize("name", SHOWN_HERE)
def test_a_broken_rule_is_noticed(name: str) -> None:
    found = verdict(name, SOON)
    assert found.violation.startswith(MUTANTS[name].ids), found.line()


def test_there_are_mutants_enough() -> None:
    assert len(MUTANTS) >= 25 and MUTANTS.keys() >= set(SHOWN_HERE)
    for name, mutant in MUTANTS.items():
        ids = (mutant.ids,) if isinstance(mutant.ids, str) else mutant.ids
        assert ids and all(re.match(r"[A-Z]\d+$|halted [A-Z_]{3,}", each) for each in ids), name


def test_what_is_caught_by_something_else_is_not_caught(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    told = ["AssertionError: L5: nothing of the kind", "L8: trade 1 costs 2, not 3", "L5: twice"]
    assert first_of("deposit credited twice", told) == "L5: twice"
    monkeypatch.setattr(breaking, "run_schedule", lambda seed, report: told[:2])
    found = verdict("deposit credited twice", 3)
    assert (found.schedules, found.violation, found.other) == (3, "", told[0])
    assert f"UNNOTICED in 3, only {told[0]}" in found.line()


@pytest.mark.parametrize("seed", [*EXAMPLES, *MISJUDGED])
def test_what_once_failed_holds(seed: int) -> None:
    assert run_schedule(seed, Report()) == []


@pytest.mark.slow
@pytest.mark.sources
@pytest.mark.parametrize("seed", EXAMPLES)
def test_what_once_failed_would_fail_again(seed: int) -> None:
    _, mutant = EXAMPLES[seed]
    with mutated(mutant):
        assert first_of(mutant, run_schedule(seed, Report()))


@pytest.mark.slow
def test_most_schedules_are_small_and_have_faults() -> None:
    report, without, sizes = Report(), 0, Counter[str]()
    for seed in range(1_000, 1_200):
        crashes = report.crashes
        sizes[size_of(seed).name] += 1
        run_schedule(seed, report)
        without += report.crashes == crashes
    assert sizes["small"] > sizes["medium"] > sizes["large"] > 0
    assert without <= 20


def test_a_seed_tells_the_same_again() -> None:
    traces = [Trace(), Trace(), Trace()]
    for trace, seed in zip(traces, (5, 5, 6), strict=True):
        run_schedule(seed, Report(), tell=trace)
    assert traces[0].digest() == traces[1].digest() != traces[2].digest()
    assert traces[0].count > 100


def test_ranges_of_seeds_add_up() -> None:
    told: dict = {}
    for first, commit, failures in ((0, "a", {}), (64, "a", {70: ["L4: x"]}), (128, "b", {})):
        report = Report(schedules=64, crashes=3, seconds=1.0, failures=failures)
        report.coverage["read before"] = 2
        told = added(told, first, report, commit, "compiled")
    assert [(run["first"], run["count"]) for run in told["runs"]] == [(0, 128), (128, 64)]
    assert told["runs"][0]["failures"] == {"70": ["L4: x"]}
    assert told["coverage"] == {"read before": 6}
    assert first_unused(told) == 192


def test_what_many_schedules_did_not_have_is_named() -> None:
    assert Report(schedules=10).lacking() == []
    assert "no schedule had: promotion" in Report(schedules=5_000).lacking()
    report = Report(schedules=20_000)
    report.coverage["commit before"] = 99
    assert "99 crashes at: commit before; 100 are wanted" in report.lacking()
