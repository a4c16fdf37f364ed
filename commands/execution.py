"""One command's way: into the log through the publisher, and back as its outcome."""

import asyncio
from dataclasses import replace

from commands.follower import Follower
from commands.outcomes import Answer, Awaited, Outcomes, Pending
from commands.publisher import Publisher
from domain.decider import Command, Message
from domain.protocol import CommandExpired, CommandFaulted
from infra.http import errors
from infra.http.errors import ApiError

ANSWER_TIMEOUT_S = 5.0


class Execution:
    """Runs commands of one source and waits until the log tells their outcome."""

    def __init__(
        self,
        publisher: Publisher,
        outcomes: Outcomes,
        follower: Follower,
        timeout_s: float = ANSWER_TIMEOUT_S,
    ) -> None:
        self._publisher = publisher
        self._outcomes = outcomes
        self._follower = follower
        self._timeout_s = timeout_s

    async def run(self, shard: str, command: Command, awaited: Awaited) -> Answer:
        """The outcome of the command; of its first run if it ran before, with `repeated` set.

        Raises -1008 if the shard lags or too much waits, -1021 if the command came too late, -1007
        if no outcome shows in time (it may have one later), -1000 if planning it failed.
        """
        if self._follower.is_stale(shard):
            raise errors.overloaded()
        pending, known = self._outcomes.expect(command.command_id, awaited)
        try:
            if not known:
                self._publisher.submit(shard, command, command.deadline_us, pending.fail)
            answer = await self._wait(pending)
        finally:
            self._outcomes.release(pending)
        if isinstance(answer.last, CommandExpired):
            raise errors.outside_recv_window()
        if isinstance(answer.last, CommandFaulted):
            raise errors.unknown_error()
        return replace(answer, repeated=True) if known else answer

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

        self._publisher.submit(shard, message, deadline_us, done, done)
        try:
            async with asyncio.timeout(self._timeout_s):
                await written
        except TimeoutError:
            raise errors.outcome_unknown() from None

    async def _wait(self, pending: Pending) -> Answer:
        try:
            async with asyncio.timeout(self._timeout_s):
                return await asyncio.shield(pending.future)
        except TimeoutError:
            raise errors.outcome_unknown() from None
