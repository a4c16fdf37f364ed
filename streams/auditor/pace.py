"""Leaves partitions that were read too far ahead of the rest, so that memory has a bound."""

from collections import Counter
from typing import TYPE_CHECKING

from infra.log import Partition, PausableLog
from schemas.topics import outbox
from streams.auditor.followed import Followed

if TYPE_CHECKING:
    from streams.auditor.log_auditor import LogAuditor

QUEUED_BYTES = 64 * 1024 * 1024
DUE_RECORDS = 200_000
SUSPECTS = 100_000
"""Beyond these a partition is read no further until there is half as much."""


class Pace:
    """Which partitions of an auditor's log are left."""

    def __init__(self, log: PausableLog, auditor: "LogAuditor") -> None:
        self.left: set[Partition] = set()
        self._log = log
        self._auditor = auditor

    def keep(self) -> None:
        """Leave what is too far ahead, and read on what no longer is."""
        suspected: Counter[Partition] = Counter()
        for (_, place), crossing in self._auditor.crossings.items():
            suspected[place] += crossing.suspected
        for shard, followed in self._auditor.followed.items():
            self._keep_one(outbox(shard), suspected[outbox(shard)] / SUSPECTS)
            self._keep_one(followed.place, self._fullness(followed, suspected[followed.place]))

    def _fullness(self, followed: Followed, suspected: int) -> float:
        """How full the fullest bound of an inbox is."""
        written = outbox(followed.id)
        # An outbox that was left waits for this shard to go on, not the other way round.
        due = len(self._auditor.crossing(followed.id, written).due)
        late = 0 if written in self.left else due
        queued = followed.queued_bytes / QUEUED_BYTES
        return max(queued, late / DUE_RECORDS, suspected / SUSPECTS)

    def _keep_one(self, place: Partition, full: float) -> None:
        if full > 1 and place not in self.left:
            self.left.add(place)
            self._log.leave(*place)
        elif full <= 0.5 and place in self.left:
            self.left.discard(place)
            self._log.seek(*place, self._auditor.next_offsets[place])
