"""Where each partition's reading is to go on: what was fetched before a seek is left out."""

from collections.abc import Callable, Sequence
from time import monotonic

from infra.log import Partition
from projections.follower import RawRecord

SEEK_AGAIN_AFTER_S = 2.0


class Seeks:
    """The offsets at which partitions were told to go on, each until its record has come."""

    def __init__(self, now_s: Callable[[], float] = monotonic) -> None:
        """`now_s` tells monotonic seconds."""
        self._now_s = now_s
        self._awaited: dict[Partition, tuple[int, float]] = {}

    def begin(self, partition: Partition, offset: int) -> None:
        """The partition is told to go on at `offset`; a seek before is over."""
        self._awaited[partition] = (offset, self._now_s())

    def awaited(self, partition: Partition) -> int | None:
        """The offset whose record must come next, None if any may."""
        found = self._awaited.get(partition)
        return None if found is None else found[0]

    def expected(self, partition: Partition, records: Sequence[RawRecord]) -> Sequence[RawRecord]:
        """Those of the records that do not come from before a seek."""
        awaited = self.awaited(partition)
        if awaited is None:
            return records
        for number, record in enumerate(records):
            if record.offset == awaited:
                del self._awaited[partition]
                return records[number:]
        return []

    def overdue(self, partition: Partition) -> int | None:
        """The offset to seek again, if its record has not come for 2 s."""
        found = self._awaited.get(partition)
        if found is None or self._now_s() - found[1] <= SEEK_AGAIN_AFTER_S:
            return None
        return found[0]
