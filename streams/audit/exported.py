"""A log as files: a manifest, the schemas, and one Avro object container file per partition."""

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import fastavro

from infra.files import replace_text
from infra.log import LogRecord, Mark
from streams.audit.archive import (
    Archive,
    BadArchive,
    Bounds,
    Manifest,
    Place,
    parse_place,
    place_name,
)

FORMAT = 1
MANIFEST = "manifest.json"
SCHEMA: Any = fastavro.parse_schema(
    {
        "type": "record",
        "name": "LogRecord",
        "namespace": "logbourse.export",
        "doc": "One record of the log; the partition is the file's.",
        "fields": [
            {"name": "offset", "type": "long", "doc": "Its offset in the partition."},
            {"name": "timestamp_ms", "type": "long", "doc": "The log's own time, in ms; -1: none."},
            {"name": "value", "type": ["null", "bytes"], "doc": "The record, see schemas/."},
        ],
    }
)
# What fastavro raises, in one place or another, for bytes that no writer wrote.
DAMAGE = (
    ValueError,
    EOFError,
    KeyError,
    IndexError,
    TypeError,
    OverflowError,
    MemoryError,
    zlib.error,
    struct.error,
)


@dataclass(slots=True, frozen=True)
class ExportSource:
    """Reads the records of an export directory."""

    directory: Path

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        """The records whose offsets lie in [start, stop), in the file's order.

        Raises `BadArchive` where the file is damaged.
        """
        if start >= stop:
            return
        path = partition_file(self.directory, (topic, partition))
        seen = "its start"
        try:
            with path.open("rb") as file:
                for found in fastavro.reader(file):
                    record = as_record((topic, partition), found)
                    if record.offset >= stop:
                        return
                    if record.offset >= start:
                        yield record
                    seen = f"offset {record.offset}"
        except OSError as error:
            raise BadArchive(f"{path} must be readable, was not: {error.strerror}") from error
        except DAMAGE as error:
            raise BadArchive(f"{path} is damaged after {seen}: {error!r}") from error


def as_record(place: Place, found: Any) -> LogRecord:
    """What stands in a file as a record; `TypeError` if it is something else."""
    offset, timestamp_ms, value = found["offset"], found["timestamp_ms"], found["value"]
    if not (isinstance(offset, int) and isinstance(value, bytes | None)):
        raise TypeError("an offset and a value were wanted")
    return LogRecord(*place, offset, timestamp_ms, value)


def partition_file(directory: Path, place: Place) -> Path:
    """The file of a partition."""
    return directory / f"{place_name(place)}.avro"


def open_export(directory: Path) -> Archive:
    """The log that was exported to the directory. Raises `BadArchive`."""
    return Archive(ExportSource(directory), read_manifest(directory))


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Say what the directory's files hold; replaces what was said before, at once."""
    said = {
        "format": FORMAT,
        "ledger_partitions": manifest.ledger_partitions,
        "matching_partitions": manifest.matching_partitions,
        "partitions": {place_name(p): asdict(bounds) for p, bounds in manifest.bounds.items()},
        "marks": {place_name(place): asdict(mark) for place, mark in manifest.marks.items()},
    }
    replace_text(directory / MANIFEST, json.dumps(said, indent=2) + "\n")


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an export. Raises `BadArchive` if there is none or it is damaged."""
    path = directory / MANIFEST
    try:
        said = json.loads(path.read_text())
        if said["format"] != FORMAT:
            raise BadArchive(f"{path} must be of format {FORMAT}, was of {said['format']}")
        return Manifest(
            ledger_partitions=int(said["ledger_partitions"]),
            matching_partitions=int(said["matching_partitions"]),
            bounds={parse_place(n): Bounds(**bounds) for n, bounds in said["partitions"].items()},
            marks={parse_place(name): Mark(**mark) for name, mark in said["marks"].items()},
        )
    except OSError as error:
        sentence = f"{path} must be readable, was not ({error.strerror}): was the export finished?"
        raise BadArchive(sentence) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadArchive(f"{path} must be an export's manifest, was not: {error!r}") from error
