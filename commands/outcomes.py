"""Brings each command's outcome, as the outboxes tell it, to the request that waits for it."""

import asyncio
import re
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from domain.decider import Message, Outcome
from domain.protocol import CommandExpired, CommandFaulted, CommandRepeated
from infra.http import errors
from infra.http.errors import ApiError
from infra.log import LogRecord
from infra.logging import get_logger
from schemas.record import Record, decode_record
from schemas.topics import outbox

Originals = Callable[[str, int, int], AsyncIterator[LogRecord]]
"""Of a shard: the records from cause (2nd) on, of those that stand before offset (3rd)."""

_logger = get_logger("outcomes")

_ENDS_EVERYWHERE = (CommandExpired, CommandFaulted)

_COMMAND_ID = re.compile(rb"\x20(?=(.{16}))", re.DOTALL)
"""What may be a command id in a record's bytes: Avro puts its length, 16 (encoded 0x20), first."""


@dataclass(slots=True, frozen=True)
class Awaited:
    """When a command is answered: each of `shards` showed one of its types, or any a refusal.

    An answer begins with one of `starts`. What comes without it belongs to an equal request that
    was here before; its beginning is read again from the log when the command shows as repeated.
    With `alone`, what other shards say does not count: what matching reports is not settled yet.
    """

    shards: Mapping[str, tuple[type[Message], ...]]
    refusals: tuple[type[Message], ...] = ()
    starts: tuple[type[Message], ...] = (Outcome,)
    alone: bool = False


@dataclass(slots=True, frozen=True)
class Seen:
    """A message that answers the command, and where it stands."""

    shard: str
    cseq: int
    time_us: int
    message: Message


@dataclass(slots=True, frozen=True)
class Answer:
    """All messages of one command, in the order of their logs.

    `repeated`: the command had its effect before, and this is that effect.
    """

    seen: tuple[Seen, ...]
    repeated: bool

    @property
    def last(self) -> Message:
        """The message that completed the answer."""
        return self.seen[-1].message

    def position(self) -> str:
        """The `X-Log-Position` of the answer: how far each shard's outbox must be read for it."""
        return position_of(self.seen)


Done = Callable[[Answer | ApiError], None]
"""Called once, with what became of a command."""


@dataclass(slots=True)
class Pending:
    """A command on its way. `later` holds what comes while the original outcome is read."""

    command_id: bytes
    awaited: Awaited
    missing: set[str]
    waiters: list[Done] = field(default_factory=list)
    seen: list[Seen] = field(default_factory=list)
    later: list[Seen] | None = None
    repeated: bool = False
    result: Answer | ApiError | None = None

    def feed(self, seen: Seen) -> None:
        """Take one more message; the last that was awaited ends the wait."""
        if self.result is not None or (
            self.awaited.alone and seen.shard not in self.awaited.shards
        ):
            return
        if not self.seen and not isinstance(
            seen.message, (*self.awaited.starts, *_ENDS_EVERYWHERE)
        ):
            return
        self.seen.append(seen)
        if isinstance(seen.message, self.awaited.shards.get(seen.shard, ())):
            self.missing.discard(seen.shard)
        refused = isinstance(seen.message, (*self.awaited.refusals, *_ENDS_EVERYWHERE))
        if refused or not self.missing:
            self.end(Answer(tuple(self.seen), self.repeated))

    def end(self, result: Answer | ApiError) -> None:
        """Tell all who wait, unless they were told; an error says that no outcome will come."""
        if self.result is None:
            self.result = result
            for done in self.waiters:
                done(result)

    def restart(self) -> None:
        """The outcome will be read from where it first stood."""
        self.forget()
        self.later = []
        self.repeated = True

    def forget(self) -> None:
        """Begin anew with what is seen."""
        self.seen.clear()
        self.missing = set(self.awaited.shards)

    def catch_up(self, shard: str) -> None:
        """Take what came meanwhile, but for what was read of this shard with the original."""
        read = max((seen.cseq for seen in self.seen), default=0)
        later, self.later = self.later or [], None
        for seen in later:
            if seen.shard != shard or seen.cseq > read:
                self.feed(seen)


class Outcomes:
    """The commands that wait in this process, by command id."""

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._pending: dict[bytes, Pending] = {}
        self._repeats: dict[str, list[_Repeat]] = {}
        """By shard, those whose original is to be read next."""
        self._reading: dict[str, asyncio.Task[None]] = {}

    def __len__(self) -> int:
        """How many commands wait."""
        return len(self._pending)

    def expect(self, command_id: bytes, awaited: Awaited, done: Done) -> tuple[Pending, bool]:
        """The waiting command, and whether it is on its way already by an equal request."""
        pending = self._pending.get(command_id)
        known = pending is not None
        if pending is None:
            pending = Pending(command_id, awaited, set(awaited.shards))
            self._pending[command_id] = pending
        pending.waiters.append(done)
        if pending.result is not None:
            done(pending.result)
        return pending, known

    def release(self, pending: Pending, done: Done) -> None:
        """One request waits no more; the last takes the command out."""
        pending.waiters.remove(done)
        if not pending.waiters:
            del self._pending[pending.command_id]

    def are_in(self, value: bytes) -> bool:
        """Whether a record's bytes name a command that waits here; if not, nobody need decode it.

        Others' commands, and all that happens after an answer, thus cost a search of the bytes. A
        hit may be chance, so the record is then decoded as a whole.
        """
        return _names_any(value, self._pending)

    def apply(self, shard: str, offset: int, record: Record) -> None:
        """Take in one record of the shard's outbox, which stands at `offset`."""
        for message in record.messages:
            if not isinstance(message, Outcome):
                continue
            pending = self._pending.get(message.command_id)
            if pending is None:
                continue
            if isinstance(message, CommandRepeated):
                if pending.result is None and pending.later is None:
                    pending.restart()
                    repeat = _Repeat(pending, message.original_cause, offset)
                    self._repeats.setdefault(shard, []).append(repeat)
                continue
            seen = Seen(shard, record.cseq, record.time_us, message)
            if pending.later is not None:
                pending.later.append(seen)
            else:
                pending.feed(seen)
        if shard in self._repeats and shard not in self._reading:
            self._reading[shard] = asyncio.ensure_future(self._read_originals(shard))

    async def _read_originals(self, shard: str) -> None:
        """Read for all that wait at once: who got no answers asks for all of them again."""
        try:
            while repeats := self._repeats.pop(shard, []):
                await self._replay(shard, repeats)
        finally:
            del self._reading[shard]

    async def _replay(self, shard: str, repeats: Sequence["_Repeat"]) -> None:
        """Read in one pass; if that fails, for each alone, so that it fails alone."""
        # Whoever nobody waits for any more makes nobody wait.
        left = [each for each in repeats if each.pending.waiters and each.pending.result is None]
        if not left:
            return
        try:
            await self._feed(shard, left)
        except Exception as error:
            if len(left) > 1:
                for each in left:
                    await self._replay(shard, [each])
                return
            # The request alone is lost by this, not the process: its sender may ask again.
            _logger.error("reading an original outcome failed", shard=shard, error=repr(error))
            left[0].pending.end(errors.outcome_unknown())
        for each in left:
            each.pending.catch_up(shard)

    async def _feed(self, shard: str, repeats: Sequence["_Repeat"]) -> None:
        by_id = {each.pending.command_id: each for each in repeats}
        for each in repeats:
            each.pending.forget()
        cause, before = min(each.cause for each in repeats), max(each.offset for each in repeats)
        async for stored in self._originals(shard, cause, before):
            assert stored.value is not None, "outboxes have no tombstones"
            if not _names_any(stored.value, by_id):
                continue
            record = decode_record(stored.value)
            for message in record.messages:
                if not isinstance(message, Outcome) or isinstance(message, CommandRepeated):
                    continue
                found = by_id.get(message.command_id)
                # The same id may have expired before it had an effect.
                if found is not None and record.cause >= found.cause:
                    found.pending.feed(Seen(shard, record.cseq, record.time_us, message))
            if all(each.pending.result is not None for each in repeats):
                return


@dataclass(slots=True, frozen=True)
class _Repeat:
    """A command that had its effect before, by the input `cause`; it shows so at `offset`."""

    pending: Pending
    cause: int
    offset: int


def _names_any(value: bytes, commands: Collection[bytes]) -> bool:
    return bool(commands) and any(id in commands for id in _COMMAND_ID.findall(value))


def position_of(seen: Iterable[Seen]) -> str:
    """How far each shard's outbox must be read for all of these, as `X-Log-Position` says it."""
    ends: dict[str, int] = {}
    for each in seen:
        ends[each.shard] = max(each.cseq, ends.get(each.shard, 0))
    return ";".join("{}.{}@{}".format(*outbox(shard), end) for shard, end in sorted(ends.items()))
