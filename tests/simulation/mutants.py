"""Mutants of the protocol: each breaks one rule, and the sweep must notice every one of them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import streams.shard
from streams.channels import Channel, is_next
from streams.halts import Halt, HaltReason
from streams.held_log import HeldLog
from streams.host import Host
from streams.marks import Done
from streams.shadow import Shadow
from streams.snapshots import PendingSnapshot, SnapshotStore
from streams.window import CommandWindow


def _accept_duplicates(channel: Channel, cseq: int, prev: bytes, value: bytes) -> bool:
    return cseq <= channel.cseq or is_next(channel, cseq, prev, value)


def _ignore_chain(channel: Channel, cseq: int, prev: bytes, value: bytes) -> bool:
    if cseq > channel.cseq + 1:
        raise Halt(HaltReason.GAP, f"cseq {channel.cseq + 1} wanted, was {cseq}")
    return cseq > channel.cseq


def _ignore_gaps(channel: Channel, cseq: int, prev: bytes, value: bytes) -> bool:
    return cseq > channel.cseq + 1 or is_next(channel, cseq, prev, value)


def _remember_nothing(self: CommandWindow, command_id: bytes) -> int:
    return 0


def _commit_what_is_applied(self: Host, done: Done) -> None:
    """Marks run ahead of acknowledgements; snapshots still wait for them."""
    shard = self.shard
    _commit(self, Done(self.position, shard.ordinal, shard.input_hash))


def _publish_at_once(
    self: SnapshotStore, offset: int, dump: Callable[[], bytes], last: bytes = b""
) -> PendingSnapshot:
    pending = _start_snapshot(self, offset, dump, last)
    self.publish(pending)
    return PendingSnapshot(-1, pending.job)


def _publish_nothing(self: SnapshotStore, pending: PendingSnapshot) -> None:
    if pending.offset >= 0:
        _publish_snapshot(self, pending)


def _compare_nothing(self: Shadow) -> None:
    """The shadow takes over whatever the leader has written meanwhile."""


def _promote_from_the_mark_known(self: Shadow) -> None:
    self._drain()
    self._log.leave(*self.outbox)
    self._held.lead()


def _drop_everything(self: HeldLog, mark: Done) -> None:
    """Whatever the mark has passed or not counts as replicated once the mark is read."""
    _move_mark(self, mark)
    self._held.clear()


_move_mark = HeldLog.move_mark
_commit = Host._commit
_start_snapshot = SnapshotStore.start
_publish_snapshot = SnapshotStore.publish

MUTANTS: dict[str, list[tuple[object, str, object]]] = {
    "deduplication off": [(streams.shard, "is_next", _accept_duplicates)],
    "mark rule broken": [(Host, "_commit", _commit_what_is_applied)],
    "snapshot rule broken": [
        (SnapshotStore, "start", _publish_at_once),
        (SnapshotStore, "publish", _publish_nothing),
    ],
    "chain check off": [(streams.shard, "is_next", _ignore_chain)],
    "gap check off": [(streams.shard, "is_next", _ignore_gaps)],
    "promotion without drain": [(Shadow, "_drain", _compare_nothing)],
    "promotion from a stale mark": [(Shadow, "promote", _promote_from_the_mark_known)],
    "held output dropped too early": [(HeldLog, "move_mark", _drop_everything)],
    "commands forgotten": [(CommandWindow, "cause_of", _remember_nothing)],
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
