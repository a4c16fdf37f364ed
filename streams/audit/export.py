"""The subcommand that copies the log into self-contained files, going on where it stopped."""

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import fastavro

from infra.log import LogRecord
from schemas import catalogue
from streams.audit.archive import Archive, BadArchive, Place, Progress, position_name
from streams.audit.exported import (
    DAMAGE,
    SCHEMA,
    as_record,
    partition_file,
)
from streams.audit.live import open_live
from streams.audit.manifests import MANIFEST, write_manifest
from streams.audit.progress import Bar

BLOCK_BYTES = 256 * 1024


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse export` takes."""
    parser.add_argument("directory", type=Path, metavar="DIR", help="where the files go")
    parser.add_argument("--bootstrap", default="", metavar="HOST:PORT", help="which Kafka to read")


def run(arguments: argparse.Namespace) -> int:
    """Export or go on exporting; 0, or 2 with one sentence."""
    try:
        archive = open_live(arguments.bootstrap)
        bar = Bar("export", archive.manifest.records())
        written = export(archive, arguments.directory, bar)
        bar.end()
    except (BadArchive, OSError) as error:
        print(f"logbourse export: {error}", file=sys.stderr)
        return 2
    print(f"{arguments.directory} holds the log, {written:,} records of it new")
    return 0


def export(archive: Archive, directory: Path, progress: Progress) -> int:
    """Bring the directory up to the archive's ends; how many records were added.

    The manifest is taken away first and written last, so that it never tells of less than the
    files hold. Raises `BadArchive` if they hold records of another log.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / MANIFEST).unlink(missing_ok=True)
    _write_schemas(directory)
    written = 0
    for place in archive.manifest.bounds:
        written += _continue(archive, place, partition_file(directory, place), progress)
    write_manifest(directory, archive.manifest)
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


def _continue(archive: Archive, place: Place, path: Path, progress: Progress) -> int:
    """Add what the file does not have yet; the number of records."""
    bounds = archive.manifest.bounds[place]
    path.touch()
    with path.open("r+b") as file:
        last = _cut_torn_end(file, place)
    start = bounds.first
    if last is not None:
        _expect_same_log(archive, place, last, path)
        start = last.offset + 1
    progress.advance(min(start, bounds.end))
    if start >= bounds.end and last is not None:
        return 0
    with path.open("a+b") as file:
        records = _as_dicts(archive.records(place, start, bounds.end), progress)
        fastavro.writer(file, SCHEMA, records, codec="deflate", sync_interval=BLOCK_BYTES)
        file.flush()
        os.fsync(file.fileno())
    return bounds.end - start


def _cut_torn_end(file: BinaryIO, place: Place) -> LogRecord | None:
    """Cut off what follows the last whole block, and return that block's last record."""
    end = 0
    last = None
    try:
        for block in fastavro.block_reader(file):
            found = list(block)
            end = block.offset + block.size
            last = as_record(place, found[-1]) if found else last
    except DAMAGE:
        pass
    if last is None:
        end = 0
    file.truncate(end)
    return last


def _expect_same_log(archive: Archive, place: Place, last: LogRecord, path: Path) -> None:
    again = next(archive.records(place, last.offset, last.offset + 1), None)
    if again is None or again.value != last.value:
        at = position_name(place, last.offset)
        raise BadArchive(f"{path} must go on with the same log, but holds another record at {at}")


def _as_dicts(records: Iterator[LogRecord], progress: Progress) -> Iterator[dict[str, Any]]:
    for record in records:
        progress.advance(1)
        yield {
            "offset": record.offset,
            "timestamp_ms": record.timestamp_ms,
            "value": record.value,
        }
