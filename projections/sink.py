"""What a projection asks of a store: tell where it stands, and take changes in sequence."""

from enum import Enum
from typing import Protocol

from projections.changes import Cells, Changes
from projections.layout import Position


class Verdict(Enum):
    """A store's answer to changes. GAP: it stands elsewhere now, so that nothing was written."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    GAP = "gap"


class Sink(Protocol):
    """A store of views. Its calls block; each partition has one caller at a time."""

    name: str
    pause_s: float
    """How long to collect records before the next apply; 0 for a store that takes small steps."""

    def load(self, topic: str, partition: int) -> tuple[Position, Cells]:
        """The partition's position, and the cells from which its projector goes on."""

    def apply(self, topic: str, partition: int, changes: Changes) -> Verdict:
        """Store the changes and their position together, if the store stands at `after`."""

    def close(self) -> None:
        """Give the connection back."""
