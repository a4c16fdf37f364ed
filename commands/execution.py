"""Commands' way: into the log through the publisher, and back as their outcomes."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial

from commands.admission import admit, refusal
from commands.follower import Follower
from commands.outcomes import Answer, Awaited, Done, Outcomes, Pending, Seen
from commands.publisher import Publisher
from domain.decider import Command, Message
from domain.protocol import CommandExpired, CommandFaulted
from infra.buggify import buggify
from infra.http import errors
from infra.http.errors import ApiError
from schemas.record import Record

ANSWER_TIMEOUT_S = 5.0
MAX_PENDING = 20_000
"""Commands of one process that have no outcome yet, on their way to the log or in it."""


class Execution:
    """Runs commands of one source and waits until the log tells their outcome."""

    def __init__(self, publisher: Publisher, outcomes: Outcomes, follower: Follower) -> None:
        self._publisher = publisher
        self._outcomes = outcomes
        self._follower = follower
        self._timeout_s = ANSWER_TIMEOUT_S

    async def run(self, shard: str, command: Command, awaited: Awaited) -> Answer:
        """The outcome of the command; of its first run if it ran before, with `repeated` set.

        Raises -1008 if the shard lags or too much waits, -1021 if the command came too late, -1007
        if no outcome shows in time (it may have one later), -1000 if planning it failed.
        """
        (result,) = await self.run_all(shard, [command], [awaited])
        if isinstance(result, ApiError):
            raise result
        return result

    async def run_all(
        self, shard: str, commands: Sequence[Command], awaited: Sequence[Awaited]
    ) -> list[Answer | ApiError]:
        """What becomes of each of the commands of one request, which stand in one record.

        Their deadlines are equal. An error that `run` raises for a command stands in its place;
        -1008 is raised for all.
        """
        if self._follower.is_stale(shard):
            raise refusal("stale")
        admit(commands, len(self._outcomes), MAX_PENDING, "pending")
        request = _Request(self._outcomes, len(commands))
        try:
            for command, wanted in zip(commands, awaited, strict=True):
                request.expect(command, wanted)
            self._submit(shard, request)
            return await request.results(self._timeout_s)
        finally:
            request.release()

    def expect_no_lag(self, shards: Sequence[str]) -> None:
        """Raises -1008, with their names, if some of these lag."""
        lagging = [shard for shard in shards if self._follower.lags(shard)]
        if lagging:
            raise ApiError(503, -1008, f"Nothing was written, as {', '.join(lagging)} lags.")

    async def write(self, shard: str, message: Message, deadline_us: int) -> None:
        """Append a message that nobody answers, such as one for a halted shard.

        Raises as `run` does; after -1007 it may yet be appended.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def done(error: ApiError | None = None) -> None:
            if written.done():
                return
            if error is None:
                written.set_result(None)
            else:
                written.set_exception(error)

        self._publisher.submit(shard, [message], deadline_us, done, done)
        try:
            async with asyncio.timeout(self._timeout_s):
                await written
        except TimeoutError:
            raise errors.outcome_unknown() from None

    async def tell(
        self, shards: Sequence[str], message: Message, deadline_us: int
    ) -> tuple[Seen, ...]:
        """Append a message without an identity to each of the shards, and read it again.

        Where their outboxes tell it; shards that did not in time are missing. Raises -1008 before
        anything is appended if one of them lags.
        """
        self.expect_no_lag(shards)
        told: dict[str, Seen] = {}
        complete = asyncio.Event()

        def look(shard: str, record: Record) -> None:
            if shard in shards and message in record.messages:
                told.setdefault(shard, Seen(shard, record.cseq, record.time_us, message))
                if len(told) == len(shards):
                    complete.set()

        with self._follower.watched(look), suppress(TimeoutError):
            writes = [self.write(shard, message, deadline_us) for shard in shards]
            await asyncio.gather(*writes, return_exceptions=True)
            async with asyncio.timeout(self._timeout_s):
                await complete.wait()
        return tuple(told.values())

    def _submit(self, shard: str, request: "_Request") -> None:
        """Send what no equal request has sent."""
        fresh = [each for each in request.waits if not each.known]
        if not fresh:
            return

        def fail(error: ApiError) -> None:
            for each in fresh:
                each.pending.end(error)

        commands = [each.command for each in fresh]
        self._publisher.submit(shard, commands, commands[0].deadline_us, fail)


@dataclass(slots=True)
class _Wait:
    """For one command; `known`: an equal request has sent it."""

    command: Command
    pending: Pending
    known: bool
    done: Done


class _Request:
    """The commands of one request, and what became of them so far.

    Their number is known from the start: the first may have a result before the last is expected.
    """

    def __init__(self, outcomes: Outcomes, commands: int) -> None:
        self.waits: list[_Wait] = []
        self._outcomes = outcomes
        self._results: list[Answer | ApiError | None] = [None] * commands
        self._ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def expect(self, command: Command, awaited: Awaited) -> None:
        """Wait for one more command."""
        done = partial(self._done, len(self.waits))
        pending, known = self._outcomes.expect(command.command_id, awaited, done)
        self.waits.append(_Wait(command, pending, known, done))

    async def results(self, timeout_s: float) -> list[Answer | ApiError]:
        """A result for each command: -1007 for those that have none in time."""
        if buggify("no time to wait"):
            timeout_s = 0.0
        # One timer and one future for all, whatever they are: this runs for every order.
        timer = asyncio.get_running_loop().call_later(timeout_s, self._end)
        try:
            if None in self._results:
                await self._ended
        finally:
            timer.cancel()
        return [
            _judged(result or errors.outcome_unknown(), known=wait.known)
            for result, wait in zip(self._results, self.waits, strict=True)
        ]

    def release(self) -> None:
        """Wait no more."""
        for each in self.waits:
            self._outcomes.release(each.pending, each.done)

    def _done(self, index: int, result: Answer | ApiError) -> None:
        self._results[index] = result
        if None not in self._results:
            self._end()

    def _end(self) -> None:
        if not self._ended.done():
            self._ended.set_result(None)


def _judged(result: Answer | ApiError, *, known: bool) -> Answer | ApiError:
    if isinstance(result, ApiError):
        return result
    if isinstance(result.last, CommandExpired):
        return errors.outside_recv_window()
    if isinstance(result.last, CommandFaulted):
        return errors.unknown_error()
    return replace(result, repeated=True) if known else result
