"""Read-your-writes: waits until a view stands where the log stood when the request arrived."""

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from infra.http import errors
from infra.http.errors import ApiError
from infra.log import Log, Partition
from projections.layout import NOWHERE, Position
from schemas.record import UndecodableRecord, decode_envelope

PATIENCE_S = 2.0
LAST_RECORDS = 1_000
"""So many at the end of an outbox are looked at for its last sequence."""

_POSITION = re.compile(r"([a-z]{1,16})\.ev\.([0-9]{1,4})@([0-9]{1,18})\Z")


@dataclass(slots=True, frozen=True)
class Target:
    """What a view must have taken in: everything that is named here.

    `give_up_s`: the loop time until which a wait for it lasts that has begun already.
    """

    cseq: int = 0
    offset: int = -1
    time_us: int = 0
    give_up_s: float | None = None

    def met(self, position: Position) -> bool:
        """Whether a view at `position` has it."""
        return (
            position.cseq >= self.cseq
            and position.offset >= self.offset
            and position.time_us >= self.time_us
        )


def last_sequence(log: Log, topic: str, partition: int) -> int:
    """The last sequence of an outbox that a view can reach; 0 if it is empty.

    Not the offset: an outbox may end with copies, from a restart, of records that stand before
    them, or with a forged one, which nothing leads to. Raises `LogFailure`.
    """
    begin, end = log.ends(topic, partition)
    found = set()
    for stored in log.scan(topic, partition, max(begin, end - LAST_RECORDS), end):
        with contextlib.suppress(UndecodableRecord):
            found.add(decode_envelope(stored.value).cseq)
    last = min(found, default=0)
    while last + 1 in found:
        last += 1
    return last


ReadPositions = Callable[[], Awaitable[Mapping[Partition, Position]]]
"""Where a view stands now, per partition it is fed from; `ApiError` while it cannot be read."""


class PositionWatch:
    """One view's positions, read again and again while, and only while, somebody waits.

    All waiters share one reader, so that a thousand of them cost one read per `pause_s`.
    """

    def __init__(self, read: ReadPositions, pause_s: float) -> None:
        self._read = read
        self._pause_s = pause_s
        self._waiters: list[_Waiter] = []
        self._reader: asyncio.Task[None] | None = None

    async def reach(self, partition: Partition, target: Target, give_up_s: float) -> Position:
        """The view's position once it has the target; -1008 (503) after loop time `give_up_s`."""
        loop = asyncio.get_running_loop()
        waiter = _Waiter(partition, target, loop.create_future())
        self._waiters.append(waiter)
        if self._reader is None or self._reader.done():
            self._reader = loop.create_task(self._watch())
        try:
            async with asyncio.timeout_at(give_up_s):
                return await waiter.answer
        except TimeoutError:
            raise errors.view_behind() from None
        finally:
            self._waiters.remove(waiter)

    async def stop(self) -> None:
        """End the reader; who waits gets no answer any more."""
        if self._reader is not None:
            self._reader.cancel()
            await asyncio.wait([self._reader])

    async def _watch(self) -> None:
        """Read until nobody waits; a store that is away is asked again, for it may come back."""
        while self._waiters:
            positions: Mapping[Partition, Position] = {}
            with contextlib.suppress(ApiError):
                positions = await self._read()
            for waiter in self._waiters:
                waiter.look(positions)
            await asyncio.sleep(self._pause_s)


@dataclass(slots=True, eq=False)
class _Waiter:
    partition: Partition
    target: Target
    answer: asyncio.Future[Position]

    def look(self, positions: Mapping[Partition, Position]) -> None:
        position = positions.get(self.partition, NOWHERE)
        if self.target.met(position) and not self.answer.done():
            self.answer.set_result(position)


def parse_positions(text: str) -> dict[Partition, int]:
    """The sequence asked for per partition by `X-Log-Min-Position`, such as `ledger.ev.3@90211`.

    Several are separated by semicolons. Raises -1130 for anything else.
    """
    wanted: dict[Partition, int] = {}
    for part in filter(None, (each.strip() for each in text.split(";"))):
        match = _POSITION.match(part)
        if match is None:
            raise errors.invalid_data("X-Log-Min-Position")
        wanted[f"{match[1]}.ev", int(match[2])] = int(match[3])
    return wanted


def format_positions(positions: Mapping[Partition, Position]) -> str:
    """The `X-Log-Position` of what was read: sequences, in the order of topic and partition."""
    return ";".join(
        f"{topic}.{partition}@{position.cseq}"
        for (topic, partition), position in sorted(positions.items())
    )
