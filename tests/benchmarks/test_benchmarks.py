"""Each benchmark without a stack runs with tiny counts; how fast is nobody's concern here."""

import json

import pytest

from tests.benchmarks.command import BENCHMARKS, measure
from tests.benchmarks.report import Effort, Figure, as_json, as_table, median_of

ONCE = Effort(runs=1, scale=0.0)
ON_A_STACK = {"orders"}


@pytest.mark.parametrize("name", sorted(BENCHMARKS.keys() - ON_A_STACK))
def test_a_benchmark_runs_and_says_what_it_measured(name):
    told = json.loads(as_json(measure(name, ONCE)))
    assert told["machine"]["cores"] >= 1
    assert told["figures"]
    for figure in told["figures"]:
        assert figure["value"] > 0
        assert figure["runs"] == [figure["value"]]
        assert name in figure["method"]


@pytest.mark.parametrize(
    ("value", "least_is_best", "reached"),
    [(10, False, True), (9, False, False), (10, True, True), (11, True, False)],
)
def test_a_floor_is_reached_at_least_or_at_most(value, least_is_best, reached):
    figure = median_of("x", "ms", [value], "how", floor=10, least_is_best=least_is_best)
    assert figure.reached is reached


def test_a_missed_floor_is_shown_in_the_table():
    figures: list[Figure] = [
        median_of("fast", "orders/s", [7, 300, 5], "how", floor=6),
        median_of("slow", "orders/s", [1], "how", floor=6),
    ]
    lines = as_table(figures).splitlines()
    fast, slow = lines[4:6]
    assert fast.startswith("| fast | 7.00 orders/s | 5.00 to 300 | 3 | ≥ 6.00 |")
    assert slow.startswith("| slow | 1.00 orders/s | 1.00 to 1.00 | 1 | ≥ 6.00 missed |")
    assert lines[-1] == "* how"
