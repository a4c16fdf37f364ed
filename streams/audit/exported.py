"""A log as files: a manifest, the schemas, and one Avro object container file per partition."""

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro

from infra.log import LogRecord, Partition
from schemas.topics import inbox
from streams.audit.archive import Archive, BadArchive, place_name
from streams.audit.genesis import genesis_in
from streams.audit.manifests import read_manifest

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
GROWING = "growing"
"""The file that is there while records are added."""

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
                    if start <= record.offset < stop:
                        yield record
                    # Whatever follows is not looked at: it may be torn where the files grow.
                    if record.offset >= stop - 1:
                        return
                    seen = f"offset {record.offset}"
        except OSError as error:
            raise BadArchive(f"{path} must be readable, was not: {error.strerror}") from error
        except DAMAGE as error:
            raise BadArchive(f"{path} is damaged after {seen}: {error!r}") from error


def as_record(place: Partition, found: Any) -> LogRecord:
    """What stands in a file as a record; `TypeError` if it is something else."""
    offset, timestamp_ms, value = found["offset"], found["timestamp_ms"], found["value"]
    if not (isinstance(offset, int) and isinstance(value, bytes | None)):
        raise TypeError("an offset and a value were wanted")
    return LogRecord(*place, offset, timestamp_ms, value)


def partition_file(directory: Path, place: Partition) -> Path:
    """The file of a partition."""
    return directory / f"{place_name(place)}.avro"


def open_export(directory: Path) -> Archive:
    """The log that was exported to the directory. Raises `BadArchive`.

    The manifest's counts must be those of the log's own first record: it is the manifest alone
    that says which files there are to look at. While an export adds to the files, or after one
    that was interrupted, they hold more than the manifest tells of.
    """
    growing = (directory / GROWING).exists()
    archive = Archive(ExportSource(directory), read_manifest(directory), growing)
    genesis = genesis_in(archive.records(inbox("A0"), 0, 1))
    wanted = genesis.ledger_partitions, genesis.matching_partitions
    found = archive.manifest.ledger_partitions, archive.manifest.matching_partitions
    if wanted != found:
        raise BadArchive(f"{directory} must have the partitions of its Genesis, {wanted}: {found}")
    return archive
