"""Keeps checkpoints of an auditor in files, and begins from the newest that fits the log."""

import json
from collections.abc import Callable
from time import monotonic, sleep
from typing import Any

from infra.log import SHOWN_WITHIN_S, Log, Partition
from infra.logging import get_logger
from infra.refusal import Refusal
from schemas.record import record_hash
from streams.audit.archive import position_name
from streams.auditor import checkpoint, metrics
from streams.auditor.log_auditor import LogAuditor
from streams.shard import UnknownLayout
from streams.snapshots import PendingSnapshot, SnapshotStore, UnsoundState

LOOK_S = 0.05

_logger = get_logger("auditor")


class AnotherLog(Refusal):
    """The log is not the one that the checkpoint was made of; the text is one sentence."""


class Keeping:
    """The checkpoints of one auditor: its own part, and one that is kept beside it."""

    def __init__(self, store: SnapshotStore, log: Log) -> None:
        self._store = store
        self._log = log
        self._pending: PendingSnapshot | None = None
        self._kept_s = monotonic()
        self._unsound = ""

    def restore(self, new: Callable[[], LogAuditor]) -> tuple[LogAuditor, Any]:
        """A new auditor where the newest good checkpoint is, and what was kept beside it.

        None is beside it if there is no checkpoint: then it begins at genesis. Raises `AnotherLog`.
        """
        while self._pending is not None:
            # Its child is waited for, so that nobody is left behind.
            self.tend()
            sleep(LOOK_S)
        for snapshot in self._store.newest_first():
            # One for each try: what fails in the middle leaves an auditor of two moments.
            auditor = new()
            try:
                data = json.loads(snapshot.payload)
                checkpoint.load(auditor, data["log"])
            except (UnknownLayout, ValueError, KeyError, TypeError) as error:
                _logger.warning("checkpoint passed over", offset=snapshot.offset, why=repr(error))
                continue
            self._expect_log(auditor)
            _logger.info("begun at a checkpoint", positions=dict(auditor.positions()))
            return auditor, data["beside"]
        return new(), None

    def begin(self, auditor: LogAuditor, beside: Callable[[], Any]) -> bool:
        """Write a checkpoint beside the work; False while one is written or a shard has halted."""
        if self._pending is not None or any(f.stopped for f in auditor.followed.values()):
            return False

        def dump() -> bytes:
            whole = {"log": checkpoint.dump(auditor), "beside": beside()}
            return json.dumps(whole, separators=(",", ":")).encode()

        try:
            self._pending = self._store.start(sum(auditor.positions().values()), dump)
        except UnsoundState as error:
            self._unsound = str(error)
        except OSError as error:
            _logger.warning("checkpoint failed", why=str(error))
        return True

    def tend(self) -> str:
        """Let a written checkpoint count; returns what is wrong with the books, if anything."""
        metrics.CHECKPOINT_AGE.set(monotonic() - self._kept_s)
        unsound, self._unsound = self._unsound, ""
        if self._pending is None:
            return unsound
        try:
            if self._pending.job.done():
                self._store.publish(self._pending)
                self._pending, self._kept_s = None, monotonic()
        except UnsoundState as error:
            self._pending = None
            return str(error)
        except OSError as error:
            self._pending = None
            _logger.warning("checkpoint failed", why=str(error))
        return ""

    def _holds(self, place: Partition, offset: int, wanted_hash: bytes) -> bool:
        """Whether this record stands there; a new leader may show a moment later that it does."""
        give_up_s = monotonic() + SHOWN_WITHIN_S
        while self._log.ends(*place)[1] <= offset:
            if monotonic() >= give_up_s:
                return False
            sleep(LOOK_S)
        (stored,) = self._log.scan(*place, offset, offset + 1)
        return record_hash(stored.value or b"") == wanted_hash

    def _expect_log(self, auditor: LogAuditor) -> None:
        """A log that lost its tail, or another one, does not go on from a checkpoint."""
        for followed in auditor.followed.values():
            before = followed.position - 1
            if before < 0:
                continue
            if not self._holds(followed.place, before, followed.last_hash):
                raise AnotherLog(
                    f"{position_name(followed.place, before)} must be the record that the auditor "
                    "has read there, is not: restore the log, or remove <data>/auditor first"
                )
