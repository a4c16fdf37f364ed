"""The notice in the quarantine of a record, or one message of it, that a shard has set aside."""

import json
from typing import NamedTuple


class Notice(NamedTuple):
    """Where the record stands, the message's index (-1: all of it), why, and the hash in hex."""

    topic: str
    partition: int
    offset: int
    message_index: int
    why: str
    record_hash: str


def encode_notice(notice: Notice) -> bytes:
    """A JSON object with the fields in their order: how a host says it."""
    return json.dumps(notice._asdict()).encode()


def decode_notice(value: bytes | None) -> Notice | None:
    """What the notice says, in whatever order and spaces; None if it is none."""
    try:
        said = json.loads(value or b"")
        return Notice(
            str(said["topic"]),
            int(said["partition"]),
            int(said["offset"]),
            int(said["message_index"]),
            str(said["why"]),
            str(said["record_hash"]),
        )
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
