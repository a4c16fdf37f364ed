"""Mutants of the protocol: each breaks one rule, and the sweep must notice every one of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streams.host
import streams.shard
from streams.channels import Channel, is_next
from streams.marks import Done, OutputTracker, PendingInput
from streams.snapshots import PendingSnapshot, SnapshotStore


def _accept_duplicates(channel: Channel, cseq: int, prev: bytes, value: bytes) -> bool:
    return cseq <= channel.cseq or is_next(channel, cseq, prev, value)


def _ignore_chain(channel: Channel, cseq: int, prev: bytes, value: bytes) -> bool:
    return cseq > channel.cseq


class _EagerTracker(OutputTracker):
    """Calls every input done with as soon as it is applied."""

    __slots__ = ()

    def track(self, after: Done, outputs: int) -> PendingInput:
        self.done = after
        return PendingInput(after, outputs)


def _publish_at_once(
    self: SnapshotStore, offset: int, dump: Callable[[], bytes]
) -> PendingSnapshot:
    pending = _start_snapshot(self, offset, dump)
    self.publish(pending)
    return PendingSnapshot(-1, pending.job)


def _publish_nothing(self: SnapshotStore, pending: PendingSnapshot) -> None:
    if pending.offset >= 0:
        _publish_snapshot(self, pending)


_start_snapshot = SnapshotStore.start
_publish_snapshot = SnapshotStore.publish

MUTANTS: dict[str, list[tuple[object, str, object]]] = {
    "deduplication off": [(streams.shard, "is_next", _accept_duplicates)],
    "mark rule broken": [(streams.host, "OutputTracker", _EagerTracker)],
    "snapshot rule broken": [
        (SnapshotStore, "start", _publish_at_once),
        (SnapshotStore, "publish", _publish_nothing),
    ],
    "chain check off": [(streams.shard, "is_next", _ignore_chain)],
}


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """The product with one rule broken, until the block ends."""
    saved = [(owner, attribute, getattr(owner, attribute)) for owner, attribute, _ in MUTANTS[name]]
    for owner, attribute, broken in MUTANTS[name]:
        setattr(owner, attribute, broken)
    try:
        yield
    finally:
        for owner, attribute, original in saved:
            setattr(owner, attribute, original)
