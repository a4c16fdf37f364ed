"""Mutants of the protocol: each breaks one rule, and the sweep must notice every one of them."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import streams.shard
import streams.snapshots
from domain.decider import Command, Message
from domain.protocol import CommandRepeated, HaltAction
from infra.log import LogRecord
from streams.attestation import Attestation
from streams.channels import Channel, is_next
from streams.halts import Halt, HaltReason
from streams.held_log import HeldLog
from streams.host import Host
from streams.marks import Done, PendingInput
from streams.shadow import Shadow
from streams.shard import Shard, Step
from streams.snapshots import BadSnapshot, PendingSnapshot, Snapshot, SnapshotStore
from streams.window import CommandWindow

Patch = tuple[object, str, object]
"""(owner, attribute, what stands there instead)."""


class Mutant(NamedTuple):
    """One rule broken. Only violations that begin with one of `ids` are of that rule."""

    ids: str | tuple[str, ...]
    patches: Sequence[Patch]


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


def _run_however_late(self: Shard, command: Command, step: Step) -> Sequence[Message]:
    cause = self.window.cause_of(command.command_id)
    if cause:
        return (CommandRepeated(command.command_id, cause),)
    self.window.remember(command.command_id, command.deadline_us, self.ordinal)
    return self._plan(command, step)


def _forget_in_snapshots(self: CommandWindow) -> list[object]:
    return [self._second, []]


def _go_by_the_last_clock(self: Shard, record: Any, *rest: Any) -> Step:
    self.state.time_us = record.time_us
    return _accept(self, record, *rest)


def _commit_one_too_far(self: Host, done: Done) -> None:
    _commit(self, Done(done.offset + 1, done.ordinal, done.input_hash))


def _check_nothing(self: Host | Attestation, *_: object, **__: object) -> None:
    """What should halt the shard goes unseen."""


def _expect_the_mark_told(self: Attestation, *, mark: int, snapshot: int) -> None:
    _expect_told(self, mark=mark, snapshot=mark)


def _ask_for_the_end_first(self: Host, *, compared: bool = False) -> None:
    _, end = self._log.ends(self.topic, self.partition)
    _start(self, compared=compared)
    self._caught_up_at = end


def _count_any_acknowledgement(self: PendingInput) -> None:
    self.waiting = 0


def _believe_any_snapshot(data: bytes) -> Snapshot:
    """As the right one, the checksum apart."""
    head, _, payload = data.partition(b"\n")
    try:
        _, offset, last, _ = head.split(b" ")
        return Snapshot(int(offset), payload, bytes.fromhex(last[1:].decode()))
    except ValueError as error:
        raise BadSnapshot("no snapshot header") from error


def _skip_whatever_halts(self: Host, offset: int, name: bytes) -> HaltAction:
    return HaltAction.SKIP


def _pass_over(self: Shadow, record: LogRecord) -> None:
    self._outbox_next = record.offset + 1


def _write_once_more_under_new_numbers(self: Shard, offset: int, step: Step) -> None:
    _emit(self, offset, step)
    if self.ordinal % 16 == 0:
        _emit(self, offset, step)


def _leave_out_the_last(self: Shard, offset: int, step: Step) -> None:
    _emit(self, offset, step)
    if len(step.outputs) > 2:
        step.outputs.pop()


_accept = Shard._accept
_expect_told = Attestation.expect_told
_emit = Shard._emit
_move_mark = HeldLog.move_mark
_commit = Host._commit
_start = Host.start
_start_snapshot = SnapshotStore.start
_publish_snapshot = SnapshotStore.publish

_OUTBOX_UNASKED: list[Patch] = [
    (Attestation, "expect_told", _check_nothing),
    (Attestation, "meet", _check_nothing),
    (Attestation, "expect_met", _check_nothing),
]

PROTOCOL: dict[str, Mutant] = {
    "deduplication off": Mutant(
        "halted FAULT E3", [(streams.shard, "is_next", _accept_duplicates)]
    ),
    "mark rule broken": Mutant(
        ("halted ACKED_LOSS", "S5"), [(Host, "_commit", _commit_what_is_applied)]
    ),
    "snapshot rule broken": Mutant(
        "halted ACKED_LOSS",
        [
            (SnapshotStore, "start", _publish_at_once),
            (SnapshotStore, "publish", _publish_nothing),
        ],
    ),
    "chain check off": Mutant("S1", [(streams.shard, "is_next", _ignore_chain)]),
    "gap check off": Mutant(("S6", "E5"), [(streams.shard, "is_next", _ignore_gaps)]),
    "promotion without drain": Mutant("S3", [(Shadow, "_drain", _compare_nothing)]),
    "promotion from a stale mark": Mutant(
        "S5", [(Shadow, "promote", _promote_from_the_mark_known)]
    ),
    "held output dropped too early": Mutant(
        ("S1", "S5"), [(HeldLog, "move_mark", _drop_everything)]
    ),
    "commands forgotten": Mutant("S6", [(CommandWindow, "cause_of", _remember_nothing)]),
    "deadlines ignored": Mutant("S6", [(Shard, "_admit", _run_however_late)]),
    "commands left out of snapshots": Mutant("S4", [(CommandWindow, "dump", _forget_in_snapshots)]),
    "log time goes back": Mutant("S7", [(Shard, "_accept", _go_by_the_last_clock)]),
    "mark one too far": Mutant("halted INPUT_CHANGED", [(Host, "_commit", _commit_one_too_far)]),
    "end asked before the outbox": Mutant(
        "halted ACKED_LOSS", [(Host, "start", _ask_for_the_end_first)]
    ),
    "outbox not asked after a loss": Mutant(("S2", "S5"), _OUTBOX_UNASKED),
    "snapshot beyond its outbox taken": Mutant(
        "S5", [(Attestation, "expect_told", _expect_the_mark_told)]
    ),
    "snapshot checksum ignored": Mutant(
        ("S3", "S4"), [(streams.snapshots, "decode_snapshot", _believe_any_snapshot)]
    ),
    "one acknowledgement counts for all": Mutant(
        "S5", [(PendingInput, "acked", _count_any_acknowledgement)]
    ),
    "halts skipped unasked": Mutant("S1", [(Host, "_find_resolution", _skip_whatever_halts)]),
    "shadow compares nothing": Mutant("S3", [(Shadow, "_compare", _pass_over)]),
    "some outputs twice": Mutant(
        ("S6", "E5", "E3"), [(Shard, "_emit", _write_once_more_under_new_numbers)]
    ),
    "an output left out": Mutant(("S6", "E5"), [(Shard, "_emit", _leave_out_the_last)]),
}

OF_SHADOWS = (
    "promotion without drain",
    "promotion from a stale mark",
    "held output dropped too early",
    "shadow compares nothing",
)
OF_LOSSES = (
    "outbox not asked after a loss",
    "snapshot beyond its outbox taken",
)
