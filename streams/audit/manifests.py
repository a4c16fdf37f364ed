"""The manifest of an export as text; one that no export would write is refused."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from infra.files import keep_text
from infra.log import Mark, Partition
from schemas.topics import catalogue, inbox
from streams.audit.archive import (
    NO_END,
    BadArchive,
    Bounds,
    Manifest,
    parse_place,
    place_name,
)

FORMAT = 1
MANIFEST = "manifest.json"


def write_manifest(directory: Path, manifest: Manifest) -> None:
    """Say what the directory's files hold; replaces what was said before, at once."""
    said = {
        "format": FORMAT,
        "ledger_partitions": manifest.ledger_partitions,
        "matching_partitions": manifest.matching_partitions,
        "partitions": {place_name(p): asdict(bounds) for p, bounds in manifest.bounds.items()},
        "marks": {place_name(place): asdict(mark) for place, mark in manifest.marks.items()},
    }
    keep_text(directory / MANIFEST, json.dumps(said, indent=2) + "\n")


def read_manifest(directory: Path) -> Manifest:
    """The manifest of an export. Raises `BadArchive` if there is none or it is damaged."""
    path = directory / MANIFEST
    try:
        return _manifest(json.loads(path.read_text()))
    except OSError as error:
        sentence = f"{path} must be readable, was not ({error.strerror}): was the export finished?"
        raise BadArchive(sentence) from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise BadArchive(f"{path} must be an export's manifest, was not: {error!r}") from error


def _manifest(said: Any) -> Manifest:
    """What was said, every word of it checked. Raises `ValueError` and what damage leads to."""
    if said["format"] != FORMAT:
        raise ValueError(f"format {FORMAT} was wanted, was {said['format']!r}")
    counts = _count(said["ledger_partitions"], 1), _count(said["matching_partitions"], 1)
    bounds = {parse_place(name): _bounds(each) for name, each in said["partitions"].items()}
    marks = {parse_place(name): _mark(each) for name, each in said["marks"].items()}
    manifest = Manifest(*counts, bounds, marks)
    _expect_partitions(manifest)
    for place, mark in marks.items():
        # Marks are read first, and nobody commits what the log does not have. Only a log that has
        # lost its end is shorter than its mark; it may grow all the same.
        if bounds[place].settled < mark.offset <= bounds[place].end:
            name = place_name(place)
            raise ValueError(f"{name} is settled up to its mark {mark.offset} at least")
    return manifest


def _bounds(said: Mapping[str, Any]) -> Bounds:
    first, settled, end = (_count(said[name]) for name in ("first", "settled", "end"))
    if not first <= settled <= end < NO_END or len(said) != 3:
        raise ValueError(f"first <= settled <= end was wanted, was {said}")
    return Bounds(first, settled, end)


def _mark(said: Mapping[str, Any]) -> Mark:
    offset, metadata = _count(said["offset"]), said["metadata"]
    if not isinstance(metadata, str) or len(said) != 2:
        raise ValueError(f"a mark is an offset and a text, was {said}")
    return Mark(offset, metadata)


def _count(said: Any, least: int = 0) -> int:
    """A plain number: JSON as Python reads it has others, such as NaN, which is less than none."""
    if type(said) is not int or said < least:
        raise ValueError(f"a whole number from {least} on was wanted, was {said!r}")
    return said


def _expect_partitions(manifest: Manifest) -> None:
    """Those of the catalogue and no other; marks are of inboxes."""
    topics = catalogue(manifest.ledger_partitions, manifest.matching_partitions)
    # The numbers first: a count that is a lie may be too large to count up to.
    if sum(topic.partitions for topic in topics) != len(manifest.bounds):
        raise ValueError(f"the partitions of {len(topics)} topics were wanted, others are named")
    wanted: set[Partition] = {(each.name, p) for each in topics for p in range(each.partitions)}
    inboxes = set(map(inbox, manifest.shards()))
    if stray := (wanted ^ manifest.bounds.keys()) | (manifest.marks.keys() - inboxes):
        raise ValueError(f"each partition once was wanted: {place_name(min(stray))} is not so")
