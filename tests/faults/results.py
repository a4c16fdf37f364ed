"""The file of finished runs, and the part of the report that is drawn from it."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median

from native.selection import ROOT
from tests import reliability
from tests.faults.report import PLOT, Line, draw
from tests.faults.rows import Row
from tests.faults.runner import JUDGED_BY, Result

RUNS = ROOT / "docs" / "faults.jsonl"
"""A line of JSON for each run that was finished, oldest first."""

ACKNOWLEDGED = "without acknowledgement s"
"""The name of what `target_s` bounds."""

ACCEPTED = {
    ("F12 gateway", ACKNOWLEDGED),
    ("F23 x10", "ack p99 s"),
    ("F23 crawl", "ack p99 s"),
    ("F30", "seconds with acknowledgements %"),
    ("F31 rows", "named s"),
    ("F32", "most MB/h"),
}
"""Rows and their numbers whose targets may be missed: docs/decisions/0024 says why."""

FORMER_RATE = 200.0
"""Requests a second where a line does not say it."""


def append(result: Result, file: Path = RUNS) -> None:
    """Add a finished run, with the commit it was made at."""
    line = {"commit": reliability.commit(), **asdict(result)}
    with file.open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(line, ensure_ascii=False, sort_keys=True) + "\n")


def read(file: Path = RUNS) -> list[Line]:
    """All finished runs."""
    if not file.exists():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def sound_runs(row: Row, rate: float, file: Path = RUNS, *, former: bool = False) -> int:
    """How many runs of a row with so many requests a second count: violated nothing, long enough.

    Of `former` ones, which were judged by less than today, only where that is asked for.
    """
    return sum(
        not line["violations"] and _is_long(line, row) and (former or _level(line) >= JUDGED_BY)
        for line in _runs(row.id, rate, file)
    )


def next_run(row: str, rate: float, file: Path = RUNS) -> int:
    """The number of the next run of a row with so many requests a second."""
    return max((line["run"] for line in _runs(row, rate, file)), default=0) + 1


def headline(result: Result) -> str:
    """One run in one line, below it its violations and what else it noted."""
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in result.measured.items())
    first = "never" if result.recovery_s is None else f"after {result.recovery_s:.2f} s"
    line = (
        f"  {'VIOLATED' if result.violations else 'ok'}: without acknowledgement "
        f"{result.gap_s:.2f} s (before {result.quiet_gap_s:.2f}), first order {first}, "
        f"{result.acknowledged} orders acknowledged of "
        f"{result.requests} requests, {result.retried} sent again, {result.duplicates} duplicates, "
        f"{result.seconds:.0f} s {numbers}"
    )
    return "\n".join([line, *(f"  - {each}" for each in (*result.violations, *result.words))])


def record(rows: Mapping[str, Row], file: Path = RUNS, facts: Path = reliability.FACTS) -> None:
    """Bring the facts up to what the file has, and draw the page."""
    lines = read(file)
    table = summary(lines, rows)
    draw(table, facts.parent / PLOT)
    shown = [line for each in rows.values() for line in _shown(lines, each)]
    others = [line for line in lines if line not in shown]
    told = {"runs": len(others), "violated": sum(bool(each["violations"]) for each in others)}
    violated = [_violated(line) for line in shown if line["violations"]]
    found = {
        "rows": table,
        "with another load": told,
        "violated": violated,
        "judged by less": _judged_by_less(shown),
        "of what lasts": _former_of(shown, [id for id, each in rows.items() if each.least_min]),
    }
    reliability.update("faults", lambda _: found, facts)


def summary(lines: Sequence[Line], rows: Mapping[str, Row]) -> list[Line]:
    """A line for each row that was run, in the order of the matrix."""
    found = []
    for id, each in rows.items():
        runs = _shown(lines, each)
        if not runs:
            continue
        gaps = [run["gap_s"] for run in runs]
        target_s = each.target_s
        found.append(
            {
                "row": id,
                "title": each.title,
                "rate": round(_rate(runs[0])),
                "runs": len(runs),
                "violated": sum(bool(run["violations"]) for run in runs),
                "gap_p50_s": round(median(gaps), 2),
                "gap_max_s": round(max(gaps), 2),
                "before_p50_s": round(median(run["quiet_gap_s"] for run in runs), 2),
                "gaps_s": [round(gap, 2) for gap in gaps],
                "target_s": target_s,
                "must_s": each.must_s,
                "within": sum(target_s is not None and gap <= target_s for gap in gaps),
                "acknowledged": sum(run["acknowledged"] for run in runs),
                "measured": _measured(runs, each),
                "limits": _limits(runs, each),
            }
        )
    return found


def missed(table: Iterable[Line]) -> list[str]:
    """A line for each row with a target that not all its runs have met, but for `ACCEPTED`."""
    found = []
    for row in table:
        words = []
        late = row["target_s"] is not None and row["within"] < row["runs"]
        if late and (row["row"], ACKNOWLEDGED) not in ACCEPTED:
            share = f"≤ {row['target_s']:g}: met in {row['within']} of {row['runs']}"
            words.append(f"{ACKNOWLEDGED} {row['gap_max_s']} ({share})")
        words += [
            f"{name} {row['measured'][name]:,} ({limit})"
            for name, limit in row["limits"].items()
            if " of " in limit and (row["row"], name) not in ACCEPTED
        ]
        if words:
            found.append(f"{row['row']}: {', '.join(words)}")
    return found


def _runs(row: str, rate: float, file: Path) -> list[Line]:
    return [line for line in read(file) if line["row"] == row and _rate(line) == rate]


def _shown(lines: Sequence[Line], row: Row) -> list[Line]:
    """The runs of a row that had most load, of what it may have, and were long enough."""
    runs = [
        line
        for line in lines
        if line["row"] == row.id and _rate(line) <= row.most_rate and _is_long(line, row)
    ]
    rate = max(map(_rate, runs), default=0.0)
    return [line for line in runs if _rate(line) == rate]


def _judged_by_less(lines: Sequence[Line]) -> dict[str, int]:
    """For each level of judging before today's: how many runs were judged by no more than that."""
    told = {str(to): sum(_level(line) <= to for line in lines) for to in range(1, JUDGED_BY)}
    return {level: runs for level, runs in told.items() if runs}


def _former_of(lines: Sequence[Line], rows: Iterable[str]) -> dict[str, list[int]]:
    """Of these rows: how many runs were judged by less than today, of how many."""
    levels = {id: [_level(line) for line in lines if line["row"] == id] for id in rows}
    told = {id: [sum(at < JUDGED_BY for at in found), len(found)] for id, found in levels.items()}
    return {id: numbers for id, numbers in told.items() if numbers[0]}


def _is_long(line: Line, row: Row) -> bool:
    """Whether the run lasted as long as the row must; of former ones, as long as all of it took."""
    if not row.least_min:
        return True
    minutes: float = line["minutes"] if "minutes" in line else line["seconds"] / 60
    return minutes >= row.least_min


def _level(line: Line) -> int:
    level: int = line.get("judged_by", 1)
    return level


def _violated(line: Line) -> Line:
    """What a run violated first. `mended` is the one thing in a line that a person has written."""
    first, *more = line["violations"]
    found = {each: line[each] for each in ("row", "run", "commit")}
    return found | {"first": first, "more": len(more), "mended": line.get("mended", "")}


def _rate(line: Line) -> float:
    rate: float = line.get("rate", FORMER_RATE)
    return rate


def _measured(runs: Sequence[Line], row: Row) -> dict[str, float]:
    """The worst of each number that the row noted itself."""
    names = sorted({name for run in runs for name in run["measured"]})
    return {
        name: round((min if name in row.at_least else max)(_numbers(runs, name)), 2)
        for name in names
    }


def _limits(runs: Sequence[Line], row: Row) -> dict[str, str]:
    """Of each number with a target: the target, and in how many runs it was met if not in all."""
    found = {}
    for sign, limits in (("≤", row.at_most), ("≥", row.at_least)):
        for name, limit in limits.items():
            numbers = _numbers(runs, name)
            if not numbers:
                continue
            good = sum(each <= limit if sign == "≤" else each >= limit for each in numbers)
            share = "met" if good == len(numbers) else f"met in {good} of {len(numbers)}"
            found[name] = f"{sign} {limit:g}: {share}"
    return found


def _numbers(runs: Sequence[Line], name: str) -> list[float]:
    return [run["measured"][name] for run in runs if name in run["measured"]]
