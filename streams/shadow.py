"""A shadow: computes what its shard's leader computes, compares, and takes over from it."""

from collections.abc import Callable
from typing import Any

from domain.decider import Decider
from infra.clock import Clock
from infra.log import LogFailure, LogRecord, Partition, PausableLog
from schemas.topics import outbox
from streams.attestation import Attestation, look_back
from streams.channels import GENESIS_CHAIN, Channel
from streams.comparison import Comparison, Divergence, Foreign
from streams.halts import Halt, HaltReason, ShardHalted
from streams.held_log import HeldLog
from streams.host import Host, HostCounts, HostPolicy
from streams.marks import Done
from streams.snapshots import SnapshotStore

MARK_S = 1.0
HELD_BYTES = 64 * 1024 * 1024
FOREIGN_RECORD = "foreign record in the outbox"


class Shadow:
    """A host of a shard that somebody else may lead.

    It writes nothing until it is promoted. Whatever it computes is compared with the shard's
    outbox; what the leader's mark has not passed is held. At the first difference it halts.
    """

    def __init__(
        self,
        shard_id: str,
        decider: Decider[Any],
        log: PausableLog,
        clock: Clock,
        snapshots: SnapshotStore,
        policy: HostPolicy,
        report: Callable[[str, str], None],
        *,
        held_bytes: int = HELD_BYTES,
    ) -> None:
        """It stops reading ahead while more than `held_bytes` are held."""
        self._log = log
        self._held = HeldLog(log, shard_id)
        self._host = Host(shard_id, decider, self._held, clock, snapshots, policy, report)
        self.id = shard_id
        self.topic, self.partition = self._host.topic, self._host.partition
        self.outbox = outbox(shard_id)
        self.promotions = 0
        self.in_touch = False
        """Whether the brokers answered when they were asked last: else it could not take over."""
        self._clock = clock
        self._report = report
        self._limit = held_bytes
        self._reads_inbox = True
        self._reads_outbox = True
        self._outbox_next = 0
        self._next_mark_s = 0.0
        self._promoted_s = 0.0

    @property
    def leading(self) -> bool:
        """Whether it has been promoted."""
        return self._held.leading

    @property
    def position(self) -> int:
        """The offset of the next input."""
        return self._host.position

    @property
    def host(self) -> Host:
        """The host behind it, whose outputs are held."""
        return self._host

    @property
    def counts(self) -> HostCounts:
        """What the host has done since it started."""
        return self._host.counts

    @property
    def mark_taken(self) -> int:
        """The leader's mark as it was read last: what lies before it is not written again."""
        return self._held.mark.offset

    @property
    def compared(self) -> int:
        """How many records of the outbox were compared."""
        return self._comparison.compared

    @property
    def held_inputs(self) -> int:
        """How many inputs the leader's mark has not passed yet."""
        return self._held.held_inputs

    def start(self) -> None:
        """Recover as a leader does, and follow the outbox from there. Raises `ShardHalted`."""
        self._host.start(compared=True)
        self._held.begin(self.position)
        known = self._host.shard.outgoing.get(self.id, Channel(0, GENESIS_CHAIN))
        topic, partition = self.outbox
        self._comparison = Comparison(self.id, f"{topic}.{partition}", known)
        self._held.comparison = self._comparison
        # There and behind stand all records that come after the known ones.
        self._outbox_next, _ = look_back(self._log, self.id, lambda r: r.cseq <= known.cseq)
        self._log.seek(*self.outbox, self._outbox_next)
        self._take_mark()
        self._expect_told()
        self.in_touch = True

    def take(self, record: LogRecord) -> None:
        """Apply an input record, or compare one of the outbox. Raises `ShardHalted`."""
        if record.topic == self.topic:
            if self._reads_inbox:
                self._apply(record)
        elif self._reads_outbox and record.offset == self._outbox_next:
            self._compare(record)

    def tend(self) -> None:
        """Whatever is due by the clock. Raises `ShardHalted`."""
        now_s = self._clock.monotonic_s()
        if not self.leading and now_s >= self._next_mark_s:
            self._next_mark_s = now_s + MARK_S
            self._look_for_mark()
        self._host.tend()
        self._pace()

    def standstill_s(self) -> float:
        """For how long it has got nowhere as a leader, in seconds; 0 while it stands by."""
        if not self.leading:
            return 0.0
        return min(self._host.standstill_s(), self._clock.monotonic_s() - self._promoted_s)

    def caught_up(self) -> bool:
        """Whether everything that stood in the input at the start has been applied."""
        return self._host.caught_up()

    def promote(self) -> None:
        """Take over: compare all that the outbox has, then write what the leader's mark lacks.

        Raises `ShardHalted` where the outbox differs from what was computed here, and where the
        books are unsound: a leader that halts for its books stands at no record at which its
        shadow would halt, too.
        """
        # Before the outbox's end is asked for: what lies before the mark is dropped, not written
        # again, so all of it must be compared, whatever the old leader still writes and commits.
        self._take_mark()
        self._drain()
        for foreign in self._comparison.end():
            self._report(FOREIGN_RECORD, foreign)
        self._host.expect_sound()
        self._log.leave(*self.outbox)
        self._reads_outbox = False
        held = self.held_inputs
        self._held.lead()
        self.promotions += 1
        self._promoted_s = self._clock.monotonic_s()
        self._report("promoted", f"from mark {self.mark_taken}, with {held} inputs held")

    def finish(self) -> None:
        """Commit what is done, if it leads; the caller has flushed the log."""
        self._host.finish()

    def _apply(self, record: LogRecord) -> None:
        host = self._host
        try:
            host.take(record)
            shard = host.shard
            self._held.close_input(Done(host.position, shard.ordinal, shard.input_hash))
        except (Divergence, Halt) as why:
            raise self._halted(why) from why

    def _compare(self, record: LogRecord) -> None:
        self._outbox_next = record.offset + 1
        try:
            self._comparison.found(record.offset, record.value)
        except Foreign as why:
            self._report(FOREIGN_RECORD, str(why))
        except Divergence as why:
            raise self._halted(why) from why

    def _drain(self) -> None:
        _, end = self._log.ends(*self.outbox)
        for record in self._log.scan(*self.outbox, self._outbox_next, end):
            self._compare(record)

    def _look_for_mark(self) -> None:
        """Take the mark, or go on with the old one while brokers do not tell it."""
        self.in_touch = False
        try:
            self._take_mark()
            self.in_touch = True
        except LogFailure as failure:
            self._report("mark not read", str(failure))

    def _take_mark(self) -> None:
        mark = self._log.committed(self.topic, self.partition)
        if mark is None:
            return
        try:
            if mark.offset > self.position:
                _, end = self._log.ends(self.topic, self.partition)
                if mark.offset > end:
                    words = f"the committed mark is at {mark.offset}, the log ends at {end}"
                    raise Halt(HaltReason.ACKED_LOSS, words)
            self._held.move_mark(Done.of_mark(mark))
        except Halt as why:
            raise self._halted(why) from why

    def _expect_told(self) -> None:
        """What lies before mark and snapshot is not written again: the outbox must have it."""
        mark, snapshot = self._held.mark.ordinal, self._host.shard.ordinal
        try:
            Attestation(self._log, self.id, mark).expect_told(mark=mark, snapshot=snapshot)
        except Halt as why:
            raise self._halted(why) from why

    def _pace(self) -> None:
        """Stop reading what is ahead of the other by too much, and go on when it has come near."""
        waiting = self._held.held_bytes + self._comparison.waiting_bytes
        wanted = self.leading or waiting < self._room(self._reads_inbox)
        if wanted != self._reads_inbox:
            self._reads_inbox = wanted
            self._follow(wanted, (self.topic, self.partition), self.position)
        wanted = self._comparison.ahead_bytes < self._room(self._reads_outbox)
        if not self.leading and wanted != self._reads_outbox:
            self._reads_outbox = wanted
            self._follow(wanted, self.outbox, self._outbox_next)

    def _room(self, reads: bool) -> int:
        return self._limit if reads else self._limit // 2

    def _follow(self, wanted: bool, place: Partition, offset: int) -> None:
        if wanted:
            self._log.seek(*place, offset)
        else:
            self._log.leave(*place)

    def _halted(self, why: Divergence | Halt) -> ShardHalted:
        halt = why if isinstance(why, Halt) else Halt(HaltReason.DIVERGENCE, str(why))
        return ShardHalted(self.id, halt, self.position, b"", resolvable=False)
