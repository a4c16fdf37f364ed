"""The log and earlier copies of it as one: of each partition the longest that tells the same."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from infra.log import LogRecord
from streams.audit.archive import Archive, Bounds, Manifest, Place, Source, place_name


@dataclass(slots=True, frozen=True)
class MergedSource:
    """Reads each partition where it is longest."""

    sources: Mapping[Place, Source]

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        """The records of [start, stop), in order. Raises `BadArchive`."""
        return self.sources[(topic, partition)].records(topic, partition, start, stop)


def merged(log: Archive, copies: Sequence[Archive]) -> tuple[Archive, list[str]]:
    """The log with what only a copy has behind its ends, and a sentence on each such partition.

    A copy whose records are not the log's, up to where both reach, is not used for that
    partition. Raises `BadArchive` where a copy cannot be read.
    """
    sources: dict[Place, Source] = dict.fromkeys(log.manifest.bounds, log.source)
    bounds = dict(log.manifest.bounds)
    told = []
    for copy in copies:
        for place, copied in copy.manifest.bounds.items():
            if place not in bounds or copied.end <= bounds[place].end:
                continue
            known = replace(log, source=MergedSource(sources), manifest=_with(log, bounds))
            if not _same_until(known, copy, place, bounds[place].end):
                told.append(f"a copy tells another {place_name(place)}, and is not used for it")
                continue
            more = copied.end - bounds[place].end
            told.append(f"{place_name(place)} gets {more:,} lost records back from a copy")
            sources[place] = copy.source
            bounds[place] = Bounds(copied.first, copied.end, copied.end)
    return replace(log, source=MergedSource(sources), manifest=_with(log, bounds)), told


def _with(log: Archive, bounds: dict[Place, Bounds]) -> Manifest:
    return replace(log.manifest, bounds=bounds)


def _same_until(log: Archive, copy: Archive, place: Place, end: int) -> bool:
    pairs = zip(log.records(place, 0, end), copy.records(place, 0, end), strict=False)
    return all((a.offset, a.value) == (b.offset, b.value) for a, b in pairs)
