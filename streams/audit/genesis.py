"""How many partitions the log itself says that it has: its first record on accounts is Genesis."""

from collections.abc import Iterable

from domain.protocol import Genesis
from infra.log import LogRecord
from schemas.record import UndecodableRecord, decode_record
from streams.audit.archive import BadArchive


def genesis_in(records: Iterable[LogRecord]) -> Genesis:
    """The Genesis with which the inbox of A0 begins. Raises `BadArchive`."""
    first = next(iter(records), None)
    try:
        messages = decode_record(first.value).messages if first is not None else []
    except UndecodableRecord as error:
        raise BadArchive(f"accounts.in.0@0 must be Genesis, was unreadable: {error}") from error
    if messages and isinstance(messages[0], Genesis):
        return messages[0]
    raise BadArchive("accounts.in.0 must begin with Genesis, did not: is there an exchange?")
