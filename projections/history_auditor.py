"""Rounds over the tables of history: what they add up to, beside what the fold's rows add up to.

A round asks for sums of tables that are kept by the part, so that little of what was added up is
read again, apart from candles. Rows that were stored twice after a crash count twice there until
the engine has merged them. So a table that differs is read as a whole before anything is said, and
how much too much its parts add up to is known from then on.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from time import monotonic
from typing import NamedTuple

from infra.log import SHOWN_WITHIN_S, Partition
from projections.candle_sums import Series, Told
from projections.history_client import HistoryClient, TablesTold
from projections.history_sums import Sum, differences
from projections.layout import MATCHING_EVENTS, SUMMED, Candle, trades_key
from projections.view_auditor import Complaint, ViewAuditor
from projections.view_fold import SumMark, ViewFold

PAUSE_S = 0.5
PAUSE_PER_ROUND = 5
"""So many times as long as a round takes where nobody is in its way: a sixth of a processor."""

ROUNDS_REMEMBERED = 20

CANDLES = "candles"
ALL = frozenset({CANDLES, *(table for tables in SUMMED.values() for table in tables)})

Key = tuple[str, Partition]
"""A table, and the outbox that its rows are of."""

Doubts = Mapping[Key, Mapping[int, Sum]]
"""What parts have added up to beyond what they must."""


Reach = tuple[int, ...]
"""How far something says that the log goes: a sequence, or a candle's opening and last trade."""


@dataclass(slots=True)
class _Ahead:
    """A reach beyond that of the fold: once `due_s` comes the log's `end` is asked for.

    Not before: for a moment a new leader may not show all that a worker has read already.
    """

    reach: Reach
    due_s: float
    end: int = -1


class Look(NamedTuple):
    """What a round asks for."""

    marks: Mapping[Partition, SumMark]
    subjects: Collection[str]
    """Tables, `CANDLES` among them."""
    doubts: Doubts
    """Of tables that are read as a whole."""

    @property
    def exact(self) -> Collection[str]:
        """The tables that are read as a whole."""
        return {table for table, _ in self.doubts}


class Round(NamedTuple):
    """A look, and what came back."""

    look: Look
    tables: Mapping[str, TablesTold]
    candles: Mapping[Series, Told]
    seconds: float


class HistoryAuditor:
    """Asks in a thread of its own, judges in its caller's. What differs twice is a complaint.

    What differed is looked at again at once, and nothing else with it.
    """

    def __init__(self, client: HistoryClient, views: ViewAuditor) -> None:
        self._client = client
        self._views = views
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="history-audit")
        self._running: Future[Round] | None = None
        self._next_s = 0.0
        self._positions: dict[Partition, int] = {}
        self._known_at: dict[Series, int] = {}
        """Where the fold stood when it was first judged to have a series."""
        self._suspected: dict[str, str] = {}
        """What differed when it was looked at last, as complaints name it, and its subject."""
        self._told: dict[str, str] = {}
        self._again: set[str] = set()
        """Subjects of which something differed in the last round that is not told yet."""
        self._doubts: dict[Key, Mapping[int, Sum]] = {}
        """What parts add up to beyond what they must, of tables to be read as a whole."""
        self._surplus: dict[Key, Mapping[int, Sum]] = {}
        """The same of tables that were right: of rows that were stored twice."""
        self._known_wrong: dict[Key, Mapping[int, Sum]] = {}
        """The same of tables that are being built anew."""
        self._ahead: dict[tuple[str, Partition], _Ahead] = {}
        """By what a complaint names, and the outbox: what reaches beyond what was read of it."""
        self._rounds_s: deque[float] = deque(maxlen=ROUNDS_REMEMBERED)
        self.round_s = 0.0
        """How long the last round took."""

    def tend(self, report: Callable[[Complaint], None], end_of: Callable[[str, int], int]) -> None:
        """Begin a round if one is due, judge one that has ended. Raises `OSError`.

        `end_of` tells where an outbox ends.
        """
        if self._running is not None:
            if self._running.done():
                finished, self._running = self._running, None
                self._next_s = monotonic() + PAUSE_S
                self._judge(finished.result(), report, end_of)
        elif monotonic() >= self._next_s:
            self._running = self._thread.submit(self._ask, self._choose())

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _choose(self) -> Look:
        """Look at what differed, or at everything."""
        # Were they kept until they are judged, one that is never answered would be for ever.
        doubts, self._doubts = self._doubts, {}
        again, self._again = self._again, set()
        marks = {}
        for place, fold in self._views.folds.items():
            mark = fold.mark_before(self._positions.get(place, 0))
            if mark is not None and mark.cseq:
                marks[place] = mark
        return Look(marks, again | {table for table, _ in doubts} if again else ALL, doubts)

    def _ask(self, look: Look) -> Round:
        started_s = monotonic()
        tables: dict[str, TablesTold] = {}
        for topic, names in SUMMED.items():
            folds = [place for place in self._views.folds if place[0] == topic]
            upto = {p: look.marks[t, p].cseq if (t, p) in look.marks else 0 for t, p in folds}
            for exact in (False, True):
                some = [n for n in names if n in look.subjects and (n in look.exact) is exact]
                if some:
                    told = self._client.tables(some, upto, exact=exact)
                    tables |= dict.fromkeys(some, told)
        candles = self._client.candles() if CANDLES in look.subjects else {}
        return Round(look, tables, candles, monotonic() - started_s)

    def _judge(
        self,
        done: Round,
        report: Callable[[Complaint], None],
        end_of: Callable[[str, int], int],
    ) -> None:
        self.round_s = done.seconds
        subjects = done.look.subjects
        if subjects is ALL and not done.look.doubts:
            self._rounds_s.append(done.seconds)
        for topic, names in SUMMED.items():
            for told in (done.tables[name] for name in names if name in done.tables):
                for partition, cseq in told.positions.items():
                    self._positions[topic, partition] = cseq
        complaints = self._table_complaints(done) + self._stray_complaints(done, end_of)
        if CANDLES in subjects:
            complaints += self._candle_complaints(done, end_of)
            complaints += self._stray_candle_complaints(done, end_of)
        differing = {complaint.where: subject for subject, complaint in complaints}
        doubted = {_where(*key) for key in self._doubts}
        for _, complaint in complaints:
            where = complaint.where
            if where in self._suspected and where not in self._told and where not in doubted:
                self._told[where] = differing[where]
                report(complaint)
        # A build that was switched between two questions differs once.
        self._again = {each for where, each in differing.items() if where not in self._told}
        self._suspected = _but(self._suspected, subjects) | differing
        still = {where: each for where, each in self._told.items() if where in differing}
        self._told = _but(self._told, subjects) | still
        pause_s = max(PAUSE_S, PAUSE_PER_ROUND * min(self._rounds_s, default=0.0))
        self._next_s = monotonic() + (0 if self._again else pause_s)

    def _table_complaints(self, done: Round) -> list[tuple[str, Complaint]]:
        """What is wrong with tables, or may be: then they are doubted."""
        complaints = []
        for table, told in done.tables.items():
            for place, mark in done.look.marks.items():
                if table not in SUMMED[place[0]] or told.positions.get(place[1], 0) < mark.cseq:
                    continue
                self._views.checks["P1"] += 1
                wanted = self._views.folds[place].sums_at(table, mark)
                found = told.sums[table].get(place[1], {})
                beyond = differences(wanted, found)
                if not self._accept((table, place), beyond, done.look):
                    block = min(beyond)
                    words = f"must add up to {wanted.get(block)}, adds up to {found.get(block)}"
                    sentence = f"before #{mark.cseq + 1} block {block} {words}"
                    complaints.append((table, Complaint("P1", _where(table, place), sentence)))
        return complaints

    def _stray_complaints(
        self, done: Round, end_of: Callable[[str, int], int]
    ) -> list[tuple[str, Complaint]]:
        """Rows that are in no sum: of a partition that there is not, or beyond the log."""
        complaints = []
        for table, told in done.tables.items():
            topic = next(topic for topic, names in SUMMED.items() if table in names)
            for partition, cseq in told.greatest[table].items():
                place, words = (topic, partition), ""
                fold = self._views.folds.get(place)
                if fold is None:
                    words = "rows are of a partition that there is not"
                elif self._is_beyond(table, place, (cseq,), (fold.seen,), fold.read_to, end_of):
                    words = f"a row says #{cseq}, the log ends at #{fold.seen}"
                if words:
                    where = f"{_where(table, place)} beyond the log"
                    complaints.append((table, Complaint("P1", where, words)))
        return complaints

    def _is_beyond(
        self,
        named: str,
        place: Partition,
        found: Reach,
        ours: Reach,
        upto: int,
        end_of: Callable[[str, int], int],
    ) -> bool:
        """Whether the log does not reach so far, of which `ours` has all up to an offset.

        It must have come to where the log ended since that was found. What the table says of its
        position does not matter: rows are written before that.
        """
        if found <= ours:
            self._ahead.pop((named, place), None)
            return False
        ahead = self._ahead.get((named, place))
        if ahead is None or ahead.reach != found:
            ahead = _Ahead(found, monotonic() + SHOWN_WITHIN_S)
            self._ahead[named, place] = ahead
        if ahead.end < 0 and monotonic() >= ahead.due_s:
            ahead.end = end_of(*place)
        return 0 <= ahead.end <= upto + 1

    def _accept(self, key: Key, beyond: Mapping[int, Sum], look: Look) -> bool:
        """Take note of what a table adds up to beyond what it must; whether it may.

        One that is known to be wrong is not read as a whole again, unless it is so in another way.
        """
        if key[0] in look.exact:
            before = look.doubts.get(key)
            if before is not None and not beyond:
                self._surplus[key] = {block: each for block, each in before.items() if each[0] > 0}
            return not beyond
        known = self._surplus.get(key, {})
        if all(each == known.get(block) for block, each in beyond.items()):
            self._known_wrong.pop(key, None)
            return True
        told = _where(*key) in self._told
        if not told or self._known_wrong.get(key, beyond) != beyond:
            self._doubts[key] = beyond
        if told:
            self._known_wrong[key] = beyond
        return False

    def _candle_complaints(
        self, done: Round, end_of: Callable[[str, int], int]
    ) -> list[tuple[str, Complaint]]:
        complaints = []
        for place, fold in self._matching_folds().items():
            markets = {market for market, _ in fold.candles.last}
            trades_of = {market: fold.trades(trades_key(market)) for market in markets}
            stored = self._positions.get(place, 0)
            for series, ours in fold.candles.last.items():
                told = done.candles.get(series)
                known_at = self._known_at.setdefault(series, fold.position.cseq)
                if told is None and stored < known_at:
                    continue
                self._views.checks["P3"] += 1
                where = _where_candles(series)
                words = fold.candles.complaint(series, told, trades_of[series[0]])
                if told and self._is_beyond(
                    where, place, _reach(told.last), _reach(ours), fold.folded_to, end_of
                ):
                    words = (
                        f"the last candle says {tuple(told.last)}, the log ends at {tuple(ours)}"
                    )
                if words:
                    complaints.append((CANDLES, Complaint("P3", where, words)))
        return complaints

    def _stray_candle_complaints(
        self, done: Round, end_of: Callable[[str, int], int]
    ) -> list[tuple[str, Complaint]]:
        """Series of markets in which nothing was traded, by any partition of the log."""
        folds = self._matching_folds()
        complaints = []
        for series, told in done.candles.items():
            where = _where_candles(series)
            ours = {place: fold.candles.last.get(series) for place, fold in folds.items()}
            reach = _reach(told.last)
            if not any(ours.values()) and all(
                self._is_beyond(where, place, reach, (), fold.folded_to, end_of)
                for place, fold in folds.items()
            ):
                words = f"the last candle says {tuple(told.last)}, there was no trade"
                complaints.append((CANDLES, Complaint("P3", where, words)))
        return complaints

    def _matching_folds(self) -> dict[Partition, ViewFold]:
        return {p: fold for p, fold in self._views.folds.items() if p[0] == MATCHING_EVENTS}


def _reach(candle: Candle) -> Reach:
    return candle.open_us, candle.last_trade_id


def _where_candles(series: Series) -> str:
    """How a complaint names a series."""
    return f"clickhouse candles {series[1]} of market {series[0]}"


def _where(table: str, place: Partition) -> str:
    """How a complaint names a table."""
    return f"clickhouse {table} of {place[0]}.{place[1]}"


def _but(named: Mapping[str, str], subjects: Collection[str]) -> dict[str, str]:
    """Those of other subjects."""
    return {where: subject for where, subject in named.items() if subject not in subjects}
