"""Brings each command's outcome, as the outboxes tell it, to the request that waits for it."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field

from domain.decider import Message, Outcome
from domain.protocol import CommandExpired, CommandFaulted, CommandRepeated
from infra.http import errors
from infra.http.errors import ApiError
from infra.logging import get_logger
from schemas.record import Record
from schemas.topics import outbox

Originals = Callable[[str, int, int], AsyncIterator[Record]]
"""Of a shard: the records from cause (2nd) on, of those that stand before offset (3rd)."""

_logger = get_logger("outcomes")

_ENDS_EVERYWHERE = (CommandExpired, CommandFaulted)


@dataclass(slots=True, frozen=True)
class Awaited:
    """When a command is answered: each of `shards` showed one of its types, or any a refusal.

    An answer begins with one of `starts`. What comes without it belongs to an equal request that
    was here before; its beginning is read again from the log when the command shows as repeated.
    """

    shards: Mapping[str, tuple[type[Message], ...]]
    refusals: tuple[type[Message], ...] = ()
    starts: tuple[type[Message], ...] = (Outcome,)


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
        ends = {seen.shard: seen.cseq for seen in self.seen}
        return ";".join(_position(shard, cseq) for shard, cseq in sorted(ends.items()))


@dataclass(slots=True)
class Pending:
    """A command on its way. `later` holds what comes while the original outcome is read."""

    command_id: bytes
    awaited: Awaited
    future: asyncio.Future[Answer]
    missing: set[str]
    seen: list[Seen] = field(default_factory=list)
    later: list[Seen] | None = None
    repeated: bool = False
    waiters: int = 0

    def feed(self, seen: Seen) -> None:
        """Take one more message; the future is set by the last that was awaited."""
        if self.future.done():
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
            self.future.set_result(Answer(tuple(self.seen), self.repeated))

    def fail(self, error: ApiError) -> None:
        """The command will have no outcome."""
        if not self.future.done():
            self.future.set_exception(error)

    def restart(self) -> None:
        """Forget what was seen: the outcome will be read from where it first stood."""
        self.seen.clear()
        self.missing = set(self.awaited.shards)
        self.later = []
        self.repeated = True


class Outcomes:
    """The commands that wait in this process, by command id."""

    def __init__(self, originals: Originals) -> None:
        self._originals = originals
        self._pending: dict[bytes, Pending] = {}
        self._reading: set[asyncio.Task[None]] = set()

    def expect(self, command_id: bytes, awaited: Awaited) -> tuple[Pending, bool]:
        """The waiting command, and whether it is on its way already by an equal request."""
        pending = self._pending.get(command_id)
        known = pending is not None
        if pending is None:
            future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
            pending = Pending(command_id, awaited, future, set(awaited.shards))
            self._pending[command_id] = pending
        pending.waiters += 1
        return pending, known

    def release(self, pending: Pending) -> None:
        """One request waits no more; the last takes the command out."""
        pending.waiters -= 1
        if pending.waiters == 0:
            del self._pending[pending.command_id]
            if not pending.future.done():
                pending.future.cancel()

    def concern(self, family: str) -> bool:
        """Whether anything waits for a shard of this family."""
        return any(s[0] == family for p in self._pending.values() for s in p.awaited.shards)

    def apply(self, shard: str, offset: int, record: Record) -> None:
        """Take in one record of the shard's outbox, which stands at `offset`."""
        for message in record.messages:
            if not isinstance(message, Outcome):
                continue
            pending = self._pending.get(message.command_id)
            if pending is None:
                continue
            if isinstance(message, CommandRepeated):
                self._read_original(pending, shard, message.original_cause, offset)
                continue
            seen = Seen(shard, record.cseq, record.time_us, message)
            if pending.later is not None:
                pending.later.append(seen)
            else:
                pending.feed(seen)

    def _read_original(self, pending: Pending, shard: str, cause: int, before: int) -> None:
        if pending.future.done() or pending.later is not None:
            return
        pending.restart()
        task = asyncio.ensure_future(self._replay(pending, shard, cause, before))
        self._reading.add(task)
        task.add_done_callback(self._reading.discard)

    async def _replay(self, pending: Pending, shard: str, cause: int, before: int) -> None:
        try:
            async for record in self._originals(shard, cause, before):
                for seen in _outcomes_in(shard, record, pending.command_id):
                    pending.feed(seen)
                if pending.future.done():
                    return
        except Exception as error:
            # The request alone is lost by this, not the process: its sender may ask again.
            _logger.error("reading an original outcome failed", shard=shard, error=repr(error))
            pending.fail(errors.outcome_unknown())
        later, pending.later = pending.later or [], None
        for seen in later:
            pending.feed(seen)


def _outcomes_in(shard: str, record: Record, command_id: bytes) -> list[Seen]:
    """What a record says of one command."""
    return [
        Seen(shard, record.cseq, record.time_us, message)
        for message in record.messages
        if isinstance(message, Outcome)
        and message.command_id == command_id
        and not isinstance(message, CommandRepeated)
    ]


def _position(shard: str, cseq: int) -> str:
    topic, partition = outbox(shard)
    return f"{topic}.{partition}@{cseq}"
