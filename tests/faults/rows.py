"""What a row of the fault matrix is, and what it is given: a stack under load, and chance."""

import importlib
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from math import inf
from pathlib import Path

from tests.faults.load import Load, Sent
from tests.faults.network import untouched
from tests.faults.proxy import Rule
from tests.faults.stack import LOOK_S, FaultStack

LEDGERS = 2
"""So many shards of ledgers take orders, each for half of the clients."""


@dataclass(slots=True)
class Run:
    """One run of a row: the stack under load, and what the row notes about what it did."""

    stack: FaultStack
    load: Load
    seed: int
    rng: random.Random
    minutes: float
    quick: bool
    violations: list[str] = field(default_factory=list)
    measured: dict[str, float] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    fault_s: float = 0.0
    forged: list[str] = field(default_factory=list)
    """Positions that the audit must name, and no others."""
    cut: set[str] = field(default_factory=set)
    """Partitions of which the row has cut off ends of files."""
    reopened_s: float = 0.0
    """When the exchange was opened again after a recovery; what was answered since is not lost."""
    faulty: list[int] = field(default_factory=list)
    """Markets whose orders cannot be planned, since the row has planted a bug."""

    def fault(self, words: str) -> None:
        """Now the fault happens, the first time; recovery is counted from here."""
        self.words.append(words)
        if not self.fault_s:
            self.fault_s = time.monotonic()

    def wait(self, seconds: float) -> None:
        """Let the load go on for so long."""
        time.sleep(seconds)

    def recovered(self, since_s: float | None = None, timeout_s: float = 90.0) -> float:
        """Wait until each ledger has acknowledged an order sent after the fault (or `since_s`).

        Seconds it took. Not coming back in time is a violation, too.
        """
        begin_s = self.fault_s if since_s is None else since_s
        give_up_s = time.monotonic() + timeout_s
        while time.monotonic() < give_up_s:
            took_s = recovery_s(self.load.acknowledged(), begin_s)
            if took_s is not None:
                return took_s
            time.sleep(LOOK_S)
        self.violations.append(
            f"each ledger must acknowledge orders again within {timeout_s:.0f} s"
        )
        return timeout_s

    def demand(self, holds: bool, sentence: str) -> None:
        """What must hold in this row, beside what must hold in all; False is a violation."""
        if not holds:
            self.violations.append(sentence)

    @contextmanager
    def broken(self, *rules: Rule) -> Iterator[None]:
        """These rules of the network hold while the block runs, and must strike something."""
        with self.stack.network.broken(*rules) as struck:
            yield
        spared = untouched(rules, struck)
        self.demand(not spared, f"pieces must be held back or late, between {spared} none was")

    @contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Note under that name how many seconds the block takes."""
        begin_s = time.monotonic()
        yield
        self.measured[name] = time.monotonic() - begin_s


@dataclass(slots=True, frozen=True)
class Row:
    """A row of the matrix: what is done, and what it may cost.

    `target_s` is the longest time without an acknowledgement that is wanted (None: the row itself
    demands); a longer one is shown in the report, and one beyond `must_s` is a violation. Shown is
    also what the row measures, by name, beyond `at_most` or below `at_least`. No more than
    `most_rate` requests a second come, however many are asked for. The words of `stack` are those
    of `logbourse run`. In a `proxied` stack connections can be cut and delayed, in a `planted` one
    clocks can be moved, and a bug can be planted. With `auditor` the continuous auditor runs, too.
    `leases` is where they are kept, `file` or `redis`. With `own_stack` each run has a fresh stack,
    thrown away after it: for rows that destroy data. `kinds` names the mix of orders, one of
    `load.KINDS`. Where a row `may_lose` what was acknowledged, since Kafka does, a recovery must
    explain what is gone; without a recovery nothing may be. Wanted are so many `runs`. A
    row that lasts as long as it is told to must last `least_min` minutes to count.
    """

    id: str
    title: str
    act: Callable[[Run], None]
    target_s: float | None = None
    must_s: float | None = None
    stack: tuple[str, ...] = ()
    proxied: bool = False
    leases: str = "file"
    own_stack: bool = False
    planted: bool = False
    auditor: bool = False
    kinds: str = "usual"
    at_most: Mapping[str, float] = field(default_factory=dict)
    at_least: Mapping[str, float] = field(default_factory=dict)
    may_lose: bool = False
    most_rate: float = inf
    runs: int = 5
    least_min: float = 0.0

    def rate(self, asked: float) -> float:
        """How many requests a second come where so many are asked for."""
        return min(asked, self.most_rate)

    def minutes(self, asked: float | None) -> float:
        """How many minutes a run lasts where so many are asked for; 0 where the row decides."""
        return self.least_min if asked is None or not self.least_min else asked

    def outage(self, gap_s: float) -> list[str]:
        """The violation that so long a time without an acknowledgement is, if it is one."""
        if self.must_s is None or gap_s <= self.must_s:
            return []
        return [f"orders may not wait for more than {self.must_s:g} s here, did for {gap_s:.1f} s"]


ROWS: dict[str, Row] = {}


def row(id: str, title: str, **fields: object) -> Callable[[Callable[[Run], None]], None]:
    """Put the function into `ROWS`; `fields` are those of `Row`."""

    def put(act: Callable[[Run], None]) -> None:
        assert id not in ROWS, f"row {id} stands twice"
        ROWS[id] = Row(id, title, act, **fields)  # type: ignore[arg-type]

    return put


def find_rows() -> dict[str, Row]:
    """All rows by id, from every module `rows_*.py` of this folder."""
    for path in sorted(Path(__file__).parent.glob("rows_*.py")):
        importlib.import_module(f"tests.faults.{path.stem}")
    return dict(sorted(ROWS.items(), key=_in_order))


def recovery_s(acknowledged: list[Sent], begin_s: float) -> float | None:
    """Seconds until each ledger shard had acknowledged an order sent since; None if one has not.

    What was acknowledged is in the order of the answers.
    """
    first: dict[int, float] = {}
    for sent in acknowledged:
        if sent.sent_s > begin_s:
            first.setdefault(sent.ledger, sent.answered_s)
    return max(first.values()) - begin_s if len(first) == LEDGERS else None


def longest_gap(acknowledged: list[Sent], begin_s: float, end_s: float) -> float:
    """The longest time without an acknowledged order between two moments, in seconds.

    Of each ledger shard apart, as a client notices it: what others get does not help.
    """
    moments: dict[int, list[float]] = {}
    for sent in acknowledged:
        moments.setdefault(sent.ledger, []).append(sent.answered_s)
    gaps = [0.0 if moments else end_s - begin_s]
    for times in moments.values():
        inside = [begin_s, *(at_s for at_s in times if begin_s <= at_s <= end_s), end_s]
        gaps += [late - early for early, late in pairwise(inside)]
    return max(gaps)


def last_gap(orders: Iterable[Sent], begin_s: float, ended_s: float) -> float:
    """The longest outage at the end of the load, in seconds, to the answer that ended it; else 0.

    Of each ledger shard: it lasts if what was begun after its last acknowledgement waits. One order
    that was lost earlier, and waits to be sent again, waits for itself alone.
    """
    by_ledger: dict[int, list[Sent]] = {}
    for sent in orders:
        by_ledger.setdefault(sent.ledger, []).append(sent)
    gaps = [0.0]
    for found in by_ledger.values():
        acked = [sent for sent in found if sent.acknowledged]
        last_s = max((s.answered_s for s in acked if s.answered_s <= ended_s), default=begin_s)
        waited = [s for s in found if s.began_s > last_s and s.answered_s > ended_s]
        taken = [sent.answered_s for sent in waited if sent.acknowledged]
        # Where all came too late, it was over with the last of them, or later.
        over_s = min(taken) if taken else max((s.answered_s for s in waited), default=0.0)
        gaps.append(over_s - max(last_s, begin_s))
    return max(gaps)


def _in_order(item: tuple[str, Row]) -> tuple[int, str]:
    digits = "".join(letter for letter in item[0].split()[0] if letter.isdigit())
    return int(digits or 0), item[0]
