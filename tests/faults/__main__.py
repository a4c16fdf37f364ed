"""`make faults ARGS="F1 F6 --runs 5"`: runs rows and adds what came of them to the report."""

import argparse
import sys

from native.selection import build_in_use
from tests.faults.results import (
    append,
    headline,
    missed,
    next_run,
    read,
    record,
    sound_runs,
    summary,
)
from tests.faults.rows import Row, find_rows
from tests.faults.runner import Bench

RATE = 500.0


def main() -> int:
    """0 if nothing was violated, whatever targets were missed."""
    rows = find_rows()
    arguments = _arguments(rows)
    if arguments.list:
        print("\n".join(f"{each.id:<14} {each.title}" for each in rows.values()))
        return 0
    wanted = [each for each in rows.values() if _is_wanted(each, arguments.rows)]
    bench = Bench(rate=arguments.rate, minutes=arguments.minutes, keep=arguments.keep)
    violated = False
    try:
        for each in wanted:
            violated |= _runs(bench, each, arguments)
    finally:
        bench.close()
        if not arguments.dry:
            record(rows)
            _tell_missed(wanted)
    return int(violated)


def _runs(bench: Bench, row: Row, arguments: argparse.Namespace) -> bool:
    """Runs that are still wanted of a row; whether one of them was violated.

    What was violated before counts for nothing: its place is taken by another run.
    """
    rate = row.rate(arguments.rate)
    done, first = 0, 1
    if not arguments.dry:
        done, first = sound_runs(row, rate, former=arguments.former), next_run(row.id, rate)
    asked = row.runs if arguments.runs is None else arguments.runs
    wanted = asked if arguments.more else asked - done
    violated = False
    for number in range(first, first + wanted):
        seed = arguments.seed if arguments.seed is not None else number
        print(f"{row.id} run {number} of {first + wanted - 1}: {row.title}", flush=True)
        result = bench.run(row, number, seed)
        print(headline(result), flush=True)
        violated |= bool(result.violations)
        if not arguments.dry:
            append(result)
    return violated


def _tell_missed(rows: list[Row]) -> None:
    """Say of which of these rows a target was missed: that is no violation."""
    found = missed(summary(read(), {row.id: row for row in rows}))
    if found:
        print("Targets that were missed, and decision 24 does not accept (nothing fails by it):")
        print("\n".join(f"  {line}" for line in found))


def _is_wanted(row: Row, words: list[str]) -> bool:
    """ "F6" stands for all rows "F6 …"."""
    return not words or any(row.id == word or row.id.split()[0] == word for word in words)


def _arguments(rows: dict[str, Row]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make faults ARGS=…", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help='such as F1, or "F6 leader"')
    parser.add_argument(
        "--runs",
        type=int,
        help="of each row, else 5 (F1 point 6, F30 and F32 1), with earlier ones that count",
    )
    parser.add_argument(
        "--former", action="store_true", help="count also runs that were judged by less than now"
    )
    parser.add_argument("--more", action="store_true", help="so many runs more")
    parser.add_argument(
        "--rate",
        type=float,
        default=RATE,
        help="requests a second; another than usual records nothing",
    )
    parser.add_argument(
        "--minutes", type=float, help="how long F30 and F32 take; what counts takes 20 and 30"
    )
    parser.add_argument("--seed", type=int, help="instead of the number of the run")
    parser.add_argument("--dry", action="store_true", help="record nothing")
    parser.add_argument("--keep", action="store_true", help="keep the data of every run")
    parser.add_argument("--list", action="store_true", help="print the rows")
    arguments = parser.parse_args()
    names = set(rows) | {each.split()[0] for each in rows}
    if unknown := set(arguments.rows) - names:
        parser.error(f"rows of the matrix are wanted, was {', '.join(sorted(unknown))}")
    arguments.dry |= arguments.rate != RATE
    if not arguments.dry and build_in_use() != "compiled":
        parser.error("runs are recorded with the hot modules compiled: make compile, or --dry")
    return arguments


if __name__ == "__main__":
    sys.exit(main())
