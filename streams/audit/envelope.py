"""The head of a record, read without its messages: who wrote it, and which one it is."""

from schemas.primitives import UndecodableRecord, read_bytes, read_count, read_long, read_string

_HEADER_BYTES = 10


def head_of(value: bytes | None) -> tuple[str, int, int, int]:
    """Source, cseq, cause_offset and number of messages. Raises `UndecodableRecord`.

    A head that reads well says nothing of the messages behind it.
    """
    if value is None:
        raise UndecodableRecord("a record was wanted, was a tombstone")
    try:
        _, pos = read_bytes(value, _HEADER_BYTES)
        cause_offset, pos = read_long(value, pos)
        src, pos = read_string(value, pos)
        cseq, pos = read_long(value, pos)
        _, pos = read_long(value, pos)
        _, pos = read_long(value, pos)
        _, pos = read_bytes(value, pos)
        count, pos = read_count(value, pos)
    except (IndexError, UnicodeDecodeError) as error:
        raise UndecodableRecord(f"the head ends early or means nothing: {error!r}") from error
    return src, cseq, cause_offset, count
