"""Avro's binary primitives, read strictly: every value has exactly one encoding."""

from typing import Final

from librt.strings import BytesWriter

INT64_MIN: Final = -(1 << 63)
INT64_MAX: Final = (1 << 63) - 1

_SURELY_FITS: Final = 1 << 60
"""Below this, ints are machine words to mypyc; a comparison with those above takes 50 ns."""


class UndecodableRecord(Exception):
    """These bytes are no record that this code can read; the text says what was wrong."""


def write_long(out: BytesWriter, value: int) -> None:
    """Append a zigzag varint; `OverflowError` if `value` does not fit in 64 bits."""
    if not -_SURELY_FITS < value < _SURELY_FITS and not INT64_MIN <= value <= INT64_MAX:
        raise OverflowError(f"a long must fit in 64 bits, was {value}")
    rest = value << 1 if value >= 0 else ~(value << 1)
    while rest > 0x7F:
        out.append(rest & 0x7F | 0x80)
        rest >>= 7
    out.append(rest)


def write_bytes(out: BytesWriter, value: bytes) -> None:
    """Append the length and the bytes."""
    write_long(out, len(value))
    out.write(value)


def write_string(out: BytesWriter, value: str) -> None:
    """Append the length and the UTF-8 bytes; `UnicodeEncodeError` for half a surrogate pair."""
    write_bytes(out, value.encode())


def read_long(data: bytes, pos: int) -> tuple[int, int]:
    """The long at `pos` and the position after it; `IndexError` where the data end."""
    byte = data[pos]
    rest = byte & 0x7F
    shift = 0
    while byte > 0x7F:
        pos += 1
        shift += 7
        byte = data[pos]
        rest |= (byte & 0x7F) << shift
        if shift == 63 and byte > 1:
            raise UndecodableRecord(f"a long must fit in 64 bits, did not before byte {pos}")
    if byte == 0 and shift > 0:
        raise UndecodableRecord(f"a long must be as short as it can, was not before byte {pos}")
    return (rest >> 1) ^ -(rest & 1), pos + 1


def read_bytes(data: bytes, pos: int) -> tuple[bytes, int]:
    """The byte string at `pos` and the position after it."""
    byte = data[pos]
    if byte < 0x80:
        length = (byte >> 1) ^ -(byte & 1)
        start = pos + 1
    else:
        length, start = read_long(data, pos)
    end = start + length
    if length < 0 or end > len(data):
        raise UndecodableRecord(f"{length} bytes were wanted at byte {start} of {len(data)}")
    return data[start:end], end


def read_string(data: bytes, pos: int) -> tuple[str, int]:
    """The text at `pos` and the position after it; `UnicodeDecodeError` if it is not UTF-8."""
    value, end = read_bytes(data, pos)
    return value.decode(), end


def read_count(data: bytes, pos: int) -> tuple[int, int]:
    """The number of items of the array at `pos`, and the position of the first item."""
    count, start = read_long(data, pos)
    if count < 0 or count > len(data) - start:
        raise UndecodableRecord(f"a plain array was wanted at byte {pos}, its count was {count}")
    return count, start


def end_array(data: bytes, pos: int) -> int:
    """The position after the end mark of an array that has items: one block is all it may have."""
    if data[pos] != 0:
        raise UndecodableRecord(f"the array must end at byte {pos}, another block follows")
    return pos + 1
