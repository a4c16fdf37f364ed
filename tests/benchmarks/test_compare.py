"""Two measurements beside each other: what is flagged, and what is taken for noise."""

import argparse

import pytest

from infra.refusal import Refusal
from tests.benchmarks import command
from tests.benchmarks.compare import BETTER, MISSING, NEW, SAME, WORSE, compare
from tests.benchmarks.report import Figure, as_json, median_of, read_figures, void


def figure(*runs: float, least_is_best: bool = False, name: str = "x") -> Figure:
    return median_of(name, "unit", runs, "how", least_is_best=least_is_best)


@pytest.mark.parametrize(
    ("before", "after", "least_is_best", "verdict"),
    [
        ([100, 101, 99], [100, 101, 99], False, SAME),
        ([100, 101, 99], [96, 97, 95], False, SAME),  # within five percent
        ([100, 101, 99], [80, 81, 79], False, WORSE),
        ([100, 101, 99], [120, 121, 119], False, BETTER),
        ([100, 101, 99], [120, 121, 119], True, WORSE),
        ([100, 101, 99], [80, 81, 79], True, BETTER),
        ([100, 140, 60], [80, 81, 79], False, SAME),  # its own runs differ by more
        ([100], [90], False, SAME),  # one run says little
        ([100], [80], False, WORSE),
        ([0], [0], True, SAME),
        ([0], [1], True, WORSE),
        ([1], [0], True, BETTER),
        ([1], [0], False, WORSE),
    ],
)
def test_worse_is_what_noise_does_not_explain(before, after, least_is_best, verdict):
    one = figure(*before, least_is_best=least_is_best)
    other = figure(*after, least_is_best=least_is_best)
    (found,) = compare([one], [other])
    assert found.verdict == verdict


def test_the_ratio_above_one_is_better_whatever_the_unit():
    rate, latency = compare(
        [figure(100, name="rate"), figure(10, least_is_best=True, name="latency")],
        [figure(200, name="rate"), figure(5, least_is_best=True, name="latency")],
    )
    assert (rate.ratio, latency.ratio) == (2.0, 2.0)


def test_what_no_longer_counts_is_missing_and_what_was_void_is_new():
    nothing = void("x", "unit", "the generator fell behind", "how")
    verdicts = [
        compare(before, after)[0].verdict
        for before, after in [
            ([figure(1)], []),
            ([figure(1)], [nothing]),
            ([nothing], [figure(1)]),
            ([nothing], [nothing]),
            ([], [figure(1)]),
        ]
    ]
    assert verdicts == [MISSING, MISSING, NEW, SAME, NEW]


def test_builds_are_compared_with_themselves():
    pure, compiled = figure(100), figure(200)
    pure.build, compiled.build = "pure", "compiled"
    verdicts = [each.verdict for each in compare([pure, compiled], [compiled, pure])]
    assert verdicts == [SAME, SAME]


def test_figures_come_back_from_json():
    told = [figure(1, 2, 3), void("y", "ms", "why", "how", least_is_best=True)]
    told[0].series, told[0].x, told[0].floor = "cost: users", 10.0, 5.0
    machine, found = read_figures(as_json(told))
    assert found == told
    assert machine["build"] in ("pure", "compiled")


@pytest.mark.parametrize("text", ["[]", "{}", "no", '{"machine": {}, "figures": [{}]}'])
def test_another_file_is_refused_in_one_sentence(tmp_path, text):
    path = tmp_path / "other.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Refusal, match=r"other\.json: "):
        command.compare_files([str(path), str(path)])


@pytest.mark.parametrize(("rate", "status"), [(100.0, 0), (50.0, 1), (200.0, 0)])
def test_the_exit_status_says_whether_something_got_worse(tmp_path, capsys, rate, status):
    before, after = tmp_path / "a.json", tmp_path / "b.json"
    before.write_text(as_json([figure(100.0)]), encoding="utf-8")
    after.write_text(as_json([figure(rate)]), encoding="utf-8")
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    assert command.run(parser.parse_args(["compare", str(before), str(after)])) == status
    assert ("WORSE" in capsys.readouterr().out) is (status == 1)


def test_comparing_takes_two_files():
    with pytest.raises(Refusal, match="two files"):
        command.compare_files(["one.json"])
