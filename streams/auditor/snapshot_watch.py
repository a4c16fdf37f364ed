"""Looks whether a snapshot and the log behind it lead to the auditor's own state (S4)."""

from collections.abc import Callable
from itertools import cycle

from infra.log import Log, LogRecord
from infra.logging import get_logger
from streams.audit.archive import position_name
from streams.audit.kept_snapshots import loaded
from streams.auditor.followed import Followed
from streams.auditor.log_auditor import LogAuditor
from streams.auditor.violations import Violation
from streams.halts import Halt
from streams.snapshots import Background, Job, Snapshot, SnapshotStore, UnsoundState

RECORDS_AT_MOST = 5_000
"""A snapshot that is further behind is left until there is a newer one."""

_logger = get_logger("auditor")


class SnapshotWatch:
    """Checks the newest snapshot of one shard a time, each once, beside the work."""

    def __init__(
        self,
        log: Log,
        auditor: LogAuditor,
        store_of: Callable[[str], SnapshotStore],
        background: Background,
    ) -> None:
        self.checked = 0
        self._log = log
        self._followed = auditor.followed
        self._store_of = store_of
        self._background = background
        self._in_turn = cycle(auditor.followed)
        self._checked: dict[str, int] = {}
        self._running: tuple[str, str, Job] | None = None

    def look(self) -> Violation | None:
        """Begin a check if there is something to check; what the last one has found."""
        if self._running is not None:
            return self._result(*self._running)
        followed = self._followed[next(self._in_turn)]
        snapshot = next(self._store_of(followed.id).newest_first(), None)
        if snapshot is None or followed.stopped is not None:
            return None
        behind = followed.position - snapshot.offset
        if snapshot.offset == self._checked.get(followed.id) or not 0 <= behind <= RECORDS_AT_MOST:
            return None
        self._checked[followed.id] = snapshot.offset
        span = (snapshot.offset, followed.position)
        self._begin(followed, snapshot, list(self._log.scan(*followed.place, *span)))
        return None

    def _begin(self, followed: Followed, snapshot: Snapshot, records: list[LogRecord]) -> None:
        shard = loaded(followed.id, snapshot.payload)
        if shard is None:
            return

        def compare() -> None:
            wanted = followed.shard.dump()
            shard.resolutions = followed.shard.resolutions
            try:
                for record in records:
                    shard.step(record.offset, record.value)
                found = shard.dump()
            except (Halt, AssertionError) as error:
                # The auditor's own state passed these records, and its books are sound.
                raise UnsoundState(str(error)) from error
            if found != wanted:
                raise UnsoundState("another state")

        where = f"{followed.id}'s snapshot {position_name(followed.place, snapshot.offset)}"
        try:
            self._running = (followed.id, where, self._background.start(compare))
        except UnsoundState:
            self._running = (followed.id, where, _Differed())
        except OSError as error:
            self._try_again(followed.id, where, error)

    def _result(self, shard: str, where: str, job: Job) -> Violation | None:
        try:
            if not job.done():
                return None
        except UnsoundState:
            self._running = None
            self.checked += 1
            words = "with the log behind it does not lead to the state of the log alone"
            return Violation("S4", where, f"{words}: remove that file")
        except OSError as error:
            self._try_again(shard, where, error)
            return None
        self._running = None
        self.checked += 1
        return None

    def _try_again(self, shard: str, where: str, error: OSError) -> None:
        """A check that did not end says nothing of the snapshot: it has its turn again."""
        self._running = None
        self._checked.pop(shard, None)
        _logger.warning("snapshot not checked", which=where, why=str(error))


class _Differed:
    def done(self) -> bool:
        raise UnsoundState("another state")
