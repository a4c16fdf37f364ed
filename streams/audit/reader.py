"""What the shard whose inbox it is makes of a record there, as far as that is known."""

from collections.abc import Sequence
from functools import cached_property

from domain.protocol import ResolveHalt
from infra.log import Partition
from schemas.record import UndecodableRecord, decode_record
from streams.audit.archive import Archive
from streams.audit.rerun import Run


class Reader:
    """The shard that reads an inbox, by its run, and by the log where its run did not come to.

    Whether an operator's word has dropped a record only the run knows: it must have halted there.
    """

    def __init__(self, archive: Archive, place: Partition, run: Run | None) -> None:
        self._archive = archive
        self._place = place
        self._run = run
        self._reached = _reached(run)

    def has_read(self, offset: int) -> bool:
        """Whether its run tells what it has made of the record there."""
        return offset < self._reached

    def has_dropped(self, offset: int, name: bytes) -> bool:
        """Whether its run has dropped the record of this hash at an operator's word."""
        if self._run is None or not self.has_read(offset):
            return False
        return self._run.has_dropped(offset, name)

    def may_have_dropped(self, offset: int, name: bytes) -> bool:
        """Whether an operator speaks behind it of the record, which its run has not read."""
        if self.has_read(offset):
            return False
        return self._words.get(name, -1) > offset and offset not in self._unreadable

    def set_aside(self, unread: Sequence[int]) -> set[int]:
        """The offsets of the records it applies nothing of: of its run, and of those unread."""
        aside = self._run.set_aside_whole() if self._run is not None else set()
        return aside | self._unreadable.intersection(unread) if unread else aside

    @property
    def _words(self) -> dict[bytes, int]:
        return self._unread[0]

    @property
    def _unreadable(self) -> set[int]:
        return self._unread[1]

    @cached_property
    def _unread(self) -> tuple[dict[bytes, int], set[int]]:
        """Of what its run did not read: where an operator last speaks of a hash; what is no record.

        Looked through once, and only where something there is to be found fault with.
        """
        words: dict[bytes, int] = {}
        unreadable: set[int] = set()
        end = self._archive.end(self._place)
        for record in self._archive.records(self._place, self._reached, end):
            try:
                decoded = decode_record(record.value)
            except UndecodableRecord:
                unreadable.add(record.offset)
                continue
            if decoded.src != "operator" or decoded.cseq:
                continue
            for message in decoded.messages:
                if isinstance(message, ResolveHalt):
                    words[message.record_hash] = record.offset
        return words, unreadable


def _reached(run: Run | None) -> int:
    """The offset before which all is known; a run from a snapshot says nothing of earlier halts."""
    if run is None or run.base_ordinal:
        return 0
    return run.stop if run.halted is None else run.halted.offset + 1
