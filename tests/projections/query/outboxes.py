"""Outboxes that hold records without messages, for who scans them."""

import threading
from collections.abc import Iterator

from infra.log import LogRecord, Partition
from tests.streams.records import from_shard


class Outboxes:
    """The log behind views. Unless told, an outbox has the sequences from 1 on, without copies."""

    def __init__(self) -> None:
        self.cseqs: dict[Partition, list[int]] = {}
        """The sequence at each offset; 0 for a record that cannot be decoded."""
        self.scans: list[tuple[int, int]] = []
        """What was asked for: [start, stop) each."""
        self.opened = 0
        """Handles that were not given back."""
        self.failure: Exception | None = None
        self.answers = threading.Event()
        """Cleared, the log hangs."""
        self.answers.set()

    def open(self) -> "Outboxes":
        self.opened += 1
        return self

    def close(self) -> None:
        self.opened -= 1

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        self.scans.append((start, stop))
        assert self.answers.wait(30)
        if self.failure is not None:
            raise self.failure
        cseqs = self.cseqs.get((topic, partition), range(1, stop + 1))
        for offset in range(start, stop):
            yield LogRecord(topic, partition, offset, -1, _value(cseqs[offset]))


def _value(cseq: int) -> bytes:
    return from_shard(cseq, src="L0") if cseq else b""
