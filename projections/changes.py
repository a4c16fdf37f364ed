"""What one apply changes: cells (absolute values) and rows, with the position they belong to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol, TypeAlias

from projections.layout import NOWHERE, Position
from schemas.record import Record

Row: TypeAlias = tuple[int | str, ...]
Cells: TypeAlias = Mapping[str, Mapping[str, str]]
"""Key → field → text."""


class PlacedRecord(NamedTuple):
    """A record of an outbox and the Kafka offset at which it stands."""

    offset: int
    record: Record


def position_behind(position: Position, placed: PlacedRecord) -> Position:
    """Where a projector stands that adds the record to `position`; it must be the next (P2)."""
    offset, record = placed
    assert record.cseq == position.cseq + 1, (
        f"P2: record {position.cseq + 1} must follow, found {record.cseq}"
    )
    return Position(record.cseq, offset, record.time_us)


@dataclass(slots=True)
class Changes:
    """From position `after` to position `upto`: new texts of cells (None: gone) and new rows.

    Rows are in the column order of migrations/*.sql.
    """

    after: Position = NOWHERE
    upto: Position = NOWHERE
    cells: dict[tuple[str, str], str | None] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)

    def put(self, key: str, name: str, text: str) -> None:
        """Set the cell `name` of `key`."""
        self.cells[key, name] = text

    def drop(self, key: str, name: str) -> None:
        """Remove the cell `name` of `key`."""
        self.cells[key, name] = None

    def add(self, table: str, row: Row) -> None:
        """Append a row to `table`."""
        self.rows.setdefault(table, []).append(row)


class Projector(Protocol):
    """Folds one partition. Does no I/O; what it knows can be had again from the cells it wrote."""

    position: Position

    def load(self, position: Position, cells: Cells) -> None:
        """Stand where the cells say; to be called once, on a new projector."""

    def apply(self, records: Sequence[PlacedRecord]) -> Changes:
        """What the records change. They must follow `position` without a gap."""
