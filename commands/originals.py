"""Finds in an outbox the records that a command caused before, for a client who asks again."""

from collections.abc import AsyncIterator, Awaitable, Callable

from infra.buggify import buggify
from infra.log import LogRecord
from schemas.record import decode_envelope
from schemas.topics import outbox

CHUNK_RECORDS = 500

Scan = Callable[[str, int, int, int], Awaitable[list[LogRecord]]]
"""Of a topic and partition: the records from an offset up to, without, another."""


class OriginalRecords:
    """Reads outboxes from a cause on.

    A leader that restarts repeats records, and one that was replaced without knowing it delivers
    copies late, between its successor's. What holds all the same: each record first stands behind
    the first of its predecessor, since whoever wrote it had written or read that one.
    """

    def __init__(self, scan: Scan) -> None:
        self._scan = scan

    async def read(self, shard: str, cause: int, before: int) -> AsyncIterator[LogRecord]:
        """The shard's records from the first with `cause` on, of those before offset `before`.

        Each comes once, in the order of their sequence, however often it was written.
        """
        topic, partition = outbox(shard)
        start, last = before, 0
        while True:
            # From the cause before on, lest the first of several records of `cause` be missed.
            start = await self._find(topic, partition, cause - 1, start) if cause > 1 else 0
            async for stored in self._stored(topic, partition, start, before):
                envelope = decode_envelope(stored.value)
                last = last or envelope.cseq - 1
                if envelope.cseq > last + 1:
                    # Late copies end here: what follows on them first stands before them.
                    assert start > max(cause - 2, 0), f"{topic}.{partition} must have no gap"
                    break
                if stored.offset == before:
                    return
                if envelope.cseq == last + 1:
                    last = envelope.cseq
                    if envelope.cause >= cause:
                        yield stored

    async def _stored(
        self, topic: str, partition: int, start: int, last: int
    ) -> AsyncIterator[LogRecord]:
        """The records of [start, last]."""
        while start <= last:
            chunk = await self._scan(topic, partition, start, min(start + _chunk(), last + 1))
            assert chunk, f"{topic}.{partition} must keep all its records"
            for stored in chunk:
                yield stored
            start = chunk[-1].offset + 1

    async def _find(self, topic: str, partition: int, cause: int, before: int) -> int:
        """The offset of a record with `cause`, which first stands before offset `before`.

        Most are asked for soon, so that little was repeated or split since. Else: behind a record
        with a greater cause it need not be looked for; behind one with a smaller it may stand
        before all the same, if that is a late copy. It is at least at `cause` - 1, and exactly
        there where nothing was ever repeated or split.
        """
        # Each input in between has a record in between.
        between = await self._cause_at(topic, partition, before) - cause - 1
        stop = before - max(0, between)
        for stored in await self._scan(topic, partition, max(cause - 1, stop - _chunk()), stop):
            if decode_envelope(stored.value).cause == cause:
                return stored.offset
        low, high, middle = cause - 1, before, cause - 1
        while (found := await self._cause_at(topic, partition, middle)) != cause:
            low, high = (low, middle) if found > cause else (middle + 1, high)
            if low < high:
                middle = (low + high) // 2
            else:
                low, middle = cause - 1, await self._back(topic, partition, cause, high)
        return middle

    async def _back(self, topic: str, partition: int, cause: int, before: int) -> int:
        """The offset of a record in front of `before` that has `cause` or a greater one.

        Of those in the first chunk that holds any, going back over late copies, the first.
        """
        while before >= cause:
            start = max(cause - 1, before - _chunk())
            for stored in await self._scan(topic, partition, start, before):
                if decode_envelope(stored.value).cause >= cause:
                    return stored.offset
            before = start
        raise AssertionError(f"{topic}.{partition} must hold a record of cause {cause}")

    async def _cause_at(self, topic: str, partition: int, offset: int) -> int:
        (stored,) = await self._scan(topic, partition, offset, offset + 1)
        return decode_envelope(stored.value).cause


def _chunk() -> int:
    """How many records to read at once."""
    return 1 if buggify("small chunk") else CHUNK_RECORDS
