"""Folds what outboxes bring: keys and reference data, outcomes, and how fresh each shard is."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from commands.credentials import Credentials
from commands.outcomes import Outcomes
from domain.reference import ReferenceData
from infra.clock import Clock
from infra.log import LogRecord
from schemas.record import Record, decode_envelope, decode_record
from schemas.topics import outbox, shard_of

STALE_US = 3_000_000
"""A shard writes at least once a second, when its Tick comes; two seconds more is a lag."""

Watcher = Callable[[str, Record], None]
"""Is shown a shard and a record of its outbox."""


@dataclass(slots=True)
class _Reading:
    """How far one outbox was read. `target`: the offset up to which this process must catch up.

    `far_cseq`: the sequence of the last record that did not follow.
    """

    target: int
    next_offset: int = 0
    cseq: int = 0
    far_cseq: int = 0
    time_us: int = 0

    def is_next(self, cseq: int) -> bool:
        """Whether a later record follows the last one, or one that did not.

        A single record that is far ahead is nobody's: those that follow would pass for repeated.
        The first record may be an old one that was written again.
        """
        if self.cseq and cseq not in (self.cseq + 1, self.far_cseq + 1):
            self.far_cseq = cseq
            return False
        return True


class Follower:
    """What this process knows of the log, kept in memory only."""

    def __init__(self, outcomes: Outcomes, clock: Clock, targets: Mapping[str, int]) -> None:
        self.reference = ReferenceData()
        self.credentials = Credentials()
        self._outcomes = outcomes
        self._watchers: list[Watcher] = []
        self._clock = clock
        self._readings = {shard: _Reading(target) for shard, target in targets.items()}

    def take(self, records: Sequence[LogRecord]) -> None:
        """Fold a batch. Raises `UndecodableRecord` if an outbox holds what no shard writes.

        Messages are decoded only where they are about keys and reference data or answer somebody.
        """
        for stored in records:
            shard = shard_of(stored.topic, stored.partition)
            reading = self._readings[shard]
            reading.next_offset = stored.offset + 1
            envelope = decode_envelope(stored.value)
            if envelope.cseq <= reading.cseq or not reading.is_next(envelope.cseq):
                continue
            reading.cseq = envelope.cseq
            reading.time_us = envelope.time_us
            wanted = shard[0] == "A" or self._watchers
            if wanted or self._outcomes.are_in(stored.value or b""):
                self._fold(shard, stored.offset, decode_record(stored.value))

    @contextmanager
    def watched(self, look: Watcher) -> Iterator[None]:
        """While the block runs, `look` is shown each record that is new, of every shard."""
        self._watchers.append(look)
        try:
            yield
        finally:
            self._watchers.remove(look)

    def is_caught_up(self) -> bool:
        """Whether everything that stood in the log when this process began is folded."""
        return all(reading.next_offset >= reading.target for reading in self._readings.values())

    def is_stale(self, shard: str) -> bool:
        """Whether the log time of an accounts or ledger shard lies behind the clock."""
        reading = self._readings[shard]
        return shard[0] != "M" and self._clock.now_us() - reading.time_us > STALE_US

    def stale_shards(self) -> list[str]:
        """The shards whose log time lies behind the clock."""
        return [shard for shard in self._readings if self.is_stale(shard)]

    def log_time_us(self, shard: str) -> int:
        """The log time up to which the outbox of a shard was read; 0 before the first record."""
        return self._readings[shard].time_us

    def shards(self) -> list[str]:
        """Those that are followed."""
        return list(self._readings)

    def position(self) -> str:
        """How far the ledgers' outboxes were read, as `X-Log-Position` says it."""
        return ";".join(
            "{}.{}@{}".format(*outbox(shard), reading.cseq)
            for shard, reading in sorted(self._readings.items())
            if shard[0] == "L"
        )

    def _fold(self, shard: str, offset: int, record: Record) -> None:
        if shard[0] == "A":
            for message in record.messages:
                self.reference.apply(message, int(shard[1:]))
                self.credentials.apply(message)
        self._outcomes.apply(shard, offset, record)
        for look in self._watchers:
            look(shard, record)
