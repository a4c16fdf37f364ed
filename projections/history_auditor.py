"""Rounds over the tables of history: what they add up to, beside what the fold's rows add up to.

A round asks for sums of tables that are kept by the part, so that little of what was added up is
read again, apart from candles. Rows that were stored twice after a crash count twice there until
the engine has merged them. So a table that differs is read as a whole before anything is said, and
how much too much its parts add up to is known from then on.
"""

from collections import deque
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from time import monotonic
from typing import NamedTuple

from projections.candle_sums import Series, Told
from projections.history_client import HistoryClient, TableTold
from projections.history_sums import Sum, differences
from projections.layout import MATCHING_EVENTS, trades_key
from projections.view_auditor import Complaint, Place, ViewAuditor
from projections.view_fold import SUMMED, SumMark

PAUSE_S = 0.5
PAUSE_PER_ROUND = 5
"""So many times as long as a round takes where nobody is in its way: a sixth of a processor."""

ROUNDS_REMEMBERED = 20

Key = tuple[str, Place]
"""A table, and the outbox that its rows are of."""


class Round(NamedTuple):
    """What the tables were asked for, and what came back."""

    marks: Mapping[Key, SumMark]
    doubts: Mapping[Key, Mapping[int, Sum]]
    """What parts had added up to beyond what they must."""
    exact: Collection[str]
    """The tables that were read as a whole for that."""
    tables: Mapping[str, TableTold]
    candles: Mapping[Series, Told]
    seconds: float


class HistoryAuditor:
    """Asks in a thread of its own, judges in its caller's. What differs twice is a complaint."""

    def __init__(self, client: HistoryClient, views: ViewAuditor) -> None:
        self._client = client
        self._views = views
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="history-audit")
        self._running: Future[Round] | None = None
        self._next_s = 0.0
        self._positions: dict[Key, int] = {}
        self._known_at: dict[Series, int] = {}
        """Where the fold stood when it was first judged to have a series."""
        self._suspected: set[str] = set()
        self._told: set[str] = set()
        self._doubts: dict[Key, Mapping[int, Sum]] = {}
        """What parts add up to beyond what they must, of tables to be read as a whole."""
        self._surplus: dict[Key, Mapping[int, Sum]] = {}
        """The same of tables that were right: of rows that were stored twice."""
        self._known_wrong: dict[Key, Mapping[int, Sum]] = {}
        """The same of tables that are being built anew."""
        self._rounds_s: deque[float] = deque(maxlen=ROUNDS_REMEMBERED)
        self.round_s = 0.0
        """How long the last round took."""

    def tend(self, report: Callable[[Complaint], None]) -> None:
        """Begin a round if one is due, judge one that has ended. Raises `OSError`."""
        if self._running is not None:
            if self._running.done():
                finished, self._running = self._running, None
                self._next_s = monotonic() + PAUSE_S
                self._judge(finished.result(), report)
        elif monotonic() >= self._next_s:
            # Were they kept until they are judged, one that is never answered would be for ever.
            doubts, self._doubts = self._doubts, {}
            self._running = self._thread.submit(self._ask, self._choose_marks(), doubts)

    def close(self) -> None:
        """Ask no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _choose_marks(self) -> dict[Key, SumMark]:
        marks = {}
        for place, fold in self._views.folds.items():
            for table in SUMMED[place[0]]:
                mark = fold.mark_before(self._positions.get((table, place), 0))
                if mark is not None and mark.cseq:
                    marks[table, place] = mark
        return marks

    def _ask(self, marks: Mapping[Key, SumMark], doubts: Mapping[Key, Mapping[int, Sum]]) -> Round:
        exact = {table for table, _ in doubts}
        started_s = monotonic()
        tables = {}
        for topic, names in SUMMED.items():
            partitions = [p for t, p in self._views.folds if t == topic]
            for name in names:
                wanted = {p: marks.get((name, (topic, p))) for p in partitions}
                upto = {p: mark.cseq if mark else 0 for p, mark in wanted.items()}
                tables[name] = self._client.table(name, upto, exact=name in exact)
        candles = self._client.candles()
        return Round(marks, doubts, exact, tables, candles, monotonic() - started_s)

    def _judge(self, done: Round, report: Callable[[Complaint], None]) -> None:
        self.round_s = done.seconds
        if not done.exact:
            self._rounds_s.append(done.seconds)
        complaints = [*self._table_complaints(done), *self._candle_complaints(done)]
        for topic, names in SUMMED.items():
            for name in names:
                for partition, cseq in done.tables[name].positions.items():
                    self._positions[name, (topic, partition)] = cseq
        differing = {complaint.where for complaint in complaints}
        doubted = {_where(*key) for key in self._doubts}
        for complaint in complaints:
            if complaint.where in self._suspected - self._told - doubted:
                self._told.add(complaint.where)
                report(complaint)
        # A build that was switched between two questions differs once.
        again = differing - self._told
        self._suspected, self._told = differing, self._told & differing
        pause_s = max(PAUSE_S, PAUSE_PER_ROUND * min(self._rounds_s, default=0.0))
        self._next_s = monotonic() + (0 if again else pause_s)

    def _table_complaints(self, done: Round) -> list[Complaint]:
        """What is wrong with tables, or may be: then they are doubted."""
        complaints = []
        for (table, place), mark in done.marks.items():
            told = done.tables[table]
            if told.positions.get(place[1], 0) < mark.cseq:
                continue
            self._views.checks["P1"] += 1
            wanted = self._views.folds[place].sums_at(table, mark)
            found = told.sums.get(place[1], {})
            beyond = differences(wanted, found)
            if not self._accept((table, place), beyond, done):
                block = min(beyond)
                words = f"must add up to {wanted.get(block)}, adds up to {found.get(block)}"
                sentence = f"before #{mark.cseq + 1} block {block} {words}"
                complaints.append(Complaint("P1", _where(table, place), sentence))
        return complaints

    def _accept(self, key: Key, beyond: Mapping[int, Sum], done: Round) -> bool:
        """Take note of what a table adds up to beyond what it must; whether it may.

        One that is known to be wrong is not read as a whole again, unless it is so in another way.
        """
        if key[0] in done.exact:
            before = done.doubts.get(key)
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

    def _candle_complaints(self, done: Round) -> list[Complaint]:
        complaints = []
        for place, fold in self._views.folds.items():
            if place[0] != MATCHING_EVENTS:
                continue
            markets = {market for market, _ in fold.candles.last}
            trades_of = {market: fold.trades(trades_key(market)) for market in markets}
            stored = min(done.tables[t].positions.get(place[1], 0) for t in SUMMED[place[0]])
            for series in fold.candles.last:
                told = done.candles.get(series)
                known_at = self._known_at.setdefault(series, fold.position.cseq)
                if told is None and stored < known_at:
                    continue
                self._views.checks["P3"] += 1
                words = fold.candles.complaint(series, told, trades_of[series[0]])
                if words:
                    where = f"clickhouse candles {series[1]} of market {series[0]}"
                    complaints.append(Complaint("P3", where, words))
        return complaints


def _where(table: str, place: Place) -> str:
    """How a complaint names a table."""
    return f"clickhouse {table} of {place[0]}.{place[1]}"
