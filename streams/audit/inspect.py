"""The subcommand that shows one record of the log readably."""

import argparse
import json
from typing import Any

from infra.log import LogRecord
from schemas.record import UndecodableRecord, chain_hash, record_hash
from schemas.topics import QUARANTINE_TOPIC
from streams.audit.archive import BadArchive, place_name, position_name
from streams.audit.explain import readable
from streams.audit.replay import add_log_arguments, open_log


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse inspect` takes."""
    parser.add_argument("topic", metavar="TOPIC", help="such as ledger.in")
    parser.add_argument("partition", type=int, metavar="PARTITION")
    parser.add_argument("offset", type=int, metavar="OFFSET")
    add_log_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the record as JSON. Raises `BadArchive` if it is not there."""
    place = (arguments.topic, arguments.partition)
    # Also of a log that somebody wrote to before its Genesis.
    archive = open_log(arguments, begun=False)
    if place not in archive.manifest.bounds:
        known = ", ".join(map(place_name, archive.manifest.bounds))
        raise BadArchive(f"a partition must be among {known}, was {place_name(place)}")
    found = next(archive.records(place, arguments.offset, arguments.offset + 1), None)
    if found is None or arguments.offset < 0:
        position = position_name(place, arguments.offset)
        raise BadArchive(f"{position} must be in the log, which ends at {archive.end(place)}")
    print(json.dumps(shown(found), indent=2))
    return 0


def shown(found: LogRecord) -> dict[str, Any]:
    """Position, hashes and content. The record hash is the name by which operators resolve it."""
    value = found.value or b""
    head: dict[str, Any] = {
        "position": position_name((found.topic, found.partition), found.offset),
        "timestamp_ms": found.timestamp_ms,
        "bytes": len(value),
        "record_hash": record_hash(value).hex(),
    }
    if found.topic == QUARANTINE_TOPIC:
        return head | {"notice": _notice(value)}
    try:
        head["chain_hash"] = chain_hash(value).hex()
    except UndecodableRecord:
        head["chain_hash"] = ""
    return head | {"record": readable(found.value)}


def _notice(value: bytes) -> Any:
    try:
        return json.loads(value)
    except (ValueError, RecursionError):
        return {"undecodable": value.hex()}
