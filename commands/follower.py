"""Folds what outboxes bring: keys and reference data, outcomes, and how fresh each shard is."""

import asyncio
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

AHEAD_US = 5_000_000
"""Two machines' clocks differ by less than this; log time beyond it comes of a clock that was set
back: commands are past their deadlines in it before they are read."""

Watcher = Callable[[str, Record], None]
"""Is shown a shard and a record of its outbox."""

_Placed = tuple[Record, LogRecord]
"""A record without its messages, and what is stored of it."""


@dataclass(slots=True)
class _Reading:
    """How far one outbox was read. `target`: the offset up to which this process must catch up.

    `is_whole`: whether reading began at the first record. `far`: the last record, with its
    envelope, if it was ahead of the next one.
    """

    target: int
    is_whole: bool
    next_offset: int = 0
    cseq: int = 0
    far: _Placed | None = None
    time_us: int = 0

    def next_of(self, envelope: Record, stored: LogRecord) -> Sequence[_Placed]:
        """What is to be taken now that this record was read: none that is there twice.

        Nor one that is ahead: those that follow would pass for repeated. But where reading began
        within the log, it may have begun at old records that were written again: then what is ahead
        counts once its successor has come.
        """
        cseq, placed = envelope.cseq, (envelope, stored)
        if cseq == self.cseq + 1 or (self.cseq == 0 and not self.is_whole):
            self.far = None
            return (placed,)
        if cseq <= self.cseq:
            return ()
        far, self.far = self.far, placed
        if self.is_whole or far is None or far[0].cseq + 1 != cseq:
            return ()
        return far, placed


class Follower:
    """What this process knows of the log, kept in memory only.

    Accounts are read from their first record, the others from anywhere.
    """

    def __init__(self, outcomes: Outcomes, clock: Clock, targets: Mapping[str, int]) -> None:
        self.reference = ReferenceData()
        self.credentials = Credentials()
        self._outcomes = outcomes
        self._watchers: list[Watcher] = []
        self._moved: asyncio.Event | None = None
        self._clock = clock
        self._readings = {
            shard: _Reading(target, is_whole=shard[0] == "A") for shard, target in targets.items()
        }

    def take(self, records: Sequence[LogRecord]) -> None:
        """Fold a batch. Raises `UndecodableRecord` if an outbox holds what no shard writes.

        Messages are decoded only where they are about keys and reference data or answer somebody.
        """
        for stored in records:
            shard = shard_of(stored.topic, stored.partition)
            reading = self._readings[shard]
            reading.next_offset = stored.offset + 1
            for envelope, each in reading.next_of(decode_envelope(stored.value), stored):
                reading.cseq, reading.time_us = envelope.cseq, envelope.time_us
                wanted = shard[0] == "A" or self._watchers
                if wanted or self._outcomes.are_in(each.value or b""):
                    self._fold(shard, each.offset, decode_record(each.value))
        if self._moved is not None:
            self._moved.set()
            self._moved = None

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

    def lags(self, shard: str) -> bool:
        """Whether the log time of a shard lies behind the clock."""
        return self._clock.now_us() - self._readings[shard].time_us > STALE_US

    def is_stale(self, shard: str) -> bool:
        """The same of accounts and ledger shards: where matching lags, other markets trade on."""
        return shard[0] != "M" and self.lags(shard)

    async def reach(self, shard: str, offset: int) -> None:
        """Wait until all is folded that stands before this offset of a shard's outbox."""
        while self._readings[shard].next_offset < offset:
            self._moved = self._moved or asyncio.Event()
            await self._moved.wait()

    def stale_shards(self) -> list[str]:
        """The accounts and ledger shards whose log time lies behind the clock."""
        return [shard for shard in self._readings if self.is_stale(shard)]

    def shards_ahead_us(self) -> dict[str, int]:
        """By how much log time lies ahead of the clock, where that is more than clocks differ."""
        now_us = self._clock.now_us()
        ahead_us = {shard: reading.time_us - now_us for shard, reading in self._readings.items()}
        return {shard: each_us for shard, each_us in ahead_us.items() if each_us > AHEAD_US}

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
                self.reference.apply(message, int(shard[1:]), record.time_us)
                self.credentials.apply(message)
        self._outcomes.apply(shard, offset, record)
        for look in self._watchers:
            look(shard, record)
