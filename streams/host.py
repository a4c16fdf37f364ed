"""The one host that runs any decider on the log: recovery, output, marks, snapshots and halts."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from domain.decider import Decider
from domain.protocol import HaltAction, Tick
from infra.buggify import buggify
from infra.clock import Clock
from infra.collector import search_once
from infra.log import Log, LogFailure, LogRecord
from schemas.record import (
    decode_record,
    encode_message,
    outside_record,
    record_hash,
)
from schemas.topics import QUARANTINE_TOPIC, inbox
from streams.attestation import Attestation, is_told
from streams.halts import Halt, HaltReason, ShardHalted, resolution_in
from streams.marks import Done, OutputTracker
from streams.progress import Progress
from streams.quarantine import Notice, encode_notice
from streams.shard import OUTSIDE_SOURCES, Shard, Step, UnknownLayout
from streams.snapshots import PendingSnapshot, Snapshot, SnapshotStore, UnsoundState

TICK_INTERVAL_S: Final = 1.0


@dataclass(slots=True, frozen=True)
class HostPolicy:
    """How often a host commits marks and takes snapshots."""

    commit_interval_s: float = 1.0
    snapshot_interval_s: float = 300.0
    snapshot_records: int = 50_000


@dataclass(slots=True)
class HostCounts:
    """What a host has done since it started, for metrics and tests."""

    records: int = 0
    commands: int = 0
    duplicates: int = 0
    quarantined: int = 0
    snapshots: int = 0
    snapshot_failures: int = 0


class Host:
    """Runs one shard: feeds it its input, appends its outputs, and keeps the rules of recovery.

    Mark rule: no input offset is committed beyond the first cause with an unacknowledged output.
    Snapshot rule: a snapshot at offset o counts only once all outputs with cause < o are acked.
    """

    def __init__(
        self,
        shard_id: str,
        decider: Decider[Any],
        log: Log,
        clock: Clock,
        snapshots: SnapshotStore,
        policy: HostPolicy,
        report: Callable[[str, str], None],
    ) -> None:
        """`report(event, detail)` is told what an operator should know: faults, quarantines."""
        self.id = shard_id
        self.counts = HostCounts()
        self.topic, self.partition = inbox(shard_id)
        self.position = 0
        self._decider = decider
        self._log = log
        self._clock = clock
        self._snapshots = snapshots
        self._policy = policy
        self._report = report
        self._resolutions: dict[int, HaltAction] = {}
        self._attestation: Attestation | None = None
        self._pending_snapshot: PendingSnapshot | None = None
        self._rewound = False
        self._last_value: bytes | None = None
        self._start_of_snapshot_interval()
        self._progress = Progress(clock.monotonic_s())
        self._next_commit_s = 0.0
        self._next_tick_s = 0.0

    def start(self, *, compared: bool = False) -> None:
        """Recover: newest good snapshot, else genesis; then read on, silent up to the mark.

        What the outbox says of inputs beyond the mark must be true of those that are read; not
        where the whole outbox is `compared`. Raises `ShardHalted` (ACKED_LOSS) if the log has lost
        what this shard knows.
        """
        mark = self._log.committed(self.topic, self.partition)
        self._committed = Done.of_mark(mark) if mark else Done(0, 0, bytes(16))
        self._restore()
        self._emit_from = max(self._committed.offset, self.position)
        self._tracker = OutputTracker(self._reached())
        self._attestation = None if compared else self._attested()
        # Asked last: where another leader goes on, the outbox tells of inputs beyond an older end.
        _, self._caught_up_at = self._log.ends(self.topic, self.partition)

    def take(self, record: LogRecord) -> None:
        """Apply one input record. Raises `ShardHalted` where the protocol says so."""
        if record.offset < self.position or (self._rewound and record.offset > self.position):
            return
        if self._rewound:
            self._rewound = False
            # Not before now: the halt that led here held on to the old shard.
            search_once()
        try:
            if record.offset > self.position:
                raise Halt(
                    HaltReason.ACKED_LOSS, f"offset {self.position} wanted, was {record.offset}"
                )
            self._check_mark()
            step = self.shard.step(record.offset, record.value)
            if self._attestation is not None:
                self._meet(self._attestation, step)
        except Halt as halt:
            self._halt(halt, record)
            return
        self.position = record.offset + 1
        self._last_value = record.value
        self._count(step)
        if record.offset >= self._emit_from:
            self._emit(record, step)

    def tend(self) -> None:
        """Whatever is due by the clock: marks, snapshots, a `Tick` to the shard's own input.

        Raises `ShardHalted` if the state is found unsound as a snapshot is made.
        """
        done = self._tracker.advance()
        now_s = self._clock.monotonic_s()
        self._progress.look(self.position, done.offset, self._tracker.waits, now_s)
        if now_s >= self._next_commit_s or buggify("mark now"):
            self._next_commit_s = now_s + self._policy.commit_interval_s
            self._commit(done)
        try:
            self._tend_snapshot(done, now_s)
        except UnsoundState as error:
            self._halt_for_good(Halt(HaltReason.FAULT, str(error)))
        if now_s >= self._next_tick_s and self.caught_up():
            self._expect_all_met()
            self._next_tick_s = now_s + TICK_INTERVAL_S
            if self.shard.ordinal:
                self._tick()
            else:
                # Genesis must be record 0: an inbox that began with a Tick could get none. Until
                # then there is nothing to hear, and nobody who stands by could do more.
                self._progress = Progress(now_s)

    def standstill_s(self) -> float:
        """For how long it has heard nothing, or one output has not been replicated; in seconds."""
        return self._progress.standstill_s(self._clock.monotonic_s())

    def caught_up(self) -> bool:
        """Whether everything that stood in the input at the start has been applied."""
        return self.position >= self._caught_up_at

    def expect_sound(self) -> None:
        """The full check of the state, as before a snapshot, at once. Raises `ShardHalted`."""
        try:
            self._decider.dump(self.shard.state)
        except AssertionError as error:
            self._halt_for_good(Halt(HaltReason.FAULT, str(error)))

    def finish(self) -> None:
        """Commit what is done; the caller has flushed the log."""
        self._commit(self._tracker.advance())

    def _tick(self) -> None:
        """Append this clock's time to the own inbox."""
        now_us = self._clock.now_us()
        tick = outside_record("clock", now_us, [encode_message(Tick())])
        self._log.produce(self.topic, self.partition, tick, time_us=now_us)

    def _attested(self) -> Attestation:
        known = max(self._committed.ordinal, self.shard.ordinal)
        attestation = Attestation(self._log, self.id, known)
        try:
            attestation.expect_told(mark=self._committed.ordinal, snapshot=self.shard.ordinal)
        except Halt as halt:
            self._halt_for_good(halt)
        return attestation

    def _meet(self, attestation: Attestation, step: Step) -> None:
        if step.accepted:
            attestation.meet(self.shard.ordinal, self.shard.input_hash)
            if attestation.finished:
                self._attestation = None

    def _expect_all_met(self) -> None:
        """Nothing is appended before the inbox was found to have all that was once read of it."""
        if self._attestation is None:
            return
        try:
            self._attestation.expect_met(self.shard.ordinal)
        except Halt as halt:
            self._halt_for_good(halt)
        self._attestation = None

    def _restore(self) -> None:
        low, _ = self._log.ends(self.topic, self.partition)
        self.shard = Shard(self.id, self._decider)
        self.position = 0
        for snapshot in self._snapshots.newest_first():
            self._expect_log(snapshot.offset, "the newest snapshot")
            if self._load(snapshot):
                break
        self._expect_log(self._committed.offset, "the committed mark")
        if low > self.position:
            self._halt_for_good(
                Halt(HaltReason.ACKED_LOSS, f"offset {self.position} wanted, log starts at {low}")
            )
        self.shard.resolutions = self._resolutions
        self._log.seek(self.topic, self.partition, self.position)

    def _load(self, snapshot: Snapshot) -> bool:
        """Whether the snapshot is this shard's, in the layout that this build knows."""
        try:
            shard = Shard.load(snapshot.payload, self._decider)
        except UnknownLayout as error:
            self._report("snapshot passed over", f"at {snapshot.offset}: {error}")
            return False
        if shard.id != self.id:
            self._report("snapshot passed over", f"at {snapshot.offset}: it is of {shard.id}")
            return False
        self._expect_last(snapshot)
        try:
            shard.expect_known_rules()
        except Halt as halt:
            # No older snapshot helps: the way from there leads to the same rules.
            self._halt_for_good(halt)
        self.shard = shard
        self.position = snapshot.offset
        return True

    def _expect_last(self, snapshot: Snapshot) -> None:
        """A log that lost its tail may have grown beyond the snapshot again, with other records."""
        before = snapshot.offset - 1
        for record in self._log.scan(self.topic, self.partition, before, snapshot.offset):
            if snapshot.last and record_hash(record.value or b"") != snapshot.last:
                words = f"the snapshot at {snapshot.offset} has seen another record at {before}"
                self._halt_for_good(Halt(HaltReason.ACKED_LOSS, words))

    def _expect_log(self, offset: int, what: str) -> None:
        """The end is asked for after `offset` was read: another leader may go on in between."""
        _, end = self._log.ends(self.topic, self.partition)
        if offset > end:
            self._halt_for_good(
                Halt(HaltReason.ACKED_LOSS, f"{what} is at {offset}, the log ends at {end}")
            )

    def _check_mark(self) -> None:
        committed = self._committed
        if self.position != committed.offset or committed.offset == 0:
            return
        reached = self._reached()
        if reached != committed:
            raise Halt(
                HaltReason.INPUT_CHANGED,
                f"input {committed.ordinal} {committed.input_hash.hex()} was committed at "
                f"{committed.offset}, found {reached.ordinal} {reached.input_hash.hex()}",
            )

    def _emit(self, record: LogRecord, step: Step) -> None:
        pending = self._tracker.track(self._reached(), len(step.outputs) + len(step.quarantined))
        for output in step.outputs:
            self._log.produce(output.topic, output.partition, output.value, acked=pending.acked)
        for quarantined in step.quarantined:
            notice = self._notice(record, quarantined.index, quarantined.why)
            self._log.produce(QUARANTINE_TOPIC, 0, notice, acked=pending.acked)
            self._report("quarantined", notice.decode())
        for fault in step.faults:
            self._report("command faulted", fault)

    def _notice(self, record: LogRecord, index: int, why: str) -> bytes:
        name = record_hash(record.value or b"").hex()
        return encode_notice(Notice(self.topic, self.partition, record.offset, index, why, name))

    def _count(self, step: Step) -> None:
        self.counts.records += 1
        self.counts.commands += step.commands
        self.counts.quarantined += len(step.quarantined)
        self.counts.duplicates += step.duplicate

    def _commit(self, done: Done) -> None:
        if done.offset > self._committed.offset:
            self._log.commit(self.topic, self.partition, done.mark())
            self._committed = done

    def _tend_snapshot(self, done: Done, now_s: float) -> None:
        pending = self._pending_snapshot
        if pending is not None:
            try:
                if pending.job.done() and done.offset >= pending.offset:
                    self._snapshots.publish(pending)
                    self.counts.snapshots += 1
                    self._pending_snapshot = None
            except OSError as error:
                self.counts.snapshot_failures += 1
                self._pending_snapshot = None
                self._report("snapshot failed", str(error))
        elif self._snapshot_due(now_s):
            self._start_of_snapshot_interval()
            try:
                self._pending_snapshot = self._snapshots.start(
                    self.position, self.shard.dump, record_hash(self._last_value or b"")
                )
            except OSError as error:
                self.counts.snapshot_failures += 1
                self._report("snapshot failed", str(error))

    def _snapshot_due(self, now_s: float) -> bool:
        records = self.counts.records - self._records_at_snapshot
        return records > 0 and (
            records >= self._policy.snapshot_records
            or now_s >= self._next_snapshot_s
            or buggify("snapshot now")
        )

    def _start_of_snapshot_interval(self) -> None:
        self._records_at_snapshot = self.counts.records
        self._next_snapshot_s = self._clock.monotonic_s() + self._policy.snapshot_interval_s

    def _halt(self, halt: Halt, record: LogRecord) -> None:
        """Go on past the halted record if an operator has resolved it, else raise."""
        name = record_hash(record.value or b"")
        if halt.reason in (HaltReason.ACKED_LOSS, HaltReason.INPUT_CHANGED):
            raise ShardHalted(self.id, halt, record.offset, name, resolvable=False) from halt
        action = self._find_resolution(record.offset, name)
        if action is None or record.offset in self._resolutions:
            src = self._untold_source(halt, record)
            if src:
                words = (
                    f"no word may pass it while {src} does not tell of it: its channel would go on"
                )
                halt = Halt(halt.reason, f"{halt.detail}; {words} from record {name.hex()}")
            # Behind a first record that is passed comes another one, which is no Genesis either.
            helps = not src and halt.reason is not HaltReason.NO_GENESIS
            raise ShardHalted(self.id, halt, record.offset, name, resolvable=helps) from halt
        self._report("halt resolved", f"{halt} at {record.offset}: {action.name}")
        self._resolutions[record.offset] = action
        self._emit_from = max(self._emit_from, record.offset)
        self._pending_snapshot = None
        self._restore()
        # A snapshot names the record before it, which is none that was taken since.
        self._start_of_snapshot_interval()
        self._rewound = True

    def _untold_source(self, halt: Halt, record: LogRecord) -> str:
        """The source of a record that fits into its channel and that nobody else tells of, else "".

        An operator's word on it would be honored: it is passed as a part of its channel. If it was
        forged, no genuine record fits any more.
        """
        if halt.reason not in (HaltReason.FAULT, HaltReason.FOREIGN_MESSAGE):
            return ""
        src = decode_record(record.value).src
        try:
            told = src in OUTSIDE_SOURCES or is_told(self._log, record.value)
        except LogFailure:
            # A halt must be said whoever does not answer now; the next start asks again.
            told = False
        return "" if told else src

    def _find_resolution(self, offset: int, name: bytes) -> HaltAction | None:
        _, end = self._log.ends(self.topic, self.partition)
        later = self._log.scan(self.topic, self.partition, offset + 1, end)
        return resolution_in(later, name)

    def _halt_for_good(self, halt: Halt) -> None:
        raise ShardHalted(self.id, halt, self.position, b"", resolvable=False)

    def _reached(self) -> Done:
        """The position before the next input, and what the input was up to there."""
        return Done(self.position, self.shard.ordinal, self.shard.input_hash)
