"""Outboxes that hold records without messages, for who scans them."""

import asyncio

from infra.log import LogRecord
from projections.query.freshness import Partition
from schemas.record import encode_record


class Outboxes:
    """The log behind views. Unless told, an outbox has the sequences from 1 on, without copies."""

    def __init__(self) -> None:
        self.cseqs: dict[Partition, list[int]] = {}
        """The sequence at each offset; 0 for a record that cannot be decoded."""
        self.scans: list[tuple[int, int]] = []
        """What was asked for: [start, stop) each."""
        self.failure: Exception | None = None
        self.hangs = False

    async def scan(self, topic: str, partition: int, start: int, stop: int) -> list[LogRecord]:
        await asyncio.sleep(0)
        self.scans.append((start, stop))
        if self.hangs:
            await asyncio.sleep(3_600)
        if self.failure is not None:
            raise self.failure
        cseqs = self.cseqs.get((topic, partition), range(1, stop + 1))
        return [LogRecord(topic, partition, n, -1, _value(cseqs[n])) for n in range(start, stop)]


def _value(cseq: int) -> bytes:
    if cseq == 0:
        return b""
    return encode_record(
        prev=b"",
        cause_offset=0,
        src="L0",
        cseq=cseq,
        cause=cseq,
        time_us=0,
        input_hash=b"",
        messages=[],
    )
