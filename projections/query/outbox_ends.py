"""What a view must have, so that it has all that stands in an outbox now; copies may end that."""

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from functools import partial
from threading import Thread

from infra.http.errors import ApiError
from infra.log import Log, LogFailure, LogRecord, Partition
from projections.layout import NOWHERE, Position
from projections.query.freshness import ReadPositions, Target
from schemas.record import UndecodableRecord, decode_envelope

SILENT_S = 1.5
"""An outbox that has not grown for so long is silent: a shard that runs appends every second."""

MOST_SCANNED = 10_000
MOST_BYTES = 16 * 1024 * 1024
"""Beyond the view's position: one that is further behind has to get nearer first."""

LOOK_S = 10.0
"""A look that takes longer is given up, and the next read begins another one."""


class OutboxEnds:
    """Targets at the ends of outboxes.

    A shard that starts again may write its last records once more. Views drop such copies, so
    that none ever stands at their offsets; but the next record, within a second, lies beyond them.
    Only where the shard halts it does not come, and then the records behind a view are looked
    at, once for each end and position: a view that lacks none of them has all. `open_log` makes
    the handle that reads them, `read_positions` tells where a view stands.
    """

    def __init__(self, open_log: Callable[[], Log], read_positions: ReadPositions) -> None:
        self._open_log = open_log
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
            if known.target is None:
                await self._learn(partition, known, give_up_s)
            if known.target is not None:
                return known.target
        return Target(offset=end - 1)

    async def _learn(self, partition: Partition, end: "_End", give_up_s: float) -> None:
        """Find the end's target; all who ask meanwhile share one look, and none ends it."""
        if end.look is None or end.look.done():
            end.look = asyncio.create_task(self._look(partition, end))
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(give_up_s):
                await asyncio.shield(end.look)

    async def _look(self, partition: Partition, end: "_End") -> None:
        """Nothing is found while view or log is away, and where more than copies is in the way."""
        with contextlib.suppress(ApiError, LogFailure, TimeoutError):
            async with asyncio.timeout(LOOK_S):
                position = (await self._read_positions()).get(partition, NOWHERE)
                if position.offset >= end.offset - 1:
                    end.target = Target(offset=end.offset - 1)
                elif position != end.lacking:
                    cseq = await self._last_following(partition, position, end.offset)
                    if cseq is None:
                        end.lacking = position
                    else:
                        end.target = Target(cseq=cseq)

    async def _last_following(
        self, partition: Partition, position: Position, end: int
    ) -> int | None:
        """The last sequence before offset `end`, of records that follow the position without a gap.

        None if the position is far away or of another log, or there are records beyond a gap.
        """
        start = max(0, position.offset)
        if not start < end <= start + MOST_SCANNED:
            return None
        return await _in_thread(partial(self._scan, partition, position, start, end))

    def _scan(self, partition: Partition, position: Position, start: int, end: int) -> int | None:
        with contextlib.closing(self._open_log()) as log:
            return _last_in(log.scan(*partition, start, end), position)


class _End:
    """An outbox's end, and the loop time since when it is known.

    `target` is None until found, `lacking` the last position from which it was not.
    """

    __slots__ = ("lacking", "look", "offset", "since_s", "target")

    def __init__(self, offset: int, since_s: float) -> None:
        self.offset = offset
        self.since_s = since_s
        self.target: Target | None = None
        self.lacking: Position | None = None
        self.look: asyncio.Task[None] | None = None


def _last_in(records: Iterable[LogRecord], position: Position) -> int | None:
    """What `OutboxEnds._last_following` says of these records, the first that of the position."""
    last = highest = position.cseq
    size = 0
    for stored in records:
        size += len(stored.value or b"")
        try:
            cseq = decode_envelope(stored.value).cseq
        except UndecodableRecord:
            return None
        is_other = stored.offset == position.offset and cseq != position.cseq
        if is_other or size > MOST_BYTES:
            return None
        highest = max(highest, cseq)
        if cseq == last + 1:
            last = cseq
    return last if last == highest else None


async def _in_thread(work: Callable[[], int | None]) -> int | None:
    """What `work` returns or raises, in a thread of its own.

    While a broker hangs a scan does, too: so it holds up no other question to the log, nor the end
    of this process.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[int | None] = loop.create_future()

    def settle(found: int | None, error: Exception | None) -> None:
        if answer.done():
            return
        if error is None:
            answer.set_result(found)
        else:
            answer.set_exception(error)

    def run() -> None:
        found, error = None, None
        try:
            found = work()
        except Exception as raised:
            error = raised
        # The loop may have ended meanwhile.
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(settle, found, error)

    Thread(target=run, name="outbox-end", daemon=True).start()
    return await answer
