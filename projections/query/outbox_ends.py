"""What a view must have, so that it has all that stands in an outbox now; copies may end that."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence

from infra.http.errors import ApiError
from infra.log import LogFailure, LogRecord
from projections.layout import NOWHERE, Position
from projections.query.freshness import Partition, ReadPositions, Target
from schemas.record import UndecodableRecord, decode_envelope

SILENT_S = 1.5
"""An outbox that has not grown for so long is silent: a shard that runs appends every second."""

SCANNED_AT_ONCE = 1_000
MOST_SCANNED = 10_000
"""Beyond the view's position: one that is further behind has to get nearer first."""

Scan = Callable[[str, int, int, int], Awaitable[Sequence[LogRecord]]]
"""The records of a partition in [start, stop). Raises `LogFailure`."""


class OutboxEnds:
    """Targets at the ends of outboxes.

    A shard that starts again may write its last records once more. Views drop such copies, so
    that none ever stands at their offsets; but the next record, within a second, lies beyond them.
    Only where the shard halts it does not come, and then the records behind a view are looked
    at, once for each end: a view that lacks none of them has all. `read_positions` tells where one
    stands.
    """

    def __init__(self, scan: Scan, read_positions: ReadPositions) -> None:
        self._scan = scan
        self._read_positions = read_positions
        self._ends: dict[Partition, _End] = {}

    async def target(self, partition: Partition, end: int, give_up_s: float) -> Target:
        """What a view has once it has all that stands before offset `end`.

        A silent outbox that cannot be looked at until loop time `give_up_s` is taken for one
        without copies.
        """
        now_s = asyncio.get_running_loop().time()
        known = self._ends.get(partition)
        if known is None or known.offset < end:
            known = self._ends[partition] = _End(end, now_s)
        if known.offset == end and now_s >= known.since_s + SILENT_S:
            await self._learn(partition, known, give_up_s)
            if known.cseq is not None:
                return Target(cseq=known.cseq)
        return Target(offset=end - 1)

    async def _learn(self, partition: Partition, end: "_End", give_up_s: float) -> None:
        """Find the end's sequence; all who ask meanwhile share one look, and none ends it."""
        if end.cseq is not None:
            return
        if end.look is None or end.look.done():
            end.look = asyncio.create_task(self._look(partition, end))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(give_up_s):
                await asyncio.shield(end.look)

    async def _look(self, partition: Partition, end: "_End") -> None:
        """Nothing is found while view or log is away, and where more than copies is in the way."""
        try:
            position = (await self._read_positions()).get(partition, NOWHERE)
            end.cseq = await self._last_following(partition, position, end.offset)
        except (ApiError, LogFailure, UndecodableRecord):
            return

    async def _last_following(
        self, partition: Partition, position: Position, end: int
    ) -> int | None:
        """The last sequence before offset `end`, of records that follow the position without a gap.

        None if the position is far away or of another log, or there are records beyond a gap.
        """
        start = max(0, position.offset)
        if not start < end <= start + MOST_SCANNED:
            return None
        last = highest = position.cseq
        for begin in range(start, end, SCANNED_AT_ONCE):
            stop = min(begin + SCANNED_AT_ONCE, end)
            for stored in await self._scan(*partition, begin, stop):
                cseq = decode_envelope(stored.value).cseq
                if stored.offset == position.offset and cseq != position.cseq:
                    return None
                highest = max(highest, cseq)
                if cseq == last + 1:
                    last = cseq
        return last if last == highest else None


class _End:
    """An outbox's end, and the loop time since when it is known. `cseq` is None until found."""

    __slots__ = ("cseq", "look", "offset", "since_s")

    def __init__(self, offset: int, since_s: float) -> None:
        self.offset = offset
        self.since_s = since_s
        self.cseq: int | None = None
        self.look: asyncio.Task[None] | None = None
