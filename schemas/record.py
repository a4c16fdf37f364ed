"""The record: what one Kafka value holds, its bytes and its hashes."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from hashlib import blake2b
from typing import Any, Final

from librt.strings import BytesWriter

from domain.decider import Message
from schemas import upcast
from schemas.codec import HEADER, READERS, WRITERS
from schemas.primitives import (
    UndecodableRecord,
    end_array,
    read_bytes,
    read_count,
    read_long,
    read_string,
    write_bytes,
    write_long,
    write_string,
)

__all__ = [
    "HASH_BYTES",
    "Record",
    "UndecodableRecord",
    "chain_hash",
    "content_hash",
    "decode_envelope",
    "decode_head",
    "decode_record",
    "encode_message",
    "encode_record",
    "input_part",
    "outside_record",
    "record_hash",
    "to_dict",
]

HASH_BYTES: Final = 16


@dataclass(slots=True)
class Record:
    """A batch of messages with one cause; `schemas/avro/Record.avsc` says what each field means."""

    prev: bytes
    cause_offset: int
    src: str
    cseq: int
    cause: int
    time_us: int
    input_hash: bytes
    messages: list[Message]


def encode_message(message: Message) -> bytes:
    """The message as it stands in a record's array, its branch number first.

    Raises `TypeError` for a class that is no message of the catalogue, `OverflowError` for an int
    beyond 64 bits.
    """
    writer = WRITERS.get(type(message))
    if writer is None:
        raise TypeError(f"a message of the catalogue was wanted, was {type(message).__name__}")
    out = BytesWriter()
    writer(out, message)
    return out.getvalue()


def encode_record(
    *,
    prev: bytes,
    cause_offset: int,
    src: str,
    cseq: int,
    cause: int,
    time_us: int,
    input_hash: bytes,
    messages: Sequence[bytes],
) -> bytes:
    """The bytes of a record of already encoded `messages`; `OverflowError` beyond 64 bits."""
    out = BytesWriter()
    out.write(HEADER)
    write_bytes(out, prev)
    write_long(out, cause_offset)
    write_string(out, src)
    write_long(out, cseq)
    write_long(out, cause)
    write_long(out, time_us)
    write_bytes(out, input_hash)
    if messages:
        write_long(out, len(messages))
        for message in messages:
            out.write(message)
    write_long(out, 0)
    return out.getvalue()


def outside_record(source: str, time_us: int, messages: Sequence[bytes]) -> bytes:
    """The bytes of a record that no shard wrote, such as a gateway's: it is in no chain."""
    return encode_record(
        prev=b"",
        cause_offset=0,
        src=source,
        cseq=0,
        cause=0,
        time_us=time_us,
        input_hash=b"",
        messages=messages,
    )


def decode_record(value: bytes | None) -> Record:
    """The record in these bytes, its messages in the present classes whatever schema wrote them.

    Raises `UndecodableRecord` for everything else, non-canonical encodings included.
    """
    if value is None:
        raise UndecodableRecord("a record was wanted, was a tombstone")
    try:
        record, pos = _decode_envelope(value)
        if value.startswith(HEADER):
            record.messages = _decode_messages(value, pos)
            return record
    except (IndexError, KeyError, UnicodeDecodeError) as error:
        raise UndecodableRecord(f"the bytes end early or mean nothing: {error!r}") from error
    record.messages = upcast.older_messages(value)
    return record


def decode_envelope(value: bytes | None) -> Record:
    """The record without its messages, whatever schema wrote it: where it stands, and since when.

    Raises `UndecodableRecord` for what does not begin as a record does.
    """
    if value is None or not value.startswith(HEADER[:2]):
        raise UndecodableRecord("a record was wanted, was a tombstone or something else")
    try:
        return _decode_envelope(value)[0]
    except (IndexError, UnicodeDecodeError) as error:
        raise UndecodableRecord(f"the bytes end early or mean nothing: {error!r}") from error


def decode_head(value: bytes | None) -> tuple[str, int, int, int]:
    """Source, cseq, cause_offset and number of messages, whatever the header names.

    A head that reads well says nothing of the messages behind it. Raises `UndecodableRecord`.
    """
    if value is None:
        raise UndecodableRecord("a record was wanted, was a tombstone")
    try:
        record, pos = _decode_envelope(value)
        count, _ = read_count(value, pos)
    except (IndexError, UnicodeDecodeError) as error:
        raise UndecodableRecord(f"the head ends early or means nothing: {error!r}") from error
    return record.src, record.cseq, record.cause_offset, count


def chain_hash(value: bytes) -> bytes:
    """The chain hash after this record: blake2b-16 of all but header and `cause_offset`."""
    return blake2b(input_part(value), digest_size=HASH_BYTES).digest()


def input_part(value: bytes) -> bytes:
    """The bytes that the rolling input hash covers: all but header and `cause_offset`.

    Raises `UndecodableRecord` where there is no such part.
    """
    try:
        prev, pos = read_bytes(value, len(HEADER))
        _, pos = read_long(value, pos)
    except IndexError as error:
        raise UndecodableRecord("the bytes end before the hashed part") from error
    return prev + value[pos:]


def record_hash(value: bytes) -> bytes:
    """blake2b-16 of all bytes: how an operator names a record."""
    return blake2b(value, digest_size=HASH_BYTES).digest()


def content_hash(value: bytes) -> bytes:
    """blake2b-16 of what stands behind the header: by this, records are compared.

    A shard that runs again writes its old records in the present schema; what it said is the same.
    Of all bytes if this schema, or a former one with the same bytes, did not write the record.
    """
    known = value.startswith(HEADER) or upcast.has_same_bytes(value)
    return blake2b(value[len(HEADER) :] if known else value, digest_size=HASH_BYTES).digest()


def to_dict(record: Record) -> dict[str, Any]:
    """The record for human eyes and JSON: bytes in hex, enums by name, messages with their type."""
    shown: dict[str, Any] = _shown(record)
    shown["messages"] = [{"type": type(m).__name__} | _shown(m) for m in record.messages]
    return shown


def _decode_envelope(value: bytes) -> tuple[Record, int]:
    prev, pos = read_bytes(value, len(HEADER))
    cause_offset, pos = read_long(value, pos)
    src, pos = read_string(value, pos)
    cseq, pos = read_long(value, pos)
    cause, pos = read_long(value, pos)
    time_us, pos = read_long(value, pos)
    input_hash, pos = read_bytes(value, pos)
    return Record(prev, cause_offset, src, cseq, cause, time_us, input_hash, []), pos


def _decode_messages(value: bytes, pos: int) -> list[Message]:
    messages: list[Message] = []
    count, pos = read_count(value, pos)
    for _ in range(count):
        branch, pos = read_long(value, pos)
        if branch < 0:
            raise UndecodableRecord(f"a branch number must not be negative, was {branch}")
        message, pos = READERS[branch](value, pos)
        messages.append(message)
    if count:
        pos = end_array(value, pos)
    if pos != len(value):
        raise UndecodableRecord(f"the record ends at byte {pos}, {len(value)} bytes were found")
    return messages


def _shown(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, IntEnum):
        return value.name
    if isinstance(value, list):
        return [_shown(item) for item in value]
    if isinstance(value, int | str):
        return value
    return {field.name: _shown(getattr(value, field.name)) for field in fields(value)}
