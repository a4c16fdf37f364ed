"""Channels in compact form: what a shard would have written, and what stands in a partition."""

from array import array
from bisect import bisect_right
from collections.abc import Collection
from dataclasses import dataclass, field

from infra.log import Partition
from schemas.primitives import UndecodableRecord
from schemas.record import HASH_BYTES, content_hash, decode_head, record_hash
from streams.audit.archive import Archive


class Produced:
    """The records of one channel as re-executed: content and cause of each, from `first` on."""

    __slots__ = ("_causes", "_contents", "first")

    def __init__(self, first: int) -> None:
        self.first = first
        self._contents = bytearray()
        self._causes = array("q")

    def add(self, value: bytes, cause: int) -> int:
        """Note the next record and return its cseq."""
        self._contents += content_hash(value)
        self._causes.append(cause)
        return self.last

    @property
    def last(self) -> int:
        """The cseq of the last record; `first` - 1 if there is none."""
        return self.first + len(self._causes) - 1

    def content_of(self, cseq: int) -> bytes:
        """The record's `content_hash`; the cseq must lie in first..last."""
        at = (cseq - self.first) * HASH_BYTES
        return bytes(self._contents[at : at + HASH_BYTES])

    def has(self, cseq: int, content: bytes) -> bool:
        """Whether the record of this number has this `content_hash`."""
        return self.first <= cseq <= self.last and content == self.content_of(cseq)

    def cause_of(self, cseq: int) -> int:
        """The ordinal of the input that caused the record."""
        return self._causes[cseq - self.first]

    def last_caused_by(self, ordinal: int) -> int:
        """The cseq of the last record that inputs up to `ordinal` caused."""
        return self.first + bisect_right(self._causes, ordinal) - 1


class FoundChannel:
    """The records of one source in a partition, in the order of their offsets."""

    __slots__ = ("contents", "cseqs", "names", "offsets")

    def __init__(self) -> None:
        self.cseqs = array("q")
        self.offsets = array("q")
        self.contents = bytearray()
        self.names = bytearray()

    def content_at(self, index: int) -> bytes:
        """The `content_hash` of the record at this index, to compare it."""
        return bytes(self.contents[index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def name_at(self, index: int) -> bytes:
        """The `record_hash` of the record at this index, by which an operator speaks of it."""
        return bytes(self.names[index * HASH_BYTES : (index + 1) * HASH_BYTES])

    def harmless(self, aside: Collection[int], produced: Produced, last: int) -> set[int]:
        """Which of the records at the offsets `aside`, that their reader set aside, lack nothing.

        One whose number the source produces, up to `last`, stands in place of the genuine record,
        unless that is here as well, and is read.
        """
        numbers = {
            offset: cseq
            for offset, cseq in zip(self.offsets, self.cseqs, strict=True)
            if offset in aside
        }
        lacking = {cseq for cseq in numbers.values() if produced.first <= cseq <= last}
        for index, cseq in enumerate(self.cseqs if lacking else ()):
            genuine = cseq in lacking and produced.has(cseq, self.content_at(index))
            if genuine and self.offsets[index] not in aside:
                lacking.remove(cseq)
        return {offset for offset, cseq in numbers.items() if cseq not in lacking}

    def received(self, produced: Produced, stop: int) -> int:
        """The cseq up to which all that the source produces stands here before the offset `stop`.

        What is forged, or stands before its turn, does not count.
        """
        last = produced.first - 1
        for index, (cseq, offset) in enumerate(zip(self.cseqs, self.offsets, strict=True)):
            if offset >= stop:
                break
            if cseq == last + 1 and produced.has(cseq, self.content_at(index)):
                last = cseq
        return last


@dataclass(slots=True)
class Found:
    """All that stands in a partition: channels by source, and what belongs to none.

    `unreadable` has offset and reason of each record whose head cannot be read, `outside` the
    offset, source and cause_offset of outside records that are not as outside records must be.
    `breaks` has (wanted, found) where offsets are not contiguous.
    """

    place: Partition
    next_offset: int
    channels: dict[str, FoundChannel] = field(default_factory=dict)
    unreadable: list[tuple[int, str]] = field(default_factory=list)
    outside: list[tuple[int, str, int]] = field(default_factory=list)
    breaks: list[tuple[int, int]] = field(default_factory=list)

    def note(self, offset: int, value: bytes | None) -> int:
        """Take the next record, and return how many messages its head announces."""
        if offset != self.next_offset:
            self.breaks.append((self.next_offset, offset))
        self.next_offset = offset + 1
        try:
            src, cseq, cause_offset, messages = decode_head(value)
        except UndecodableRecord as error:
            self.unreadable.append((offset, str(error)))
            return 0
        assert value is not None
        if cseq == 0:
            if cause_offset or self.place[0].endswith(".ev"):
                self.outside.append((offset, src, cause_offset))
            return messages
        channel = self.channels.get(src)
        if channel is None:
            channel = self.channels[src] = FoundChannel()
        channel.cseqs.append(cseq)
        channel.offsets.append(offset)
        channel.contents += content_hash(value)
        channel.names += record_hash(value)
        return messages


def scan(archive: Archive, place: Partition) -> Found:
    """All that stands in the partition."""
    found = Found(place, archive.manifest.bounds[place].first)
    for record in archive.everything(place):
        found.note(record.offset, record.value)
    return found
