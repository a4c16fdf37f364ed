"""A log in memory of which only the reading half is there; it may grow while it is read."""

from collections.abc import Callable, Iterator, Mapping

from infra.log import LogRecord


class ListLog:
    def __init__(self, outboxes: Callable[[], Mapping[str, list[bytes]]]) -> None:
        self._outboxes = outboxes
        self._at: dict[str, int] = {}

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, len(self._outboxes()[topic])

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        for offset, value in enumerate(self._outboxes()[topic][start:stop], start):
            yield LogRecord(topic, partition, offset, -1, value)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self._at[topic] = offset

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        found = []
        for topic, start in self._at.items():
            values = self._outboxes()[topic][start : start + max_records]
            found += [LogRecord(topic, 0, start + n, -1, value) for n, value in enumerate(values)]
            self._at[topic] += len(values)
        return found
