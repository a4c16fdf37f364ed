"""Follows partitions: records in, changes into the sink, and where to read on if they must."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import monotonic

from infra.logging import get_logger
from infra.metrics import Counter, Gauge, Histogram
from projections.changes import Changes, PlacedRecord, Projector
from projections.layout import LEDGER_EVENTS, NOWHERE, Position
from projections.ledger_projector import LedgerProjector
from projections.matching_projector import MatchingProjector
from projections.sink import Sink, Step, Verdict
from schemas.record import decode_record

_LABELS = ("sink", "topic", "partition")
POSITION = Gauge("logbourse_projection_cseq", "Sequence of the last applied record", _LABELS)
LOG_TIME = Gauge("logbourse_projection_log_time_seconds", "Log time that is applied", _LABELS)
LAG = Gauge("logbourse_projection_lag_records", "Records in Kafka not yet applied", _LABELS)
RECORDS = Counter("logbourse_projection_records", "Records applied", _LABELS)
PASSED_OVER = Counter(
    "logbourse_projection_passed_over", "Records beyond the next, which the log lacks", _LABELS
)
APPLY_S = Histogram(
    "logbourse_projection_apply_seconds",
    "Time to fold and store what waited",
    ("sink",),
    buckets=(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5),
)

_logger = get_logger("projections")


@dataclass(slots=True, frozen=True)
class RawRecord:
    """A record's bytes and the Kafka offset at which they stand."""

    offset: int
    value: bytes | None


@dataclass(slots=True, frozen=True)
class Fold:
    """What records come to: the changes, if any followed, and the record behind a gap."""

    records: int
    changes: Changes | None
    gap: PlacedRecord | None


def offer_all(
    sink: Sink, offers: Mapping["Follower", Sequence[RawRecord]]
) -> dict["Follower", int]:
    """Apply what follows in each partition, as one call of the sink.

    Returns where to read on, for those that must not read on at the next offset. What was applied
    before is dropped; after a gap, nothing of what follows it is applied. Raises what decoding,
    folding or storing raises; then every follower must `load`.
    """
    started_s = monotonic()
    folds = {follower: follower.fold(records) for follower, records in offers.items()}
    steps = {
        follower: Step(follower.topic, follower.partition, fold.changes)
        for follower, fold in folds.items()
        if fold.changes is not None
    }
    verdicts: dict[Follower, Verdict] = {}
    if steps:
        verdicts = dict(zip(steps, sink.apply(list(steps.values())), strict=True))
        APPLY_S.labels(sink.name).observe(monotonic() - started_s)
    told = {
        follower: follower.take(fold, verdicts.get(follower, Verdict.DUPLICATE))
        for follower, fold in folds.items()
    }
    return {follower: offset for follower, offset in told.items() if offset is not None}


def projector_for(topic: str, partition: int) -> Projector:
    """A new projector for a partition of `ledger.ev` or `matching.ev`."""
    if topic == LEDGER_EVENTS:
        return LedgerProjector(partition)
    return MatchingProjector(partition)


class Follower:
    """One partition of one sink. Not safe for threads: one call at a time."""

    def __init__(
        self,
        topic: str,
        partition: int,
        sink: Sink,
        make_projector: Callable[[str, int], Projector] = projector_for,
    ) -> None:
        self.topic = topic
        self.partition = partition
        self._sink = sink
        self._make_projector = make_projector
        self._projector = make_projector(topic, partition)
        self._reached = NOWHERE
        self._is_read_through = False
        """Whether every record was read that stands behind the loaded position in this log."""
        self._gap = (0, 0)
        """The sequence that did not follow, and the offset of what stood there instead."""
        self._missing = 0
        """A sequence that the log lacks."""
        self._read_to = -1
        self._labels = (sink.name, topic, str(partition))

    @property
    def position(self) -> Position:
        """The last record that the view contains.

        After a load the projector may stand before it and fold once more what is stored already.
        """
        return max(self._projector.position, self._reached)

    @property
    def read_to(self) -> int:
        """The offset of the last record that need not be read again, applied or not."""
        return max(self.position.offset, self._read_to)

    @property
    def lacks(self) -> int:
        """The sequence that the log lacks, so that nothing behind it is applied; 0 if none."""
        return self._missing if self._missing == self._projector.position.cseq + 1 else 0

    def tell_lag(self, end_offset: int) -> None:
        """Let the metrics say how many records stand between the position and the log's end."""
        LAG.labels(*self._labels).set(max(0, end_offset - self.position.offset - 1))

    def load(self) -> int:
        """Take position and state from the sink; returns the offset at which to read on."""
        position, cells = self._sink.load(self.topic, self.partition)
        self._projector = self._make_projector(self.topic, self.partition)
        self._projector.load(position, cells)
        self._is_read_through = position == NOWHERE
        self._read_to = -1
        self._reached = self._sink.reached(self.topic, self.partition)
        self._report()
        return position.offset + 1

    def fold(self, records: Sequence[RawRecord]) -> Fold:
        """What the records change behind the position; the projector contains that from now on."""
        following, gap = self._following(records)
        changes = self._projector.apply(following) if following else None
        return Fold(len(following), changes, gap)

    def take(self, fold: Fold, verdict: Verdict) -> int | None:
        """What the sink says of the fold; returns where to read on if that is not the next offset.

        Then this follower has loaded again.
        """
        if verdict is Verdict.GAP:
            return self.load()
        RECORDS.labels(*self._labels).inc(fold.records)
        self._report()
        return None if fold.gap is None else self._before(fold.gap)

    def _following(
        self, records: Sequence[RawRecord]
    ) -> tuple[list[PlacedRecord], PlacedRecord | None]:
        """The records that follow the position without a gap, and the one behind the gap."""
        following: list[PlacedRecord] = []
        position = self._projector.position
        wanted = position.cseq + 1
        for raw in records:
            record = decode_record(raw.value)
            if (raw.offset, record.cseq) == (position.offset, position.cseq):
                self._is_read_through = True
            if record.cseq > wanted:
                if wanted != self._missing:
                    return following, PlacedRecord(raw.offset, record)
                PASSED_OVER.labels(*self._labels).inc()
            self._read_to = raw.offset
            if record.cseq == wanted:
                following.append(PlacedRecord(raw.offset, record))
                wanted += 1
        return following, None

    def _before(self, gap: PlacedRecord) -> int:
        """Load, and say where to read on so that nothing before `gap` is left out.

        The stored offset is a hint: in a mirrored log the record may stand earlier. Duplicates may
        put it earlier still, and then the next gap leads there. Where the record of the position
        stands at that offset it is no hint; whoever meets the same gap behind it once more has
        found a record that does not belong there, and waits for the right one further on.
        """
        wanted, at = self._projector.position.cseq + 1, gap.offset
        again = self._gap == (wanted, at)
        if again and self._is_read_through:
            self._missing = wanted
            place = f"{self.topic}.{self.partition}"
            _logger.error("not in the log", place=place, cseq=wanted, instead=gap.record.cseq)
            return at
        self._gap = (wanted, at)
        hint = max(0, self.load() - 1)
        if not again and hint < at:
            return hint
        missing = gap.record.cseq - (self._projector.position.cseq + 1)
        begin = max(0, min(hint, at - max(missing, 0)))
        self._is_read_through = begin == 0
        return begin

    def _report(self) -> None:
        POSITION.labels(*self._labels).set(self.position.cseq)
        LOG_TIME.labels(*self._labels).set(self.position.time_us / 1_000_000)
