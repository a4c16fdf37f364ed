"""Channels in compact form: what a shard would have written, and what stands in a partition."""

from array import array
from bisect import bisect_right
from dataclasses import dataclass, field

from schemas.primitives import UndecodableRecord
from schemas.record import HASH_BYTES, record_hash
from streams.audit.archive import Archive, Place
from streams.audit.envelope import head_of


class Produced:
    """The records of one channel by re-execution: hash and cause of each, gapless from `first`."""

    __slots__ = ("_causes", "_hashes", "first")

    def __init__(self, first: int) -> None:
        self.first = first
        self._hashes = bytearray()
        self._causes = array("q")

    def add(self, value: bytes, cause: int) -> int:
        """Note the next record and return its cseq."""
        self._hashes += record_hash(value)
        self._causes.append(cause)
        return self.last

    @property
    def last(self) -> int:
        """The cseq of the last record; `first` - 1 if there is none."""
        return self.first + len(self._causes) - 1

    def hash_of(self, cseq: int) -> bytes:
        """The hash of the record's bytes; the cseq must lie in first..last."""
        at = (cseq - self.first) * HASH_BYTES
        return bytes(self._hashes[at : at + HASH_BYTES])

    def cause_of(self, cseq: int) -> int:
        """The ordinal of the input that caused the record."""
        return self._causes[cseq - self.first]

    def last_caused_by(self, ordinal: int) -> int:
        """The cseq of the last record that inputs up to `ordinal` caused."""
        return self.first + bisect_right(self._causes, ordinal) - 1


class FoundChannel:
    """The records of one source in a partition, in the order of their offsets."""

    __slots__ = ("cseqs", "hashes", "offsets")

    def __init__(self) -> None:
        self.cseqs = array("q")
        self.offsets = array("q")
        self.hashes = bytearray()

    def hash_at(self, index: int) -> bytes:
        """The hash of the bytes of the record at this index."""
        return bytes(self.hashes[index * HASH_BYTES : (index + 1) * HASH_BYTES])


@dataclass(slots=True)
class Found:
    """All that stands in a partition: channels by source, and what belongs to none.

    `unreadable` has offset and reason of each record whose head cannot be read, `outside` the
    offset, source and cause_offset of outside records that are not as outside records must be.
    `breaks` has (wanted, found) where offsets are not contiguous.
    """

    place: Place
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
            src, cseq, cause_offset, messages = head_of(value)
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
        channel.hashes += record_hash(value)
        return messages


def scan(archive: Archive, place: Place) -> Found:
    """All that stands in the partition."""
    found = Found(place, archive.manifest.bounds[place].first)
    for record in archive.everything(place):
        found.note(record.offset, record.value)
    return found
