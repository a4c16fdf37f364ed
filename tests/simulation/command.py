"""`logbourse simulate`: run any number of schedules, repeat one, or break rules on purpose."""

import argparse
import os
import sys
import time

from infra.refusal import Misunderstood
from native.selection import PURE, build_in_use
from tests.reliability import FACTS, commit, read, update
from tests.simulation.breaking import show_mutants
from tests.simulation.report import Report, added, first_unused
from tests.simulation.schedule import kind_of, run_schedule, size_of
from tests.simulation.swarm import HIGHEST_RATES, Swarm
from tests.simulation.sweep import get_ready, sweep
from tests.simulation.trace import Trace

PART = "simulation"
RECORD_EVERY_S = 60.0
TELL_EVERY_S = 2.0
NUMBERS: tuple[tuple[str, int | None, str], ...] = (
    ("--seeds", 0, "how many schedules (2,000; with --mutants 20,000)"),
    ("--first", None, "the first seed (0, or behind those recorded)"),
    ("--jobs", 2, "processes that share the work (2)"),
    ("--seed", None, "run this one alone"),
)
SHOWN = 10
"""How many failed seeds are printed."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse simulate` takes."""
    for name, default, meaning in NUMBERS:
        parser.add_argument(name, type=int, metavar="N", default=default, help=meaning)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="end after so long")
    parser.add_argument("--faults", default="", help=f"only these: {','.join(HIGHEST_RATES)}")
    parser.add_argument("--trace", action="store_true", help="with --seed: print every micro-step")
    parser.add_argument("--mutants", action="store_true", help="break one rule at a time")
    parser.add_argument("--only", default="", help="with --mutants: those with this in their name")
    parser.add_argument("--record", action="store_true", help="add it to docs/reliability.md")


def run(arguments: argparse.Namespace) -> int:
    """Simulate; 1 if an invariant was violated, a mutant unnoticed, or too little happened.

    Raises `Misunderstood` for a fault that does not exist and for numbers below 1.
    """
    only = _faults(arguments.faults)
    if arguments.jobs < 1 or arguments.seeds < 0:
        jobs, seeds = arguments.jobs, arguments.seeds
        raise Misunderstood(
            f"--jobs is wanted from 1 on, was {jobs}; --seeds from 0 (its default), was {seeds}"
        )
    if arguments.seed is not None:
        return _repeat(arguments.seed, only, trace=arguments.trace)
    if arguments.mutants:
        if build_in_use() != "pure":
            # Compiled code does not notice what is replaced in a module: start over, uncompiled.
            command = [sys.executable, "-m", "logbourse", "simulate", *sys.argv[2:]]
            os.execve(sys.executable, command, os.environ | {PURE: "1"})
        return show_mutants(arguments.only, arguments.seeds, arguments.jobs, arguments.record)
    return _sweep(arguments, only)


def _faults(text: str) -> tuple[str, ...]:
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in HIGHEST_RATES:
            known = ", ".join(HIGHEST_RATES)
            raise Misunderstood(f"a fault must be one of {known}, was {name}")
    return names


def _repeat(seed: int, only: tuple[str, ...], *, trace: bool) -> int:
    get_ready()
    report = Report()
    told = Trace(print if trace else None)
    violations = run_schedule(seed, report, only, told)
    print(f"seed {seed}: {told.count:,} steps, trace {told.digest()}, commit {commit()}")
    print(f"{kind_of(seed).name}, {size_of(seed).line()}")
    print(f"faults on: {dict(Swarm.drawn(seed, only).rates)}")
    print("\n".join(violations) if violations else "every invariant holds")
    return 1 if violations else 0


def _sweep(arguments: argparse.Namespace, only: tuple[str, ...]) -> int:
    recorded = read().get(PART, {}) if arguments.record else {}
    first = first_unused(recorded) if arguments.first is None else arguments.first
    seeds = range(first, first + (arguments.seeds or 2_000))
    progress = Progress(seeds, record=arguments.record)
    report = sweep(seeds, progress, jobs=arguments.jobs, until_s=arguments.seconds, only=only)
    progress.close(report)
    print(f"{report.line(progress.elapsed_s)}, seeds from {first:,} on")
    print(report.table())
    for seed, violations in sorted(report.failures.items())[:SHOWN]:
        print(f"seed {seed}: {violations[0]}\n  again: logbourse simulate --seed {seed} --trace")
    lacking = [] if only else report.lacking()
    print("".join(f"{each}\n" for each in lacking), end="")
    return 1 if report.failures or lacking else 0


class Progress:
    """Tells people how far it is, and the facts what was finished."""

    def __init__(self, seeds: range, *, record: bool) -> None:
        self.elapsed_s = 0.0
        self._seeds = seeds
        self._record = record
        self._recorded = Report()
        self._commit = commit() if record else ""
        self._told_s = self._recorded_s = time.monotonic()

    def __call__(self, report: Report, elapsed_s: float) -> None:
        self.elapsed_s = elapsed_s
        now_s = time.monotonic()
        if now_s - self._told_s >= TELL_EVERY_S:
            self._told_s = now_s
            line = f"{report.line(elapsed_s)} of {len(self._seeds):,}"
            print(f"\r{line}", end="", file=sys.stderr, flush=True)
        if self._record and now_s - self._recorded_s >= RECORD_EVERY_S:
            self._recorded_s = now_s
            self._add(report)

    def close(self, report: Report) -> None:
        """All is done that will be."""
        print(file=sys.stderr)
        if self._record and report.schedules > self._recorded.schedules:
            self._add(report)
            print(f"added to {FACTS.with_suffix('.md')}", file=sys.stderr)

    def _add(self, report: Report) -> None:
        """What came since the last time goes into the facts."""
        fresh = report.since(self._recorded)
        first = self._seeds[0] + self._recorded.schedules
        update(PART, lambda told: added(told, first, fresh, self._commit, build_in_use()))
        self._recorded = Report()
        self._recorded.add(report)
