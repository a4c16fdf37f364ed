"""What a projection asks of a store: tell where it stands, and take changes in sequence."""

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple, Protocol

from projections.changes import Cells, Changes
from projections.layout import Position


class Verdict(Enum):
    """A store's answer to changes. GAP: it stands elsewhere now, so that nothing was written."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    GAP = "gap"


class Step(NamedTuple):
    """The changes of one partition, to be stored together with the position they lead to."""

    topic: str
    partition: int
    changes: Changes


class Sink(Protocol):
    """A store of views. Its calls block; each partition has one caller at a time."""

    name: str
    pause_s: float
    """How long to collect records before the next apply; 0 for a store that takes small steps."""

    def load(self, topic: str, partition: int) -> tuple[Position, Cells]:
        """The partition's cells, from which its projector goes on, and the position they are of."""

    def reached(self, topic: str, partition: int) -> Position:
        """The last record that anything stored contains; what `load` tells may lie before it."""

    def apply(self, steps: Sequence[Step]) -> list[Verdict]:
        """Store each step whole or not at all: a partition must stand where its step begins.

        The steps are of different partitions; one's verdict says nothing of another's.
        """

    def close(self) -> None:
        """Give the connection back."""
