"""`python -m tests.simulation`: run any number of schedules, or show which mutants are caught."""

import argparse
import os
import sys

from native.selection import PURE, build_in_use
from tests.simulation.mutants import MUTANTS, mutated
from tests.simulation.sweep import Report, run_schedule, sweep


def main() -> int:
    """The exit status: 1 if a schedule fails or a mutant goes unnoticed."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation")
    parser.add_argument("--schedules", type=int, default=2_000)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    parser.add_argument("--mutants", action="store_true", help="show that broken rules are caught")
    options = parser.parse_args()
    seeds = range(options.first_seed, options.first_seed + options.schedules)
    if options.mutants:
        if build_in_use() != "pure":
            # Compiled code does not notice what is replaced in a module: start over, uncompiled.
            command = [sys.executable, "-m", "tests.simulation", *sys.argv[1:]]
            os.execve(sys.executable, command, os.environ | {PURE: "1"})
        return _mutants(seeds)
    report = sweep(seeds, options.seconds, _progress)
    print(f"\n{report.line()}\ncrash points: {dict(report.coverage)}\n{dict(report.happened)}")
    for seed, violations in sorted(report.failures.items())[:10]:
        print(f"seed {seed}: {violations[:3]}")
    return 1 if report.failures else 0


def _progress(report: Report) -> None:
    if report.schedules % 50 == 0:
        print(f"\r{report.line()}", end="", file=sys.stderr, flush=True)


def _mutants(seeds: range) -> int:
    unnoticed = 0
    for name in MUTANTS:
        report = Report()
        with mutated(name):
            caught = next((seed for seed in seeds if run_schedule(seed, report)), None)
        unnoticed += caught is None
        verdict = (
            f"caught by seed {caught}: {report.failures[caught][0]}"
            if caught is not None
            else "UNNOTICED"
        )
        print(f"{name:24} {verdict}")
    return 1 if unnoticed else 0


if __name__ == "__main__":
    sys.exit(main())
