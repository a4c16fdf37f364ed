"""The file of finished runs: what counts, what the table and the page say of it."""

import json
import sys

import pytest

from tests.faults import __main__ as faults
from tests.faults.report import JUDGED_BY_LESS, faults_part, plot
from tests.faults.results import (
    append,
    missed,
    next_run,
    read,
    record,
    sound_runs,
    summary,
)
from tests.faults.rows import Row
from tests.faults.runner import JUDGED_BY, Bench, Result


def test_the_table_tells_medians_worst_cases_and_what_was_violated():
    rows = {"F1": Row("F1", "killed", lambda _: None, target_s=3.0)}
    line = {
        "row": "F1",
        "commit": "c",
        "acknowledged": 10,
        "quiet_gap_s": 0.5,
        "violations": [],
        "measured": {"x": 1.0},
    }
    lines = [line | {"gap_s": gap} for gap in (1.0, 2.0, 4.0)]
    lines[1]["violations"] = ["lost"]
    (told,) = summary(lines, rows)
    assert (told["gap_p50_s"], told["gap_max_s"], told["within"]) == (2.0, 4.0, 2)
    text = faults_part({"rows": [told]})
    assert "1 run violated something" in text
    assert "| F1 | killed | 200 | 3 | 1 | 0.50 | 2.00 | 4.00 | 3 | 2 of 3 | x 1.0 |" in text
    assert plot([told]).count("<circle") == 3
    bound = faults_part({"rows": [told | {"must_s": 5.0}]})
    assert "| 4.00 | 3, at most 5 | 2 of 3 |" in bound


def test_the_table_is_of_the_runs_with_most_load():
    rows = {"F1": Row("F1", "killed", lambda _: None)}
    line = {"row": "F1", "acknowledged": 10, "quiet_gap_s": 0.5, "violations": [], "measured": {}}
    lines = [line | {"gap_s": 9.0}, line | {"gap_s": 1.0, "rate": 500.0}]
    (told,) = summary(lines, rows)
    assert (told["rate"], told["runs"], told["gap_max_s"]) == (500, 1, 1.0)
    text = faults_part({"rows": [told], "with another load": {"runs": 1, "violated": 1}})
    assert "Of 1 run with another load, before, or not as long, 1 did." in text
    at_most = Row("F1", "killed", lambda _: None, most_rate=250.0)
    (told,) = summary(lines, {"F1": at_most})
    assert (told["rate"], told["gap_max_s"]) == (200, 9.0)
    assert (at_most.rate(500.0), at_most.rate(100.0)) == (250.0, 100.0)


def test_the_page_says_what_was_violated_and_what_was_mended(tmp_path):
    line = {"row": "F1", "run": 1, "commit": "c", "acknowledged": 1, "quiet_gap_s": 0.5}
    line |= {"gap_s": 1.0, "measured": {}, "violations": []}
    wrong = line | {"violations": ["lost", "late"]}
    mended = wrong | {"run": 2, "mended": "d: found again."}
    runs = tmp_path / "faults.jsonl"
    runs.write_text("\n".join(map(json.dumps, (line, wrong, mended))))
    record({"F1": Row("F1", "killed", lambda _: None)}, runs, tmp_path / "reliability.json")
    text = (tmp_path / "reliability.md").read_text()
    assert "* F1, run 1 at c: “lost” (1 more). Not mended.\n" in text
    assert "* F1, run 2 at c: “lost” (1 more). d: found again." in text
    assert text.count("* F1, run") == 2
    assert "In 3 runs all the trading was on one matching shard" in text
    assert "In 3 runs, those included, the log was not asked" in text


def test_numbers_with_a_target_show_whether_it_is_met():
    row = Row("F1", "killed", lambda _: None, at_most={"slow s": 2.0}, at_least={"up %": 99.0})
    line = {"row": "F1", "acknowledged": 1, "quiet_gap_s": 0.5, "gap_s": 1.0, "violations": []}
    good, bad = {"slow s": 2.0, "up %": 99.5, "x": 1.0}, {"slow s": 2.5, "up %": 98.0, "x": 3.0}
    (told,) = summary([line | {"measured": good}, line | {"measured": good}], {"F1": row})
    assert "slow s 2.0 (≤ 2: met), up % 99.5 (≥ 99: met), x 1.0 |" in faults_part({"rows": [told]})
    (told,) = summary([line | {"measured": good}, line | {"measured": bad}], {"F1": row})
    text = faults_part({"rows": [told]})
    assert "slow s 2.5 (≤ 2: met in 1 of 2), up % 98.0 (≥ 99: met in 1 of 2), x 3.0 |" in text


def test_a_violated_run_is_made_up_for_by_one_with_the_next_number(tmp_path):
    runs = tmp_path / "faults.jsonl"
    row, other = (Row(id, "killed", lambda _: None) for id in ("F1", "F3"))
    line = {"row": "F1", "run": 1, "rate": 500.0, "violations": [], "judged_by": JUDGED_BY}
    wrong = line | {"run": 2, "violations": ["lost"]}
    others = [line | {"run": 7, "rate": 200.0}, line | {"row": "F2", "run": 8}]
    runs.write_text("\n".join(map(json.dumps, (line, wrong, *others))))
    assert (sound_runs(row, 500.0, runs), next_run("F1", 500.0, runs)) == (1, 3)
    assert (sound_runs(other, 500.0, runs), next_run("F3", 500.0, runs)) == (0, 1)


def test_what_was_judged_by_less_counts_only_where_that_is_asked_for(tmp_path):
    runs = tmp_path / "faults.jsonl"
    row = Row("F1", "killed", lambda _: None)
    line = {"row": "F1", "run": 1, "rate": 500.0, "violations": []}
    lines = [line, *(line | {"judged_by": level} for level in range(2, JUDGED_BY + 1))]
    runs.write_text("\n".join(map(json.dumps, lines)))
    assert sound_runs(row, 500.0, runs) == 1
    assert sound_runs(row, 500.0, runs, former=True) == JUDGED_BY


def test_a_row_that_lasts_counts_only_where_it_has_lasted(tmp_path):
    """Of a former line it is known how long all of it took."""
    row = Row("F30", "a storm", lambda _: None, least_min=20.0)
    line = {"row": "F30", "run": 1, "rate": 500.0, "violations": [], "judged_by": JUDGED_BY}
    line |= {"commit": "c", "acknowledged": 1, "quiet_gap_s": 0.5, "gap_s": 1.0, "measured": {}}
    lines = [line | {"seconds": 197.0}, line | {"seconds": 1_363.0, "judged_by": 1}]
    lines += [line | {"seconds": 1_363.0, "minutes": minutes} for minutes in (2.0, 20.0, 30.0)]
    runs = tmp_path / "faults.jsonl"
    runs.write_text("\n".join(map(json.dumps, lines)))
    assert sound_runs(row, 500.0, runs) == 2
    assert sound_runs(row, 500.0, runs, former=True) == 3
    assert (row.minutes(None), row.minutes(2.0)) == (20.0, 2.0)
    assert Row("F1", "killed", lambda _: None).minutes(2.0) == 0.0
    record({"F30": row}, runs, tmp_path / "reliability.json")
    text = (tmp_path / "reliability.md").read_text()
    assert "| F30 | a storm | 500 | 3 |" in text
    assert "Of 2 runs with another load, before, or not as long, 0 did." in text
    assert "1 of 3 runs of F30" in text


def test_missed_targets_are_told_unless_they_are_accepted():
    line = {"acknowledged": 1, "quiet_gap_s": 0.5, "gap_s": 4.0, "violations": []}
    rows = {
        "F1": Row("F1", "killed", lambda _: None, target_s=3.0, at_most={"late s": 1.0}),
        "F2": Row("F2", "killed", lambda _: None, target_s=4.0, at_most={"late s": 2.0}),
        "F12 gateway": Row("F12 gateway", "cut off", lambda _: None, target_s=3.0),
        "F32": Row("F32", "calm", lambda _: None, at_most={"most MB/h": 1.0}),
    }
    lines = [
        line | {"row": "F1", "measured": {"late s": 1.5}},
        line | {"row": "F2", "measured": {"late s": 1.5}},
        line | {"row": "F12 gateway", "measured": {}},
        line | {"row": "F32", "measured": {"most MB/h": 9.0}},
    ]
    assert missed(summary(lines, rows)) == [
        "F1: without acknowledgement s 4.0 (≤ 3: met in 0 of 1), late s 1.5 (≤ 1: met in 0 of 1)"
    ]


def test_runs_that_were_judged_by_all_are_told_from_the_others(tmp_path):
    line = {"row": "F1", "run": 1, "commit": "c", "acknowledged": 1, "quiet_gap_s": 0.5}
    line |= {"gap_s": 1.0, "measured": {}, "violations": []}
    runs = tmp_path / "faults.jsonl"
    second, third, newest = (line | {"judged_by": level} for level in (2, 3, JUDGED_BY))
    for lines, told in (
        ([newest], {}),
        ([third, newest], {"3": 1}),
        ([second, newest], {"2": 1, "3": 1}),
        ([line, second, third, newest], {"1": 1, "2": 2, "3": 3}),
    ):
        runs.write_text("\n".join(map(json.dumps, lines)))
        facts = tmp_path / "reliability.json"
        record({"F1": Row("F1", "killed", lambda _: None)}, runs, facts)
        assert json.loads(facts.read_text())["faults"]["judged by less"] == told
        text = facts.with_suffix(".md").read_text()
        for level, words in JUDGED_BY_LESS.items():
            assert (words in text) is (level in told)


def test_each_former_judging_is_told():
    assert list(JUDGED_BY_LESS) == [str(level) for level in range(1, JUDGED_BY)]


@pytest.mark.parametrize("recovery_s", [1.5, None])
def test_a_run_is_read_as_it_was_written_also_if_orders_never_came_back(tmp_path, recovery_s):
    result = Result("F1", 1, 1, 500.0, recovery_s=recovery_s)
    append(result, tmp_path / "faults.jsonl")
    (line,) = read(tmp_path / "faults.jsonl")
    assert line["recovery_s"] == recovery_s
    record(
        {"F1": Row("F1", "killed", lambda _: None)}, tmp_path / "faults.jsonl", tmp_path / "f.json"
    )


def test_runs_of_uncompiled_modules_are_not_recorded(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["faults", "F1"])
    monkeypatch.setattr(faults, "build_in_use", lambda: "pure")
    with pytest.raises(SystemExit, match="2"):
        faults.main()
    assert "make compile" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "numbers"),
    [
        ([], [5, 6, 7, 8, 9, 10]),
        (["--former"], [5, 6]),
        (["--runs", "5", "--former"], [5]),
        (["--runs", "0"], []),
        (["--more", "--former"], [5, 6, 7, 8, 9, 10]),
    ],
)
def test_a_row_is_run_until_it_has_what_it_wants(monkeypatch, words, numbers):
    """It wants six, and has four, of a former judging."""
    row = Row("F1", "killed", lambda _: None, runs=6)
    ran: list[int] = []

    def run(bench: Bench, row: Row, number: int, seed: int) -> Result:
        ran.append(number)
        return Result(row.id, number, seed, 500.0)

    monkeypatch.setattr(Bench, "run", run)
    monkeypatch.setattr(sys, "argv", ["faults", *words])
    monkeypatch.setattr(faults, "build_in_use", lambda: "compiled")
    monkeypatch.setattr(faults, "sound_runs", lambda row, rate, former: 4 * former)
    monkeypatch.setattr(faults, "next_run", lambda *_: 5)
    monkeypatch.setattr(faults, "append", lambda result: None)
    assert not faults._runs(Bench(rate=500.0), row, faults._arguments({"F1": row}))
    assert ran == numbers
