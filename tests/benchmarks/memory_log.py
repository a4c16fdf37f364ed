"""A log in memory that acknowledges at once: what a host costs when the log costs nothing."""

from collections.abc import Callable, Iterator

from infra.log import LogRecord, Mark


class MemoryLog:
    """`infra.log.Log` with one partition to read; what is produced is kept in `produced`."""

    def __init__(self, topic: str, partition: int, values: list[bytes]) -> None:
        self.produced: list[tuple[str, int, bytes]] = []
        self.mark: Mark | None = None
        self._topic, self._partition = topic, partition
        self._records: list[LogRecord] = []
        self._position = 0
        self._acks: list[Callable[[], None]] = []
        self.extend(values)

    def extend(self, values: list[bytes]) -> None:
        """Append to what is read."""
        for offset, value in enumerate(values, len(self._records)):
            self._records.append(LogRecord(self._topic, self._partition, offset, -1, value))

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, len(self._records)

    def committed(self, topic: str, partition: int) -> Mark | None:
        return self.mark

    def commit(self, topic: str, partition: int, mark: Mark) -> None:
        self.mark = mark

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self._position = offset

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        records = self._records[self._position : self._position + max_records]
        self._position += len(records)
        return records

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        return iter(self._records[start:stop])

    def produce(
        self,
        topic: str,
        partition: int,
        value: bytes,
        *,
        time_us: int | None = None,
        acked: Callable[[], None] | None = None,
    ) -> None:
        self.produced.append((topic, partition, value))
        if acked is not None:
            self._acks.append(acked)

    def poll(self) -> None:
        acks, self._acks = self._acks, []
        for acked in acks:
            acked()

    def flush(self, timeout_s: float) -> bool:
        self.poll()
        return True

    def close(self) -> None:
        self._acks.clear()
