"""Re-execution of one shard over its inbox, from genesis or a snapshot, as its host ran it."""

import time
from array import array
from bisect import bisect_left
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any

from domain.decider import Decider
from domain.matching.state import MatchingState
from domain.protocol import HaltAction
from infra.collector import no_search
from infra.log import LogRecord, Partition
from schemas.record import record_hash
from schemas.topics import inbox, outbox
from streams.audit.archive import Archive, Progress, position_name
from streams.audit.channels import Found, Produced
from streams.families import decider_of
from streams.halts import Halt, HaltReason, resolution_in
from streams.marks import Done
from streams.shard import Shard, Step, hash_of_dump
from streams.snapshots import Snapshot

PROGRESS_RECORDS = 256
FAULTS_TOLD = 5
OnOutput = Callable[[Partition, int, bytes], None]
"""Told of each record the shard would write: where to, its cseq, its bytes."""


@dataclass(slots=True)
class SetAside:
    """A record, or one message of it, that the shard quarantines."""

    offset: int
    index: int
    why: str
    record_hash: bytes


@dataclass(slots=True)
class Halted:
    """Where the shard stops, and why."""

    offset: int
    ordinal: int
    words: str
    record_hash: bytes


@dataclass(slots=True)
class Run:
    """What the re-execution of a shard came to. Offsets are those of its inbox.

    `hashes` has the state's hash before each record of `Options.hash_at` that was come to.
    `faulted` counts what could not be planned for a bug, `faults` says so of the first few.
    """

    shard: str
    stop: int
    found: Found
    base_ordinal: int = 0
    records: int = 0
    commands: int = 0
    messages: int = 0
    trades: int = 0
    duplicates: int = 0
    faulted: int = 0
    faults: list[str] = field(default_factory=list)
    seconds: float = 0.0
    produced: dict[Partition, Produced] = field(default_factory=dict)
    accepted: "array[int]" = field(default_factory=lambda: array("q"))
    set_aside: list[SetAside] = field(default_factory=list)
    resolved: dict[bytes, HaltAction] = field(default_factory=dict)
    at_mark: Done | None = None
    hashes: dict[int, bytes] = field(default_factory=dict)
    halted: Halted | None = None
    state_hash: bytes = b""
    dumped: bytes = b""
    unsound: str = ""

    def restored(self) -> Shard:
        """The shard as it was at the end of the run, which must have come there."""
        return Shard.load(self.dumped, decider_of(self.shard))

    def last_cause_below(self, offset: int) -> int:
        """The ordinal of the last input before `offset` that the shard accepted."""
        return self.base_ordinal + bisect_left(self.accepted, offset)

    def set_aside_whole(self) -> set[int]:
        """The offsets of the records of which the shard has applied and counted nothing."""
        return {each.offset for each in self.set_aside if each.index < 0}

    def has_dropped(self, offset: int, name: bytes) -> bool:
        """Whether the shard has dropped the record there, of this hash, at an operator's word.

        One that is the next of its channel is accepted under the word: nothing of it is applied,
        and the channel goes on from it, so that its source must have written it.
        """
        if name not in self.resolved:
            return False
        at = bisect_left(self.accepted, offset)
        return at == len(self.accepted) or self.accepted[at] != offset


@dataclass(slots=True, frozen=True)
class Options:
    """How to run: to which offset (None: the end), from which snapshot, with another decider.

    Before the records at the offsets `hash_at` the state's hash is noted.
    """

    stop: int | None = None
    snapshot: Snapshot | None = None
    decider: Callable[[str], Decider[Any]] | None = None
    on_output: OnOutput | None = None
    hash_at: Collection[int] = ()


DEFAULT = Options()


def rerun(
    archive: Archive, shard: str, options: Options = DEFAULT, progress: Progress | None = None
) -> Run:
    """Re-execute the shard and note all it would have written, and all that stands in its inbox.

    An operator's `ResolveHalt` is honored as the host honors it: the run begins anew and knows
    of it. Raises `BadArchive` if the records cannot be read.
    """
    resolutions: dict[int, HaltAction] = {}
    resolved: dict[bytes, HaltAction] = {}
    while True:
        attempt = _Attempt(archive, shard, options, resolutions)
        attempt.run.resolved = resolved
        with no_search():
            attempt.go(progress)
        halted = attempt.run.halted
        if halted is None or halted.offset in resolutions:
            return attempt.run
        action = _find_resolution(archive, inbox(shard), halted)
        if action is None:
            return attempt.run
        resolutions[halted.offset] = action
        resolved[halted.record_hash] = action
        progress = None


def stepped(shard: Shard, record: LogRecord) -> Step:
    """What the shard does with the record. Raises `Halt`, also where its host would have ended."""
    try:
        return shard.step(record.offset, record.value)
    except (Halt, MemoryError):
        # Want of memory says something of this machine, nothing of the record.
        raise
    except Exception as error:
        # Only a damaged log gets here; the host would have ended, so must this run.
        raise Halt(HaltReason.FAULT, repr(error)) from error


class _Attempt:
    """One pass over the inbox with the halts that are known to be resolved."""

    def __init__(
        self, archive: Archive, shard: str, options: Options, resolutions: dict[int, HaltAction]
    ) -> None:
        decider = (options.decider or decider_of)(shard)
        self._place = inbox(shard)
        bounds = archive.manifest.bounds[self._place]
        start = bounds.first
        if options.snapshot is None:
            self._shard = Shard(shard, decider)
        else:
            self._shard = Shard.load(options.snapshot.payload, decider)
            start = options.snapshot.offset
        self._shard.resolutions = resolutions
        self._archive = archive
        self._on_output = options.on_output
        self._hash_at = options.hash_at
        self._start = start
        mark = archive.mark(shard)
        self._mark_offset = mark.offset if mark else -1
        stop = bounds.end if options.stop is None else min(options.stop, bounds.end)
        self.run = Run(shard, stop, Found(self._place, bounds.first), self._shard.ordinal)
        for destination, channel in self._shard.outgoing.items():
            self._produced(_place_of(shard, destination)).first = channel.cseq + 1

    def go(self, progress: Progress | None) -> None:
        """Read the whole inbox; step through what lies between start and stop."""
        run = self.run
        begin = time.perf_counter()
        for record in self._archive.everything(self._place):
            messages = run.found.note(record.offset, record.value)
            if record.offset == self._mark_offset:
                self._note_mark()
            self._note_hash(record.offset)
            if self._start <= record.offset < run.stop and run.halted is None:
                self._step(record, messages)
            if progress is not None and record.offset % PROGRESS_RECORDS == 0:
                progress.advance(PROGRESS_RECORDS)
        if run.found.next_offset == self._mark_offset:
            self._note_mark()
        self._note_hash(run.found.next_offset)
        run.seconds = time.perf_counter() - begin
        self._sum_up()

    def _note_mark(self) -> None:
        if self._mark_offset <= self.run.stop and self._mark_offset >= self._start:
            shard = self._shard
            self.run.at_mark = Done(self._mark_offset, shard.ordinal, shard.input_hash)

    def _note_hash(self, offset: int) -> None:
        run = self.run
        if offset not in self._hash_at or not self._start <= offset <= run.stop or run.halted:
            return
        try:
            run.hashes[offset] = self._shard.state_hash()
        except AssertionError:
            # The full check before a dump failed: such a state has no hash, as at the end.
            run.hashes[offset] = b""

    def _step(self, record: LogRecord, messages: int) -> None:
        try:
            step = stepped(self._shard, record)
        except Halt as halt:
            self._halt(halt, record)
            return
        self._count(step, messages)
        self._note_faults(step, record.offset)
        if step.accepted:
            self.run.accepted.append(record.offset)
        for quarantined in step.quarantined:
            name = record_hash(record.value or b"")
            aside = SetAside(record.offset, quarantined.index, quarantined.why, name)
            self.run.set_aside.append(aside)
        for output in step.outputs:
            place = (output.topic, output.partition)
            cseq = self._produced(place).add(output.value, self._shard.ordinal)
            if self._on_output is not None:
                self._on_output(place, cseq, output.value)

    def _halt(self, halt: Halt, record: LogRecord) -> None:
        name = record_hash(record.value or b"")
        ordinal = self.run.base_ordinal + len(self.run.accepted)
        self.run.halted = Halted(record.offset, ordinal, str(halt), name)

    def _count(self, step: Step, messages: int) -> None:
        run = self.run
        run.records += 1
        run.commands += step.commands
        run.messages += messages if step.accepted else 0
        # With what an operator's word has passed: former builds have told their archives so.
        run.duplicates += not step.accepted and not step.quarantined

    def _note_faults(self, step: Step, offset: int) -> None:
        run = self.run
        run.faulted += len(step.faults)
        told = [f"{position_name(self._place, offset)}: {fault}" for fault in step.faults]
        run.faults += told[: FAULTS_TOLD - len(run.faults)]

    def _produced(self, place: Partition) -> Produced:
        produced = self.run.produced.get(place)
        if produced is None:
            produced = self.run.produced[place] = Produced(1)
        return produced

    def _sum_up(self) -> None:
        """The state at the end; a shard that halted has none to show."""
        run, state = self.run, self._shard.state
        if isinstance(state, MatchingState):
            run.trades = sum(market.trades for market in state.markets.values())
        if run.halted is None:
            try:
                run.dumped = self._shard.dump()
                run.state_hash = hash_of_dump(run.dumped)
            except AssertionError as error:
                run.unsound = str(error)


def _find_resolution(archive: Archive, place: Partition, halted: Halted) -> HaltAction | None:
    later = archive.records(place, halted.offset + 1, archive.end(place))
    return resolution_in(later, halted.record_hash)


def _place_of(shard: str, destination: str) -> Partition:
    return outbox(shard) if destination == shard else inbox(destination)
