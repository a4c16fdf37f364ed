"""One shard as it is followed: run again from its inbox, with a witness beside it."""

from collections import deque
from dataclasses import dataclass
from typing import Any, NamedTuple

from domain.decider import Decider
from infra.log import LogRecord, Partition
from schemas.topics import inbox
from streams.audit.checks import Checks
from streams.audit.ledger_witness import LedgerRecord, LedgerWitness
from streams.audit.matching_witness import MatchingRecord, MatchingWitness
from streams.families import decider_of
from streams.marks import Done
from streams.shard import Shard

DONES_KEPT = 20_000
"""Positions whose ordinal and input hash are remembered, for marks that are read later."""


class Queued(NamedTuple):
    """A record of the inbox that waits for its turn, and what its head says."""

    record: LogRecord
    src: str
    cseq: int


@dataclass(slots=True)
class Stopped:
    """Where the shard halted, and the hash of that record.

    Before `looked_to` no operator has said what to do.
    """

    offset: int
    record_hash: bytes
    looked_to: int


class Followed:
    """A shard, its witness, and what of its inbox is read and not applied."""

    def __init__(self, shard_id: str) -> None:
        self.id = shard_id
        self.place: Partition = inbox(shard_id)
        self.ledger: LedgerRecord | None = LedgerRecord() if shard_id[0] == "L" else None
        self.matching: MatchingRecord | None = MatchingRecord() if shard_id[0] == "M" else None
        self.shard = Shard(shard_id, self.decider())
        self.position = 0
        self.last_hash = b""
        """The hash of the record before `position`."""
        self.queue: deque[Queued] = deque()
        self.queued_bytes = 0
        self.condemned: set[int] = set()
        """Offsets of forged records: reported, and then applied as the shard itself does."""
        self.stopped: Stopped | None = None
        self.dones: deque[Done] = deque(maxlen=DONES_KEPT)

    @property
    def checks(self) -> Checks | None:
        """What the witness has checked; accounts shards have none."""
        record = self.ledger or self.matching
        return record.checks if record is not None else None

    def decider(self) -> Decider[Any]:
        """The shard's decider, watched by the witness's record."""
        plain = decider_of(self.id)
        if self.ledger is not None:
            return LedgerWitness(plain, self.ledger)
        if self.matching is not None:
            return MatchingWitness(plain, self.matching)
        return plain

    def take(self, queued: Queued) -> None:
        """Let a record wait for its turn."""
        self.queue.append(queued)
        self.queued_bytes += len(queued.record.value or b"")

    def next(self) -> Queued:
        """The record whose turn it is."""
        queued = self.queue.popleft()
        self.queued_bytes -= len(queued.record.value or b"")
        return queued

    def done_at(self, offset: int) -> Done | None:
        """Ordinal and input hash before `offset`, if it was reached not too long ago."""
        if not self.dones or not self.dones[0].offset <= offset <= self.dones[-1].offset:
            return None
        # Every offset of an inbox is passed, one after the other.
        return self.dones[offset - self.dones[0].offset]
