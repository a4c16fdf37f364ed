"""Applies mutants of the product one by one, and shows how soon the sweep notices each."""

import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import asdict, dataclass

from infra.refusal import Misunderstood
from tests.reliability import commit, update
from tests.simulation.gateway_mutants import GATEWAY
from tests.simulation.money_mutants import MONEY
from tests.simulation.mutants import OF_LOSSES, OF_SHADOWS, PROTOCOL, Mutant
from tests.simulation.opening import opening
from tests.simulation.report import Report
from tests.simulation.schedule import STANDING_BY, Kind, forget, kind_of, run_schedule
from tests.simulation.sweep import workers
from tests.simulation.trading_mutants import TRADING

MUTANTS: dict[str, Mutant] = PROTOCOL | MONEY | TRADING | GATEWAY
LIMIT = 20_000
"""Within so many schedules each must be caught."""

SHOWS_IN: dict[str, Sequence[Kind]] = {
    **dict.fromkeys(GATEWAY, (Kind.WHOLE,)),
    **dict.fromkeys(OF_SHADOWS, STANDING_BY),
    **dict.fromkeys(OF_LOSSES, (Kind.LOST_TAIL,)),
    "end asked before the outbox": (Kind.RACE,),
}
"""The kinds of schedules that come to the broken line. The others pass as they do unbroken, so
that they are counted and not run."""


@dataclass(frozen=True)
class Verdict:
    """How a mutant fared: after how many schedules it was caught, and by which violation.

    That is one of the mutant's own ids; empty if there was none. `other` is the first violation of
    another kind, if nothing else was noticed.
    """

    name: str
    schedules: int
    violation: str
    other: str = ""

    def line(self) -> str:
        """One line for people."""
        if not self.violation:
            instead = f", only {self.other[:80]}" if self.other else ""
            return f"{self.name:34} UNNOTICED in {self.schedules:,}{instead}"
        return f"{self.name:34} {self.schedules:>6,}  {self.violation[:110]}"


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The product with one rule broken, until the block ends. Compiled code does not notice."""
    patches = MUTANTS[name].patches
    saved = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in patches]
    forget()
    try:
        for owner, attribute, broken in patches:
            setattr(owner, attribute, broken)
        yield
    finally:
        for owner, attribute, original in saved:
            setattr(owner, attribute, original)
        forget()


def verdict(name: str, limit: int = LIMIT) -> Verdict:
    """Run schedules from seed 0 on until one fails as it must, at most `limit`."""
    opening()
    report, other = Report(), ""
    with mutated(name):
        for seed in range(limit):
            if kind_of(seed) not in SHOWS_IN.get(name, Kind):
                continue
            violations = run_schedule(seed, report)
            if violation := first_of(name, violations):
                return Verdict(name, seed + 1, violation)
            other = other or next(iter(violations), "")
    return Verdict(name, limit, "", other)


def first_of(name: str, violations: Sequence[str]) -> str:
    """The first violation that is of the rule which the mutant breaks; empty if none is."""
    return next((each for each in violations if each.startswith(MUTANTS[name].ids)), "")


def show_mutants(only: str, limit: int, jobs: int, record: bool) -> int:
    """Print the table of all mutants with `only` in their name; 1 if one goes unnoticed.

    One that is caught by another rule's violation, or an exception, is unnoticed. Raises
    `Misunderstood` where there is none.
    """
    names = [name for name in MUTANTS if only in name]
    if not names:
        raise Misunderstood(f"a mutant's name has {only!r} in it: none of {', '.join(MUTANTS)}")
    limit = limit or LIMIT
    verdicts: dict[str, Verdict] = {}
    with workers(jobs) as pool:
        for done in as_completed([pool.submit(verdict, name, limit) for name in names]):
            found = done.result()
            verdicts[found.name] = found
            print(found.line(), flush=True)
            print(f"\r{len(verdicts)} of {len(names)} done", end="\r", file=sys.stderr, flush=True)
    unnoticed = [each for each in verdicts.values() if not each.violation]
    print(f"{len(names) - len(unnoticed)} of {len(names)} caught within {limit:,} schedules")
    if record:
        rows = [asdict(verdicts[name]) for name in names]
        told = {"rows": rows, "limit": limit, "commit": commit()}
        update("simulation", lambda part: part | {"mutants": told})
    return 1 if unnoticed else 0
