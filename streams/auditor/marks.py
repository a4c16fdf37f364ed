"""The marks that shards commit: their input was read here, and what they caused is there."""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING

from infra.log import Log, Partition
from streams.audit.findings import Finding, Kind
from streams.marks import Done

if TYPE_CHECKING:
    from streams.auditor.log_auditor import LogAuditor


@dataclass(slots=True)
class Promise:
    """What a shard caused by inputs before `mark_offset` stands before these ends."""

    shard: str
    mark_offset: int
    ends: Mapping[Partition, int]


class MarkWatch:
    """Looks at one shard's mark a time, in turn."""

    def __init__(self, log: Log, auditor: "LogAuditor") -> None:
        self._log = log
        self._auditor = auditor
        self._in_turn = cycle(auditor.followed)
        self._promises: list[Promise] = []

    def look(self) -> None:
        """Compare the mark of the next shard, and keep what earlier marks have promised."""
        followed = self._auditor.followed[next(self._in_turn)]
        self._keep_promises()
        mark = self._log.committed(*followed.place)
        if mark is None:
            return
        # Asked after the mark: what the mark speaks of stands before these ends.
        self._look_for_loss(followed.place, mark.offset)
        owed = [c for (src, _), c in self._auditor.crossings.items() if src == followed.id]
        ends = {crossing.place: self._end(crossing.place) for crossing in owed if crossing.due}
        self._promises.append(Promise(followed.id, mark.offset, ends))
        try:
            told = Done.of_mark(mark)
        except ValueError:
            words = f"{followed.id}'s mark cannot be read: {mark.metadata!r}"
            self._find(Kind.INPUT_CHANGED, followed.place, mark.offset, words)
            return
        ours = followed.done_at(mark.offset)
        if ours is not None and ours != told:
            words = f"{followed.id} committed {told.mark().metadata}, is {ours.mark().metadata}"
            self._find(Kind.INPUT_CHANGED, followed.place, mark.offset, words)

    def _keep_promises(self) -> None:
        reached = self._auditor.next_offsets
        kept = [p for p in self._promises if all(reached[o] >= e for o, e in p.ends.items())]
        for promise in kept:
            self._promises.remove(promise)
            for place, end in promise.ends.items():
                self._auditor.crossing(promise.shard, place).miss(promise.mark_offset, end)

    def _look_for_loss(self, place: Partition, mark_offset: int) -> None:
        end = self._end(place)
        known = max(mark_offset, self._auditor.next_offsets[place])
        if end < known:
            words = f"the log ends here, it was read or committed up to {known}"
            self._find(Kind.MISSING, place, end, words)

    def _end(self, place: Partition) -> int:
        return self._log.ends(*place)[1]

    def _find(self, kind: Kind, place: Partition, offset: int, words: str) -> None:
        self._auditor.find(Finding(kind, place, offset, words))
