"""One outbox folded once more, beside the workers, for who checks or repairs what they wrote."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from infra.log import LogRecord
from projections.candle_sums import CandleSums
from projections.changes import PlacedRecord
from projections.follower import projector_for
from projections.history_sums import Sum, TableSums, block_of
from projections.layout import MATCHING_EVENTS, SUMMED, Candle, Position, StoredTrade, unpack
from schemas.record import UndecodableRecord, decode_record

CSEQ_COLUMN = 1
MARKS_KEPT = 240
STEP_RECORDS = 500

Cells = dict[str, dict[str, str]]


@dataclass(slots=True, frozen=True)
class SumMark:
    """The sums of the block in progress, as they were at a sequence the fold stood at."""

    cseq: int
    unfinished: Mapping[str, Sum | None]


class ViewFold:
    """The views of one partition at a sequence of one's choice, and what waits behind it."""

    def __init__(self, topic: str, partition: int) -> None:
        self.topic = topic
        self.partition = partition
        self.cells: Cells = {}
        self.sums = {table: TableSums() for table in SUMMED[topic]}
        self.candles = CandleSums()
        self.marks: deque[SumMark] = deque(maxlen=MARKS_KEPT)
        self.read_to = -1
        """The offset up to which records have led to `seen`: the last that was kept, or a copy."""
        self._projector = projector_for(topic, partition)
        self._waiting: deque[PlacedRecord] = deque()

    @property
    def position(self) -> Position:
        """The last record that is folded in."""
        return self._projector.position

    @property
    def seen(self) -> int:
        """The sequence up to which it can be folded now."""
        return self._waiting[-1].record.cseq if self._waiting else self.position.cseq

    @property
    def folded_to(self) -> int:
        """The offset up to which all that was read is folded in."""
        return self.position.offset if self._waiting else self.read_to

    @property
    def waiting(self) -> int:
        """How many records wait to be folded in."""
        return len(self._waiting)

    def take(self, stored: LogRecord) -> None:
        """Keep a record of the outbox, if it is the next; what is none is the log auditor's."""
        try:
            record = decode_record(stored.value)
        except UndecodableRecord:
            return
        if record.cseq > self.seen + 1:
            return
        self.read_to = max(stored.offset, self.read_to)
        if record.cseq == self.seen + 1:
            self._waiting.append(PlacedRecord(stored.offset, record))

    def fold_to(self, cseq: int) -> None:
        """Fold in all up to this sequence, as far as it is there."""
        while self._waiting and self._waiting[0].record.cseq <= cseq:
            step: list[PlacedRecord] = []
            while (
                self._waiting and self._waiting[0].record.cseq <= cseq and len(step) < STEP_RECORDS
            ):
                step.append(self._waiting.popleft())
            self._fold(step)
        if not self.marks or self.marks[-1].cseq != self.position.cseq:
            block = block_of(self.position.cseq)
            unfinished = {table: sums.blocks.get(block) for table, sums in self.sums.items()}
            self.marks.append(SumMark(self.position.cseq, unfinished))

    def sums_at(self, table: str, mark: SumMark) -> dict[int, Sum]:
        """The table's sums by block, as they were at the mark."""
        last = block_of(mark.cseq)
        found = {b: s for b, s in self.sums[table].blocks.items() if b < last}
        unfinished = mark.unfinished[table]
        return found if unfinished is None else found | {last: unfinished}

    def mark_before(self, cseq: int) -> SumMark | None:
        """The newest mark that is not beyond this sequence."""
        return next((mark for mark in reversed(self.marks) if mark.cseq <= cseq), None)

    def trades(self, key: str) -> dict[int, StoredTrade]:
        """The last trades of a market by id; `key` as `layout.trades_key` names it."""
        trades = (unpack(StoredTrade, text) for text in self.cells.get(key, {}).values())
        return {trade.trade_id: trade for trade in trades}

    def dump(self) -> dict[str, Any]:
        """All of it as plain lists, but for what waits and the marks."""
        return {
            "position": list(self.position),
            "cells": self.cells,
            "sums": {
                table: [[block, list(each)] for block, each in sorted(sums.blocks.items())]
                for table, sums in self.sums.items()
            },
            "ended": [[*series, list(each)] for series, each in self.candles.ended.items()],
            "last": [[*series, list(each)] for series, each in self.candles.last.items()],
        }

    def load(self, data: Mapping[str, Any]) -> None:
        """Stand where the dump was; to be called once, on a new fold."""
        self.cells = data["cells"]
        self._projector.load(Position(*data["position"]), self.cells)
        self.read_to = self.position.offset
        for table, blocks in data["sums"].items():
            self.sums[table].blocks = {block: tuple(each) for block, each in blocks}
        self.candles.ended = {(m, i): tuple(each) for m, i, each in data["ended"]}
        self.candles.last = {(m, i): Candle(*each) for m, i, each in data["last"]}

    def _fold(self, step: list[PlacedRecord]) -> None:
        changes = self._projector.apply(step)
        for (key, field), text in changes.cells.items():
            if text is not None:
                self.cells.setdefault(key, {})[field] = text
            elif key in self.cells:
                self.cells[key].pop(field, None)
                if not self.cells[key]:
                    del self.cells[key]
        for table, sums in self.sums.items():
            if rows := changes.rows.get(table):
                sums.add(rows, CSEQ_COLUMN)
        if self.topic == MATCHING_EVENTS and "candles" in changes.rows:
            self.candles.add(changes.rows["candles"])
