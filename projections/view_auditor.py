"""Compares Redis with the fold of the log at the same sequence (P1, P2), and repairs it.

A view is compared at the sequence it stands at: the fold here goes exactly as far as what was read
says of itself. So nothing has to stand still, and whatever differs is wrong.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from time import monotonic
from typing import Any, NamedTuple

from infra.log import LogRecord, Partition
from projections.layout import (
    LEDGER_EVENTS,
    MATCHING_EVENTS,
    NoPosition,
    Position,
    UserRisk,
    feeding_partitions,
    unpack,
)
from projections.live_cells import LiveCells
from projections.view_fold import ViewFold

OF_USERS = ("balances", "open", "closed", "account", "volume")
OF_MARKETS = ("bids", "asks", "market", "candles", "minutes", "trades")
FIRST = ("balances:", "open:")
"""Prefixes of touched keys that are looked at before the others: money."""

AS_OF = {("account", "risk"), ("market", "ticker"), ("market", "risk")}
"""Cells that begin with the time at which the step ended that wrote them."""

WAITING_AT_MOST = 5_000
TOUCHED_AT_ONCE = 100
SWEPT_AT_ONCE = 25
STRANGERS_AT_MOST = 5_000
"""Names that wait for their fold; no more are asked for meanwhile."""

MOST_DIGITS = 19

AGAIN_S = 60.0
"""A key that is wrong again so soon is written wrong by its worker: the view is built anew."""


class Complaint(NamedTuple):
    """A view that is not the fold of the log: invariant, where, and what is said of it."""

    invariant: str
    where: str
    words: str


class ViewAuditor:
    """Folds every outbox and compares. `report` is told of each complaint."""

    def __init__(
        self,
        ledger_partitions: int,
        matching_partitions: int,
        report: Callable[[Complaint], None],
        random: Random,
        *,
        repairs: bool = True,
    ) -> None:
        places = feeding_partitions(ledger_partitions, matching_partitions)
        self.folds = {place: ViewFold(*place) for place in places}
        self.checks: Counter[str] = Counter()
        self.mended = 0
        self._mended_s: dict[str, float] = {}
        self._unread: dict[Partition, tuple[Position, dict[str, dict[str, str]]]] = {}
        self._ledgers, self._matchings = ledger_partitions, matching_partitions
        self._report = report
        self._random = random
        self._repairs = repairs
        self._touched: dict[Partition, dict[str, None]] = {place: {} for place in places}
        self._sweep: dict[Partition, deque[str]] = {place: deque() for place in places}
        self._strangers: dict[Partition, deque[str]] = {place: deque() for place in places}

    @property
    def backlog(self) -> int:
        """How many touched keys wait to be looked at."""
        return sum(map(len, self._touched.values()))

    def take(self, record: LogRecord) -> None:
        """Take a record of an outbox."""
        fold = self.folds.get((record.topic, record.partition))
        if fold is not None:
            fold.take(record)

    def bound(self) -> None:
        """Fold in unchecked what waits beyond `WAITING_AT_MOST`: its view is away or far behind."""
        for fold in self.folds.values():
            if fold.waiting > WAITING_AT_MOST:
                fold.fold_to(fold.seen - WAITING_AT_MOST // 2)

    def touch(self, names: Iterable[str]) -> None:
        """These keys were written by somebody: look at them soon."""
        for name in names:
            place = place_of(name, self._ledgers, self._matchings)
            if place is not None:
                self._touched[place][name] = None

    @property
    def wants_names(self) -> bool:
        """Whether few of the names that were listed wait to be looked at."""
        return sum(map(len, self._strangers.values())) < STRANGERS_AT_MOST

    def listed(self, names: Iterable[str]) -> None:
        """These keys are there: look at those that the fold does not have once it has come here."""
        for name in names:
            place = place_of(name, self._ledgers, self._matchings)
            if place is not None and name not in self.folds[place].cells:
                self._strangers[place].append(name)

    def check_live(self, live: LiveCells, end_of: Callable[[str, int], int]) -> bool:
        """Look at some keys of every partition; returns whether the view must be built anew."""
        again = False
        for place in [each for each in self.folds if each not in self._unread]:
            names = self._choose(place)
            try:
                position, found = live.read(*place, names)
            except NoPosition as error:
                self.touch(names)
                self._complain("P2", "redis", place, self.folds[place].position.cseq, str(error))
                again = True
                continue
            self._unread[place] = (position, found)
            if position.cseq > self.folds[place].seen:
                self._expect_in_log(place, position, end_of)
        return self.compare(live) or again

    def compare(self, live: LiveCells) -> bool:
        """Compare what was read of places that this reader has come to meanwhile; as above."""
        again = False
        for place, (position, found) in list(self._unread.items()):
            fold = self.folds[place]
            if position.cseq > fold.seen and fold.read_to < position.offset:
                continue
            del self._unread[place]
            if position.cseq > fold.seen:
                self.touch(found)
                self._complain_of_position(place, position)
                again = True
                continue
            if position.cseq < fold.position.cseq:
                # The view is being built anew.
                self.touch(found)
                continue
            fold.fold_to(position.cseq)
            self.checks["P1"] += len(found)
            for name, cells in found.items():
                if not is_same(name, fold.cells.get(name, {}), cells):
                    again |= self._mend(live, fold, name, cells)
        return again

    def forget_reads(self) -> None:
        """What was read is of a build that is no more."""
        for _, found in self._unread.values():
            self.touch(found)
        self._unread.clear()

    def _choose(self, place: Partition) -> list[str]:
        """Touched keys, money first, some of all in turn, and some that the fold does not have."""
        touched, sweep = self._touched[place], self._sweep[place]
        names = sorted(touched, key=lambda name: not name.startswith(FIRST))[:TOUCHED_AT_ONCE]
        for name in names:
            del touched[name]
        if not sweep:
            everything = sorted(self.folds[place].cells)
            self._random.shuffle(everything)
            sweep.extend(everything)
        swept = [sweep.popleft() for _ in range(min(SWEPT_AT_ONCE, len(sweep)))]
        return list(dict.fromkeys([*names, *swept, *self._choose_strangers(place)]))

    def _choose_strangers(self, place: Partition) -> list[str]:
        """Those of the names that were listed which are no part of the sweep by now."""
        strangers, cells = self._strangers[place], self.folds[place].cells
        names: list[str] = []
        while strangers and len(names) < SWEPT_AT_ONCE:
            name = strangers.popleft()
            if name not in cells:
                names.append(name)
        return names

    def _expect_in_log(
        self, place: Partition, position: Position, end_of: Callable[[str, int], int]
    ) -> None:
        self.checks["P2"] += 1
        end = end_of(*place)
        if position.offset >= end:
            words = f"stands at offset {position.offset}, the log ends at {end}"
            self._complain("P2", "redis", place, position.cseq, words)

    def _complain_of_position(self, place: Partition, position: Position) -> None:
        """It can be compared with no fold of the log: nothing of the view would be looked at."""
        seen = self.folds[place].seen
        words = f"stands at offset {position.offset}, where the log has come to #{seen}"
        self._complain("P2", "redis", place, position.cseq, words)

    def _mend(self, live: LiveCells, fold: ViewFold, name: str, found: Mapping[str, str]) -> bool:
        """Say what is wrong with a key, and let it be what it must be, unless it changed meanwhile.

        Whether it was mended a short while ago already: then its worker writes it wrong.
        """
        place, wanted = (fold.topic, fold.partition), fold.cells.get(name, {})
        before_s, done = self._mended_s.get(name), "not repaired"
        if self._repairs and live.repair(place, name, found, wanted):
            self._mended_s[name] = monotonic()
            self.mended += 1
            done = "repaired"
        elif self._repairs:
            self._touched[place][name] = None
        words = f"{difference(wanted, found)}; {done}"
        self._complain("P1", f"redis {name}", place, fold.position.cseq, words)
        return before_s is not None and monotonic() < before_s + AGAIN_S

    def _complain(self, invariant: str, what: str, place: Partition, cseq: int, words: str) -> None:
        topic, partition = place
        self._report(Complaint(invariant, f"{what} at {topic}.{partition}#{cseq}", words))


def place_of(name: str, ledger_partitions: int, matching_partitions: int) -> Partition | None:
    """The partition that feeds a key; None for names that are no view's."""
    kind, _, number = name.rpartition(":")
    # Whoever can write to Redis can write any name.
    if not (number.isascii() and number.isdigit() and len(number) <= MOST_DIGITS):
        return None
    for topic, count in (
        (LEDGER_EVENTS, ledger_partitions),
        (MATCHING_EVENTS, matching_partitions),
    ):
        if kind == f"reference:{topic}":
            return (topic, int(number)) if int(number) < count else None
    if kind in OF_USERS:
        return (LEDGER_EVENTS, int(number) % ledger_partitions)
    if kind in OF_MARKETS:
        return (MATCHING_EVENTS, int(number) % matching_partitions)
    return None


def is_same(name: str, wanted: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether a key says the same, times apart at which a step ended."""
    if wanted == found:
        return True
    if wanted.keys() != found.keys():
        return False
    kind = name.partition(":")[0]
    return all(
        text == found[field] or _is_as_of(kind, field, text, found[field])
        for field, text in wanted.items()
    )


def _is_as_of(kind: str, field: str, wanted: str, found: str) -> bool:
    """Whether a cell that depends on where its step ended says the same as of another time.

    The counts of a user's minute do so too, once the user is at rest: nobody turns that minute.
    """
    if (kind, field) not in AS_OF:
        return False
    if (kind, field) != ("account", "risk"):
        return wanted.partition(",")[2] == found.partition(",")[2]
    try:
        ours, theirs = unpack(UserRisk, wanted), unpack(UserRisk, found)
    except (ValueError, TypeError):
        return False
    counted = ours.minute == theirs.minute
    return _comparable(ours, counted=counted) == _comparable(theirs, counted=counted)


def _comparable(risk: UserRisk, *, counted: bool) -> UserRisk:
    if counted:
        return risk._replace(time_us=0)
    return UserRisk(0, risk.exposure, risk.open_notional, 0, 0, 0, 0, 0, risk.volume_24h)


def difference(wanted: Mapping[str, str], found: Mapping[str, str]) -> str:
    """The first field that differs, with both sides."""
    for field in sorted(wanted.keys() | found.keys()):
        if wanted.get(field) != found.get(field):
            sides = (wanted.get(field, "nothing"), found.get(field, "nothing"))
            return f"field {field} must be {sides[0][:120]}, was {sides[1][:120]}"
    return "nothing differs"


def as_plain(auditor: ViewAuditor) -> list[list[Any]]:
    """The folds as plain lists, for a checkpoint."""
    return [[*place, fold.dump()] for place, fold in sorted(auditor.folds.items())]


def from_plain(auditor: ViewAuditor, data: Sequence[Sequence[Any]]) -> None:
    """Let a new auditor's folds stand where the plain lists say."""
    for topic, partition, fold in data:
        auditor.folds[topic, partition].load(fold)
