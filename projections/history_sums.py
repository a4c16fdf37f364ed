"""What the tables of history add up to, block by block, to check rows without reading them.

A block is `BLOCK` sequences of a partition. Its sum has the number of rows and, column by column,
the sum of what stands there modulo 2^64, of texts their CRC-32. ClickHouse adds the same way.
"""

import zlib
from collections.abc import Mapping, Sequence

from projections.changes import Row

BLOCK = 4_096
_MODULUS = 1 << 64

Sum = tuple[int, ...]
"""Rows, then one number per column."""


def block_of(cseq: int) -> int:
    """The number of the block that the sequence belongs to."""
    return cseq // BLOCK


def sum_of(rows: Sequence[Row]) -> Sum:
    """What these rows of one table add up to; there must be one at least."""
    columns = zip(*rows, strict=True)
    return (len(rows), *(signed(sum(map(_number, column))) for column in columns))


def together(one: Sum, other: Sum) -> Sum:
    """The sum of both; an empty one is of no rows."""
    if not one or not other:
        return one or other
    return (one[0] + other[0], *(signed(a + b) for a, b in zip(one[1:], other[1:], strict=True)))


def negative(one: Sum) -> Sum:
    """What makes the sum that of no rows."""
    return tuple(signed(-each) for each in one)


def signed(number: int) -> int:
    """The number as 64 bits with sign hold it."""
    rest = number % _MODULUS
    return rest - _MODULUS if rest >= _MODULUS // 2 else rest


def differences(wanted: Mapping[int, Sum], found: Mapping[int, Sum]) -> dict[int, Sum]:
    """By block, what is found beyond what is wanted; blocks that are equal are left out."""
    return {
        block: together(found.get(block, ()), negative(wanted.get(block, ())))
        for block in sorted(wanted.keys() | found.keys())
        if wanted.get(block) != found.get(block)
    }


class TableSums:
    """The sums of one table in one partition, as rows are added in the order of the log."""

    def __init__(self) -> None:
        self.blocks: dict[int, Sum] = {}

    def add(self, rows: Sequence[Row], cseq_column: int) -> None:
        """Add rows, each to the block of the sequence in that column."""
        by_block: dict[int, list[Row]] = {}
        for row in rows:
            cseq = row[cseq_column]
            assert isinstance(cseq, int)
            by_block.setdefault(block_of(cseq), []).append(row)
        for block, some in by_block.items():
            self.blocks[block] = together(self.blocks.get(block, ()), sum_of(some))


def _number(value: int | str) -> int:
    return value if isinstance(value, int) else zlib.crc32(value.encode())
