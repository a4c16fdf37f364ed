"""Finds in an outbox the records that a command caused before, for a client who asks again."""

from collections.abc import AsyncIterator, Awaitable, Callable

from infra.log import LogRecord
from schemas.record import Record, decode_record
from schemas.topics import outbox

CHUNK_RECORDS = 500

Scan = Callable[[str, int, int, int], Awaitable[list[LogRecord]]]
"""Of a topic and partition: the records from an offset up to, without, another."""


class OriginalRecords:
    """Reads outboxes from a cause on."""

    def __init__(self, scan: Scan) -> None:
        self._scan = scan

    async def read(self, shard: str, cause: int, before: int) -> AsyncIterator[Record]:
        """The shard's records from the first with `cause` on, of those before offset `before`.

        Records that a restart repeated come once.
        """
        topic, partition = outbox(shard)
        offset = await self._find(topic, partition, cause, before)
        last = 0
        while offset < before:
            chunk = await self._scan(topic, partition, offset, min(offset + CHUNK_RECORDS, before))
            assert chunk, "an outbox keeps all its records"
            for stored in chunk:
                record = decode_record(stored.value)
                if record.cseq > last:
                    last = record.cseq
                    yield record
            offset = chunk[-1].offset + 1

    async def _find(self, topic: str, partition: int, cause: int, before: int) -> int:
        """The offset at which a record with `cause` begins.

        Along an outbox the cause grows by at most one, and falls where a restart repeated records;
        so between an offset with a smaller cause and one with a greater there is one that has it.
        It is at least `cause` - 1, and exactly that where nothing was ever repeated or split.
        """
        low, high, middle = cause - 1, before, cause - 1
        while (found := await self._cause_at(topic, partition, middle)) != cause:
            low, high = (middle, high) if found < cause else (low, middle)
            assert high - low > 1, f"{topic}.{partition} must hold a record of cause {cause}"
            middle = (low + high) // 2
        while middle > 0 and await self._cause_at(topic, partition, middle - 1) == cause:
            middle -= 1
        return middle

    async def _cause_at(self, topic: str, partition: int, offset: int) -> int:
        (stored,) = await self._scan(topic, partition, offset, offset + 1)
        return decode_record(stored.value).cause
