"""What order entry and operators share in one process: the log followed, and ways into it."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from commands.execution import Execution
from commands.follower import Follower
from commands.health import Health
from commands.originals import OriginalRecords
from commands.outcomes import Outcomes
from commands.publisher import Publisher
from infra.appender import Appender
from infra.clock import Clock
from infra.http import errors
from infra.log import Log, LogFailure, LogRecord, Partition
from infra.settings import Settings
from infra.tail import Tail
from schemas.topics import outbox, shards

PATIENCE_S = 2.0
"""How long a sender with an unknown key may wait for it to become known."""


class Following(Protocol):
    """What brings outboxes to a loop: `infra.tail.Tail`, or a simulation."""

    def start(self) -> None:
        """Begin to read; to be called in the loop that gets the records."""

    async def stop(self) -> None:
        """End reading and give the handles back."""

    async def end_offset(self, topic: str, partition: int) -> int:
        """The offset the next record will get, asked of the log after this call began."""

    async def scan(self, topic: str, partition: int, start: int, stop: int) -> list[LogRecord]:
        """The records of [start, stop), apart from what is being followed."""


@dataclass(slots=True)
class WriteSide:
    """Everything that order entry and operators share. `caught_up` is set once the log is known."""

    tails: tuple[Following, ...]
    caught_up: asyncio.Event
    follower: Follower
    health: Health
    orders: Execution
    operations: Execution

    async def catch_up_accounts(self) -> None:
        """Wait until all keys are known that the log has now; -1008 (503) if that lasts.

        Those who wait at once share their questions to the log, as `Tail.end_offset` says.
        """
        accounts = [shard for shard in self.follower.shards() if shard[0] == "A"]
        try:
            async with asyncio.timeout(PATIENCE_S):
                for shard in accounts:
                    end = await self.tails[0].end_offset(*outbox(shard))
                    await self.follower.reach(shard, end)
        except (TimeoutError, LogFailure):
            raise errors.overloaded() from None

    async def stop(self) -> None:
        """Follow the log no more."""
        for tail in self.tails:
            await tail.stop()


async def open_write_side(
    settings: Settings,
    open_log: Callable[[], Log],
    appender: Appender,
    clock: Clock,
    fail: Callable[[Exception], None],
    *,
    open_matching: Callable[[], Log] | None,
    follow: Callable[..., Following] = Tail,
) -> WriteSide:
    """Follow the outboxes: accounts from the start, ledgers and matching from their ends.

    Matching is followed through `open_matching` apart; without it, no command may wait for it.
    `fail` is called when that cannot go on: the process must end. `follow` is called as `Tail` is.
    """
    names = shards(settings.ledger_partitions, settings.matching_partitions)
    if open_matching is None:
        names = [shard for shard in names if shard[0] != "M"]
    ends = await asyncio.to_thread(_ends, open_log, names)
    outcomes = Outcomes(lambda *place: originals.read(*place))
    # What matching did before is nobody's concern here.
    follower = Follower(outcomes, clock, {s: 0 if s[0] == "M" else ends[s] for s in names})
    caught_up = asyncio.Event()
    take = _taking(follower, caught_up, fail)
    tail = follow(open_log, _starts(ends, "AL"), take, fail)
    tails = [tail]
    if open_matching is not None:
        tails.append(follow(open_matching, _starts(ends, "M"), take, fail))
    originals = OriginalRecords(tail.scan)
    for each in tails:
        each.start()
    publisher = Publisher(appender, clock, "gw")
    return WriteSide(
        tails=tuple(tails),
        caught_up=caught_up,
        follower=follower,
        health=Health(follower, publisher),
        orders=Execution(publisher, outcomes, follower),
        operations=Execution(Publisher(appender, clock, "operator"), outcomes, follower),
    )


def _ends(open_log: Callable[[], Log], names: Sequence[str]) -> dict[str, int]:
    log = open_log()
    ends = {shard: log.ends(*outbox(shard))[1] for shard in names}
    log.close()
    return ends


def _starts(ends: Mapping[str, int], families: str) -> dict[Partition, int]:
    """Where to read each outbox from: the last record of a ledger tells its log time."""
    return {
        outbox(shard): 0 if shard[0] == "A" else max(0, end - 1)
        for shard, end in ends.items()
        if shard[0] in families
    }


def _taking(
    follower: Follower, caught_up: asyncio.Event, fail: Callable[[Exception], None]
) -> Callable[[Sequence[LogRecord]], None]:
    def take(records: Sequence[LogRecord]) -> None:
        try:
            follower.take(records)
            if not caught_up.is_set() and follower.is_caught_up():
                caught_up.set()
        except Exception as error:
            fail(error)

    return take
