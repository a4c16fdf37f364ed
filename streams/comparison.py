"""Compares what a shadow computes with what stands in its shard's outbox, in either order."""

import json

from schemas.record import (
    UndecodableRecord,
    chain_hash,
    content_hash,
    decode_envelope,
    decode_record,
    to_dict,
)
from streams.channels import Channel

REMEMBERED = 4_096
TOLD = 1_500


class Divergence(Exception):
    """A record of the outbox is not the one that was computed; both sides are in the text."""


class Foreign(Exception):
    """A record of the outbox that its shard cannot have written."""


class Comparison:
    """The own records of one shard, as computed and as found, matched by their number.

    A chain hash covers all before it, so that a record that matches confirms every earlier one.
    """

    def __init__(self, shard: str, outbox: str, known: Channel) -> None:
        """`known` is the shard's own channel before the first record that will be computed."""
        self.compared = 0
        self.waiting_bytes = 0
        """What was computed and is not found yet."""
        self.ahead_bytes = 0
        """What was found and is not computed yet."""
        self._shard = shard
        self._outbox = outbox
        self._cseq = known.cseq
        self._waiting: dict[int, bytes] = {}
        self._ahead: dict[int, tuple[int, bytes]] = {}
        self._matched: dict[int, bytes] = {known.cseq: known.chain} if known.cseq else {}

    def computed(self, value: bytes) -> None:
        """Take the next own record that the shard computed. Raises `Divergence`."""
        self._cseq += 1
        found = self._ahead.pop(self._cseq, None)
        if found is None:
            self._waiting[self._cseq] = value
            self.waiting_bytes += len(value)
            return
        offset, theirs = found
        self.ahead_bytes -= len(theirs)
        self._match(self._cseq, offset, value, theirs)

    def found(self, offset: int, value: bytes | None) -> None:
        """Take the outbox's record at `offset`. Raises `Divergence` or `Foreign`."""
        try:
            record = decode_envelope(value)
        except UndecodableRecord as error:
            raise Foreign(f"{self._outbox}@{offset}: {error}") from error
        if record.src != self._shard or record.cseq < 1:
            raise Foreign(f"{self._outbox}@{offset} is of {record.src!r}")
        assert value is not None
        known = self._matched.get(record.cseq)
        if known is not None:
            if chain_hash(value) != known:
                raise self._differs(record.cseq, offset, "it came before with another hash", value)
            self.compared += 1
        elif record.cseq in self._waiting:
            self._match(record.cseq, offset, self._waiting[record.cseq], value)
        elif record.cseq > self._cseq:
            self._keep(record.cseq, offset, value)

    def end(self) -> list[str]:
        """Nothing more will be found. Returns, and forgets, what no computed record will lead to.

        A shard leaves no gap: what stands behind one was forged, and would be waited for in vain.
        """
        last = self._cseq
        while last + 1 in self._ahead:
            last += 1
        told = []
        for cseq in sorted(cseq for cseq in self._ahead if cseq > last):
            offset, value = self._ahead.pop(cseq)
            self.ahead_bytes -= len(value)
            told.append(f"{self._outbox}@{offset} is #{cseq}, nothing is between #{last} and it")
        return told

    def _keep(self, cseq: int, offset: int, value: bytes) -> None:
        first = self._ahead.setdefault(cseq, (offset, value))
        if not _same(first[1], value):
            raise self._differs(cseq, offset, f"first was {_readable(first[1])}", value)
        if first[0] == offset:
            self.ahead_bytes += len(value)

    def _match(self, cseq: int, offset: int, ours: bytes, theirs: bytes) -> None:
        if not _same(ours, theirs):
            raise self._differs(cseq, offset, f"computed {_readable(ours)}", theirs)
        self.compared += 1
        self._matched[cseq] = chain_hash(ours)
        if len(self._matched) > REMEMBERED:
            del self._matched[next(iter(self._matched))]
        while self._waiting and (first := next(iter(self._waiting))) <= cseq:
            self.waiting_bytes -= len(self._waiting.pop(first))

    def _differs(self, cseq: int, offset: int, wanted: str, theirs: bytes) -> Divergence:
        return Divergence(
            f"{self._outbox}@{offset} (cseq {cseq}) differs: {wanted}, found {_readable(theirs)}"
        )


def _same(one: bytes, other: bytes) -> bool:
    return one == other or content_hash(one) == content_hash(other)


def _readable(value: bytes) -> str:
    try:
        text = json.dumps(to_dict(decode_record(value)), default=repr)
    except UndecodableRecord as error:
        text = f"{error}: {value.hex()}"
    return text if len(text) <= TOLD else f"{text[:TOLD]}…"
