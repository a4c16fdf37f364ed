"""What an auditor reads: records by position, and a manifest of what the log held when."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from infra.log import Log, LogRecord, Mark, Partition
from infra.refusal import Refusal
from schemas.topics import catalogue, inbox, shards

NO_END = 1 << 62
"""An offset that no record has."""


class BadArchive(Refusal):
    """What was to be read is not there or not readable; the text is one sentence."""


class Progress(Protocol):
    """Who is told how many more records were handled."""

    def advance(self, records: int) -> None:
        """So many more."""


@dataclass(slots=True, frozen=True)
class Bounds:
    """Offsets of a partition: the first kept, the end at first sight, the end at second sight.

    All partitions were looked at once, then all again: a record below `settled` was caused by an
    input below its own partition's `end`. Between the two it may only have been cut off.
    """

    first: int
    settled: int
    end: int


@dataclass(slots=True, frozen=True)
class Manifest:
    """The partition counts, and of each partition its bounds and its committed mark, if any."""

    ledger_partitions: int
    matching_partitions: int
    bounds: Mapping[Partition, Bounds]
    marks: Mapping[Partition, Mark]

    def shards(self) -> list[str]:
        """The ids of all shards."""
        return shards(self.ledger_partitions, self.matching_partitions)

    def records(self) -> int:
        """How many records the log has given offsets to, all partitions together."""
        return sum(bounds.end for bounds in self.bounds.values())


class Source(Protocol):
    """Where records are read from. It can be pickled, so that another process reads them too."""

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        """The records of [start, stop), in order. Raises `BadArchive`."""


@dataclass(slots=True, frozen=True)
class Archive:
    """What the manifest says there is, and where to read it.

    A `growing` log may have more by now, which is not read. A copy must have nothing more.
    """

    source: Source
    manifest: Manifest
    growing: bool = False

    def records(self, place: Partition, start: int, stop: int) -> Iterator[LogRecord]:
        """The records of [start, stop), no further than the manifest's end."""
        return self.source.records(*place, start, min(stop, self.end(place)))

    def everything(self, place: Partition) -> Iterator[LogRecord]:
        """All records from the first on; of a copy, those behind the manifest's end as well."""
        stop = self.end(place) if self.growing else NO_END
        return self.source.records(*place, self.manifest.bounds[place].first, stop)

    def end(self, place: Partition) -> int:
        """The offset behind the last record."""
        return self.manifest.bounds[place].end

    def mark(self, shard: str) -> Mark | None:
        """Up to where the shard had done with its inbox, and what its input was there."""
        return self.manifest.marks.get(inbox(shard))


def capture(log: Log, ledger_partitions: int, matching_partitions: int) -> Manifest:
    """The manifest of a log that may be growing: marks, then all ends, then all ends again."""
    places = [
        (topic.name, partition)
        for topic in catalogue(ledger_partitions, matching_partitions)
        for partition in range(topic.partitions)
    ]
    found = {
        place: log.committed(*place)
        for place in map(inbox, shards(ledger_partitions, matching_partitions))
    }
    marks = {place: mark for place, mark in found.items() if mark is not None}
    settled = {place: log.ends(*place) for place in places}
    bounds = {}
    for place in places:
        first, shown = settled[place]
        end = log.ends(*place)[1]
        # What lies before a mark was there, though a new leader may not have shown it at once.
        marked = min(marks[place].offset, end) if place in marks else 0
        bounds[place] = Bounds(first, max(shown, marked), end)
    return Manifest(ledger_partitions, matching_partitions, bounds, marks)


def place_name(place: Partition) -> str:
    """How a partition is named to people, such as "ledger.in.0"."""
    return f"{place[0]}.{place[1]}"


def parse_place(name: str) -> Partition:
    """The partition that "ledger.in.0" names; `ValueError` for any other text."""
    topic, _, partition = name.rpartition(".")
    if not (topic and _is_number(partition)):
        raise ValueError(f"a partition such as ledger.in.0 was wanted, was {name!r}")
    return topic, int(partition)


def position_name(place: Partition, offset: int) -> str:
    """How a position is named to people, such as "ledger.in.0@17"."""
    return f"{place_name(place)}@{offset}"


def parse_position(text: str) -> tuple[Partition, int]:
    """The partition and offset that "ledger.in.0@17" names; `BadArchive` for any other text."""
    name, _, offset = text.partition("@")
    try:
        if not _is_number(offset):
            raise ValueError(offset)
        return parse_place(name), int(offset)
    except ValueError as error:
        words = f"a position such as ledger.in.0@17 was wanted, was {text!r}"
        raise BadArchive(words) from error


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 18
