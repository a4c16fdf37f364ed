"""The subcommand that copies the log into self-contained files, going on where it stopped."""

import argparse
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import fastavro

from infra.log import LogRecord, Partition
from schemas import catalogue
from streams.audit.archive import Archive, BadArchive, Progress, position_name
from streams.audit.exported import (
    DAMAGE,
    GROWING,
    SCHEMA,
    as_record,
    partition_file,
)
from streams.audit.live import open_live
from streams.audit.manifests import MANIFEST, read_manifest, write_manifest
from streams.audit.progress import Bar

BLOCK_BYTES = 256 * 1024


class Kept(NamedTuple):
    """How many bytes of a file are whole blocks, and the last record in them."""

    bytes: int
    last: LogRecord | None


NOTHING = Kept(0, None)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse export` takes."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--bootstrap", default="", metavar="HOST:PORT", help="which Kafka to read")


def run(arguments: argparse.Namespace) -> int:
    """Export or go on exporting. Raises `BadArchive`, and `OSError` if it cannot be written."""
    archive = open_live(arguments.bootstrap)
    bar = Bar("export", archive.manifest.records())
    written = export(archive, arguments.directory, bar)
    bar.end()
    print(f"{arguments.directory} holds the log, {written:,} records of it new")
    return 0


def export(archive: Archive, directory: Path, progress: Progress) -> int:
    """Bring the directory up to the archive's ends; how many records were added.

    All that is there is compared before anything is written, and the manifest is replaced last:
    a copy that was good is still one after a refusal or an interruption. Raises `BadArchive` if
    the files hold records of another log, or the manifest is none of an export.
    """
    directory.mkdir(parents=True, exist_ok=True)
    if (directory / MANIFEST).exists():
        read_manifest(directory)
    files = {place: partition_file(directory, place) for place in archive.manifest.bounds}
    kept = {place: _expect_same_log(archive, place, path) for place, path in files.items()}
    (directory / GROWING).touch()
    _write_schemas(directory)
    written = 0
    for place, path in files.items():
        written += _continue(archive, place, path, kept[place], progress)
    write_manifest(directory, archive.manifest)
    (directory / GROWING).unlink()
    return written


def _write_schemas(directory: Path) -> None:
    """Every schema that a record may be written in, by the fingerprint the record begins with."""
    folder = directory / "schemas"
    folder.mkdir(exist_ok=True)
    for former in catalogue.HISTORY.glob("*.avsc"):
        (folder / former.name).write_text(former.read_text())
    schema = catalogue.writer_schema()
    name = f"{catalogue.fingerprint(schema).hex()}.avsc"
    (folder / name).write_text(json.dumps(schema, indent=2) + "\n")


def _expect_same_log(archive: Archive, place: Partition, path: Path) -> Kept:
    """What the file holds without damage; `BadArchive` if its last record is not the log's."""
    kept = _whole_blocks(place, path)
    if kept.last is not None:
        offset = kept.last.offset
        again = next(archive.records(place, offset, offset + 1), None)
        if again is None or again.value != kept.last.value:
            at = position_name(place, offset)
            raise BadArchive(
                f"{path} must go on with the same log, but holds another record at {at}"
            )
    return kept


def _whole_blocks(place: Partition, path: Path) -> Kept:
    kept = NOTHING
    if not path.exists():
        return kept
    with path.open("rb") as file, suppress(*DAMAGE):
        for block in fastavro.block_reader(file):
            found = list(block)
            if found:
                kept = Kept(block.offset + block.size, as_record(place, found[-1]))
    return kept


def _continue(
    archive: Archive, place: Partition, path: Path, kept: Kept, progress: Progress
) -> int:
    """Cut off what is torn, add what the file does not have yet; the number of records."""
    bounds = archive.manifest.bounds[place]
    start = bounds.first if kept.last is None else kept.last.offset + 1
    progress.advance(min(start, bounds.end))
    with path.open("a+b") as file:
        file.seek(file.truncate(kept.bytes))
        if start >= bounds.end and kept.last is not None:
            return 0
        records = _as_dicts(archive.records(place, start, bounds.end), progress)
        fastavro.writer(file, SCHEMA, records, codec="deflate", sync_interval=BLOCK_BYTES)
        file.flush()
        os.fsync(file.fileno())
    return bounds.end - start


def _as_dicts(records: Iterator[LogRecord], progress: Progress) -> Iterator[dict[str, Any]]:
    for record in records:
        progress.advance(1)
        yield {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "value": record.value,
        }
