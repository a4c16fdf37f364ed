"""One channel as it is watched: what its source computes here, and what stands in the partition."""

from collections.abc import Callable
from dataclasses import dataclass

from infra.log import Partition
from schemas.record import content_hash, record_hash
from streams.audit.findings import Finding, Kind, of_channel

REMEMBERED = 8_192
"""Hashes of matched records that are kept, to look at copies that come later."""


@dataclass(slots=True)
class Suspect:
    """A record that stands in the partition and was not computed so far.

    `due` is the end of its source's inbox after it was seen: by then it must have been computed.
    """

    offset: int
    content: bytes
    record_hash: bytes
    due: int | None = None


class Crossing:
    """The records of one source in one partition, matched by their number, in whichever order.

    `report` is told of every record that is not what its source computes.
    """

    def __init__(self, src: str, place: Partition, report: Callable[[Finding], None]) -> None:
        self.src = src
        self.place = place
        self.computed_last = 0
        self.matched_last = 0
        self.compared = 0
        self.due: dict[int, tuple[bytes, int]] = {}
        """By cseq what was computed and is not there yet: content, and where its cause stands."""
        self.suspects: dict[int, list[Suspect]] = {}
        self.suspected = 0
        """How many suspects there are."""
        self._new: list[Suspect] = []
        """Suspects that are not due yet at any time."""
        self._first_due: int | None = None
        """No suspect is due before this."""
        self._matched: dict[int, bytes] = {}
        self._report = report

    def computed(self, content: bytes, cause_offset: int) -> int:
        """Take the `content_hash` of the next record of the source; returns its cseq."""
        self.computed_last += 1
        cseq = self.computed_last
        self.due[cseq] = (content, cause_offset)
        for suspect in self.suspects.pop(cseq, ()):
            self.suspected -= 1
            self._compare(cseq, suspect.offset, suspect.content)
        return cseq

    def found(self, offset: int, cseq: int, value: bytes) -> None:
        """Take a record of the partition."""
        content = content_hash(value)
        if cseq in self._matched or cseq in self.due:
            self._compare(cseq, offset, content)
        elif not 0 < cseq <= self.computed_last:
            suspect = Suspect(offset, content, record_hash(value))
            self.suspects.setdefault(cseq, []).append(suspect)
            self._new.append(suspect)
            self.suspected += 1

    def let_be_due(self, end_of_source: Callable[[], int]) -> None:
        """Ask for the end of the source's inbox, by which what was found since is due."""
        if not self._new:
            return
        end = end_of_source()
        for suspect in self._new:
            suspect.due = end
        self._new.clear()
        self._first_due = end if self._first_due is None else min(end, self._first_due)

    def condemn(self, reached: int, is_resolved: Callable[[Suspect], bool]) -> list[int]:
        """Report suspects that are due before `reached`, where their source stands now.

        Returns the offsets of those that are forged, told or resolved by an operator already.
        """
        forged: list[int] = []
        if self._first_due is None or reached < self._first_due:
            return forged
        for cseq, suspects in list(self.suspects.items()):
            for suspect in [s for s in suspects if s.due is not None and s.due <= reached]:
                suspects.remove(suspect)
                self.suspected -= 1
                forged.append(suspect.offset)
                if not is_resolved(suspect):
                    words = "its source computes no such record"
                    self._add(Kind.FORGED, suspect.offset, cseq, words)
            if not suspects:
                del self.suspects[cseq]
        left = (s.due for each in self.suspects.values() for s in each if s.due is not None)
        self._first_due = min(left, default=None)
        return forged

    def miss(self, mark_offset: int, end: int) -> None:
        """Report what should stand before `end`: its cause lies before the source's mark."""
        for cseq, (_, cause_offset) in list(self.due.items()):
            if cause_offset < mark_offset:
                self._match(cseq)
                words = "it is not there, and its source has committed past its cause"
                self._add(Kind.MISSING, end, cseq, words)

    def _compare(self, cseq: int, offset: int, content: bytes) -> None:
        self.compared += 1
        known = self._matched[cseq] if cseq in self._matched else self.due[cseq][0]
        if content != known:
            self._add(Kind.CHANGED, offset, cseq, "it is not what its source computes")
            return
        if cseq in self.due:
            self._match(cseq)
            if cseq != self.matched_last + 1:
                words = f"#{self.matched_last + 1} was next"
                self._add(Kind.OUT_OF_ORDER, offset, cseq, words)
            self.matched_last = max(cseq, self.matched_last)

    def _match(self, cseq: int) -> None:
        self._matched[cseq] = self.due.pop(cseq)[0]
        if len(self._matched) > REMEMBERED:
            del self._matched[next(iter(self._matched))]

    def _add(self, kind: Kind, offset: int, cseq: int, words: str) -> None:
        named = f"{of_channel(self.src, self.place, cseq)}: {words}"
        self._report(Finding(kind, self.place, offset, named, self.src, cseq))
