"""What the exchange asks of a replicated log: positions, records and the Log a host is given."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

Partition = tuple[str, int]
"""A topic and the number of one of its partitions."""

SHOWN_WITHIN_S = 5.0
"""For so long a new leader may not know yet that its followers have what its predecessor showed."""


@dataclass(slots=True)
class LogRecord:
    """One record as it stands in the log. `timestamp_ms` is the log's own, -1 if it has none."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    value: bytes | None


@dataclass(slots=True, frozen=True)
class Mark:
    """A committed position: the next input offset to act upon, and what the state was there."""

    offset: int
    metadata: str


class LogFailure(Exception):
    """The log refused or lost something for good; the process must end and start again."""


class Log(Protocol):
    """One process's handle on the log: one producer, one reader of assigned partitions."""

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that is kept and the offset the next record will get."""

    def committed(self, topic: str, partition: int) -> Mark | None:
        """The last committed mark of the shard that reads this partition."""

    def commit(self, topic: str, partition: int, mark: Mark) -> None:
        """Commit a mark; returns once it is stored. Raises `LogFailure`."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read this partition from `offset` on, whether or not it was read before."""

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        """Up to `max_records` of the sought partitions, in order in each; empty on timeout."""

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        """The records of [start, stop), which are there, apart from what `read` returns."""

    def produce(
        self,
        topic: str,
        partition: int,
        value: bytes,
        *,
        time_us: int | None = None,
        acked: Callable[[], None] | None = None,
    ) -> None:
        """Append a record; `acked` is called by a later `poll` or `flush` once it is replicated.

        `time_us` becomes the record's timestamp (outside records); None leaves it to the log.
        """

    def poll(self) -> None:
        """Call `acked` for what was replicated since; `LogFailure` if something never will be."""

    def flush(self, timeout_s: float) -> bool:
        """Wait for all that was produced; whether all is replicated."""

    def close(self) -> None:
        """Give the handle back without waiting."""


class PausableLog(Log, Protocol):
    """A handle that can also stop reading a partition for a while, as shadows need."""

    def leave(self, topic: str, partition: int) -> None:
        """Read this partition no more, until it is sought again."""
