"""A sink in memory that keeps the rules of the real ones, and can crash around its one step."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from infra.log import Partition
from projections.changes import Cells, Changes, Row
from projections.layout import NOWHERE, Position
from projections.sink import Step, Verdict


class Crash(Exception):
    """The process ended here."""


@dataclass
class DictSink:
    name: str = "dict"
    pause_s: float = 0.0
    positions: dict[Partition, Position] = field(default_factory=dict)
    cells: dict[str, dict[str, str]] = field(default_factory=lambda: defaultdict(dict))
    rows: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))
    loads: int = 0
    crash_before: bool = False
    crash_after: bool = False

    def load(self, topic: str, partition: int) -> tuple[Position, Cells]:
        self.loads += 1
        position = self.positions.get((topic, partition), NOWHERE)
        return position, {key: dict(cells) for key, cells in self.cells.items()}

    def reached(self, topic: str, partition: int) -> Position:
        return self.positions.get((topic, partition), NOWHERE)

    def apply(self, steps: Sequence[Step]) -> list[Verdict]:
        return [self._apply(*step) for step in steps]

    def _apply(self, topic: str, partition: int, changes: Changes) -> Verdict:
        self._maybe_crash("crash_before")
        stands = self.positions.get((topic, partition), NOWHERE)
        if stands.cseq != changes.after.cseq:
            same = stands.cseq == changes.upto.cseq
            return Verdict.DUPLICATE if same else Verdict.GAP
        self.positions[topic, partition] = changes.upto
        for (key, name), text in changes.cells.items():
            if text is None:
                self.cells[key].pop(name, None)
            else:
                self.cells[key][name] = text
        for table, rows in changes.rows.items():
            self.rows[table] += rows
        self._maybe_crash("crash_after")
        return Verdict.APPLIED

    def close(self) -> None:
        pass

    def _maybe_crash(self, where: str) -> None:
        if getattr(self, where):
            setattr(self, where, False)
            raise Crash(where)
