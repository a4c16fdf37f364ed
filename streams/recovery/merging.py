"""The log and earlier copies of it as one: of each partition the longest that tells the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest

from infra.log import LogRecord, Partition
from streams.audit.archive import (
    Archive,
    Bounds,
    Manifest,
    Source,
    place_name,
    position_name,
)


@dataclass(slots=True, frozen=True)
class MergedSource:
    """Reads each partition where it is longest."""

    sources: Mapping[Partition, Source]

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        """The records of [start, stop), in order. Raises `BadArchive`."""
        return self.sources[(topic, partition)].records(topic, partition, start, stop)


@dataclass(slots=True, frozen=True)
class Merged:
    """The whole, how many records of a partition came back, and which copies are not used."""

    archive: Archive
    restored: dict[Partition, int]
    refused: list[str]

    def sentences(self) -> list[str]:
        """What an operator should know of it."""
        restored = self.restored.items()
        back = [f"{place_name(p)} gets {n:,} lost records back from a copy" for p, n in restored]
        return [*back, *self.refused]


def merged(log: Archive, copies: Sequence[Archive]) -> Merged:
    """The log with what only a copy has behind its ends.

    A copy whose records are not the log's, up to where both reach, is not used for that
    partition, nor is one that lacks records which its manifest tells of. Raises `BadArchive`
    where a copy cannot be read.
    """
    sources: dict[Partition, Source] = dict.fromkeys(log.manifest.bounds, log.source)
    bounds = dict(log.manifest.bounds)
    refused = []
    for copy in copies:
        if copy.growing:
            refused.append(
                "a copy's last export did not end: what it has behind its manifest is not used"
            )
        for place, copied in copy.manifest.bounds.items():
            if place not in bounds or copied.end <= bounds[place].end:
                continue
            lack = _lack(copy, place)
            if lack:
                refused.append(lack)
                continue
            known = replace(log, source=MergedSource(sources), manifest=_with(log, bounds))
            if not _same_until(known, copy, place, bounds[place].end):
                refused.append(f"a copy tells another {place_name(place)}: it is not used for that")
                continue
            sources[place] = copy.source
            bounds[place] = Bounds(copied.first, copied.end, copied.end)
    whole = replace(log, source=MergedSource(sources), manifest=_with(log, bounds))
    ends = {place: known.end for place, known in log.manifest.bounds.items()}
    restored = {p: known.end - ends[p] for p, known in bounds.items() if known.end > ends[p]}
    return Merged(whole, restored, refused)


def _with(log: Archive, bounds: dict[Partition, Bounds]) -> Manifest:
    return replace(log.manifest, bounds=bounds)


def _lack(copy: Archive, place: Partition) -> str:
    """What is missing in the copy of this partition, in a sentence; nothing if it is whole."""
    wanted, end = 0, copy.end(place)
    for record in copy.records(place, 0, end):
        if record.offset != wanted:
            break
        wanted += 1
    if wanted == end:
        return ""
    missing = position_name(place, wanted)
    return (
        f"a copy must hold {end:,} records up to its end, lacks {missing}: it is not used for that"
    )


def _same_until(log: Archive, copy: Archive, place: Partition, end: int) -> bool:
    pairs = zip_longest(log.records(place, 0, end), copy.records(place, 0, end))
    return all(a and b and (a.offset, a.value) == (b.offset, b.value) for a, b in pairs)
