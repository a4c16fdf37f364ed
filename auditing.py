"""`logbourse auditor`: follows the log and the views live, and stops or repairs what is wrong."""

import argparse
import signal
import threading
from collections.abc import Callable
from random import Random
from time import monotonic

from infra.clock import SystemClock
from infra.collector import leave_to_reference_counts
from infra.files import Directory
from infra.kafka import KafkaLog
from infra.keys import open_admin_token
from infra.logging import configure_logging, get_logger
from infra.metrics import serve_metrics
from infra.settings import Settings, load_settings
from native.selection import build_in_use
from projections.history_client import HistoryClient
from projections.view_auditor import Complaint, ViewAuditor, as_plain, from_plain
from projections.view_watch import ViewWatch
from streams.auditor import metrics
from streams.auditor.alarms import Alarms
from streams.auditor.keeping import Keeping
from streams.auditor.log_auditor import LogAuditor, Resolutions
from streams.auditor.snapshot_watch import SnapshotWatch
from streams.auditor.transit import TransitWatch
from streams.auditor.violations import Violation
from streams.snapshots import Fork, SnapshotStore

READ_RECORDS = 250
"""A turn takes as long as all that was read in it; what is false in a view waits for turns."""

READ_S = 0.1
GATHER_MS = 60
"""How long brokers let records gather before a read: one answer costs as much as many."""

MARKS_S, TRANSIT_S, CUT_S, BOOKS_S, SNAPSHOTS_S, TELL_S = 0.25, 0.25, 1.0, 30.0, 5.0, 2.0

_logger = get_logger("auditor")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse auditor`."""
    parser.add_argument(
        "--queries-at", default="", help="URL of the query API, for sums of history"
    )
    parser.add_argument("--no-halts", action="store_true", help="say what is wrong, stop nothing")
    parser.add_argument("--no-repairs", action="store_true", help="leave views as they are")
    parser.add_argument(
        "--checkpoint-seconds", type=float, default=60.0, help="how often what it knows is kept"
    )


def run(arguments: argparse.Namespace) -> int:
    """Audit until SIGTERM; returns 0 then. Raises `Refusal` or `LogFailure` if it cannot go on."""
    settings = load_settings()
    configure_logging(settings.log_level)
    serve_metrics(settings)
    metrics.begin()
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    auditor = Auditor(
        settings,
        arguments.queries_at or f"http://{settings.host}:{settings.query_port}",
        halts=not arguments.no_halts,
        repairs=not arguments.no_repairs,
        checkpoint_s=arguments.checkpoint_seconds,
    )
    leave_to_reference_counts()
    _logger.info("auditor started", build=build_in_use())
    try:
        while not stopped.is_set():
            auditor.turn()
    finally:
        auditor.close()
    return 0


class Auditor:
    """The auditor of the log and the watch over the views on one reader, turn by turn."""

    def __init__(
        self,
        settings: Settings,
        queries_at: str,
        *,
        halts: bool,
        repairs: bool,
        checkpoint_s: float,
    ) -> None:
        self._settings = settings
        self._repairs = repairs
        self._history = HistoryClient(queries_at, open_admin_token(settings.admin_token_file))
        self._log = KafkaLog(settings, outside=True, gather_ms=GATHER_MS)
        self._clock = SystemClock()
        self._alarms = Alarms(self._log, self._clock, halts=halts)
        store = SnapshotStore(Directory(settings.data_dir / "auditor"), Fork())
        self._keeping = Keeping(store, self._log)
        self._resolutions: Resolutions = {}
        self._cut_s = monotonic()
        self._caught_up = False
        self._keep_soon = False
        self._every: dict[Callable[[], object], float] = {
            self._look_at_marks: MARKS_S,
            self._check_transit: TRANSIT_S,
            self._check_cut: CUT_S,
            self._check_books: BOOKS_S,
            self._check_snapshots: SNAPSHOTS_S,
            self._tell: TELL_S,
            self._keep: checkpoint_s,
        }
        self._due = {task: monotonic() + every_s for task, every_s in self._every.items()}
        self._begin()

    def turn(self) -> None:
        """Read what there is, apply it, and do what is due by the clock."""
        records = self._log.read(READ_RECORDS, READ_S)
        for record in records:
            self._auditor.take(record)
            self._views.take(record)
        self._views.bound()
        metrics.RECORDS.inc(len(records))
        self._auditor.work()
        for task, due_s in self._due.items():
            if monotonic() >= due_s:
                task()
                self._due[task] = monotonic() + self._every[task]
        if self._caught_up:
            self._watch.tend(lambda *place: self._log.ends(*place)[1])
        if unsound := self._keeping.tend():
            self._alarms.take(Violation("L1", "checkpoint", unsound, shard="L0"))
        if self._alarms.act(self._auditor):
            self._keep_soon = True
        if self._keep_soon:
            # What was found shall not be found again by whoever begins from there.
            self._keep()
        if self._auditor.outdated:
            self._watch.close()
            self._begin()

    def close(self) -> None:
        """Give the connections back; what was read since the last checkpoint is read again."""
        self._watch.close()
        self._log.close()

    def _begin(self) -> None:
        """From the newest checkpoint, else from genesis."""
        settings = self._settings
        partitions = (settings.ledger_partitions, settings.matching_partitions)
        self._views = ViewAuditor(*partitions, self._complain, Random(), repairs=self._repairs)
        self._auditor, beside = self._keeping.restore(
            lambda: LogAuditor(self._log, *partitions, self._resolutions, self._alarms.take)
        )
        self._transit = TransitWatch(self._log, self._auditor, self._clock)
        self._snapshots = SnapshotWatch(self._log, self._auditor, self._store_of, Fork())
        if beside is not None:
            from_plain(self._views, beside)
        for place, fold in self._views.folds.items():
            self._auditor.read_again(place, fold.position.offset + 1)
        self._watch = ViewWatch(
            settings,
            self._history,
            self._views,
            self._complain,
            lambda view: metrics.REPAIRS.labels(view).inc(),
            repairs=self._repairs,
        )
        self._caught_up = False
        self._ends = {place: self._log.ends(*place)[1] for place in self._auditor.next_offsets}
        self._auditor.start()

    def _complain(self, complaint: Complaint) -> None:
        self._alarms.take(Violation(complaint.invariant, complaint.where, complaint.words))

    def _look_at_marks(self) -> None:
        self._auditor.look_at_marks()
        if not self._caught_up:
            read = self._auditor.next_offsets
            self._caught_up = all(read[place] >= end for place, end in self._ends.items())
            if self._caught_up:
                _logger.info("caught up", positions=dict(self._auditor.positions()))

    def _check_transit(self) -> None:
        for violation in self._transit.look():
            self._alarms.take(violation)

    def _check_cut(self) -> None:
        if self._auditor.check_cut():
            self._cut_s = monotonic()
        metrics.CUT_AGE.set(monotonic() - self._cut_s)

    def _check_books(self) -> None:
        self._auditor.check_books()

    def _check_snapshots(self) -> None:
        violation = self._snapshots.look() if self._caught_up else None
        if violation is not None:
            self._alarms.take(violation)

    def _store_of(self, shard: str) -> SnapshotStore:
        return SnapshotStore(Directory(self._settings.snapshots_dir / shard), Fork())

    def _keep(self) -> None:
        if self._alarms.pending:
            # Whoever begins from there would not know that something is still to be stopped.
            return
        if self._keeping.begin(self._auditor, lambda: as_plain(self._views)):
            self._keep_soon = False

    def _tell(self) -> None:
        auditor = self._auditor
        checked, _ = auditor.checked()
        checked |= dict.fromkeys(("S1", "S2", "S3"), auditor.compared())
        checked["S4"] = self._snapshots.checked
        checked.update(self._views.checks)
        metrics.tell_checks(checked)
        # Not asked for: a dozen questions to busy brokers, one after the other, hold it up.
        ends = {place: self._log.end_seen(*place) for place in auditor.next_offsets}
        metrics.tell_lag(ends, auditor.next_offsets)
        stopped = any(followed.stopped for followed in auditor.followed.values())
        live = metrics.LIVE if self._caught_up else metrics.CATCHING_UP
        metrics.STATE.set(metrics.STOPPED if stopped else live)
        metrics.IN_TRANSIT_AGE.set(self._transit.age_us() / 1e6)
        metrics.DUE.set(sum(len(crossing.due) for crossing in auditor.crossings.values()))
        metrics.BACKLOG.set(self._views.backlog)
        metrics.MENDED.set(self._views.mended)
        metrics.ROUND.set(self._watch.round_s)
