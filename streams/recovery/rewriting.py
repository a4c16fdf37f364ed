"""Writes what stays of a log into an empty one, and the marks and words with which it goes on."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Final

from domain.protocol import NO_DEADLINE_US, HaltAction, ResolveHalt
from infra.clock import Clock
from infra.log import Log, LogFailure, Partition
from infra.refusal import Refusal
from schemas.record import (
    HASH_BYTES,
    UndecodableRecord,
    decode_record,
    encode_message,
    outside_record,
)
from schemas.topics import inbox
from streams.audit.archive import Archive, Progress, place_name, position_name
from streams.recovery.plan import Plan

ROUND: Final = 2_000
FLUSH_S: Final = 60.0


def write_log(archive: Archive, plan: Plan, log: Log, progress: Progress) -> int:
    """Bring the log up to what the plan keeps of the archive; how many records were added.

    It goes on behind what is there already, which must be the same. Raises `Refusal` if it is
    not, `LogFailure` if the log does not take a record.
    """
    return sum(_write(archive, place, kept, log, progress) for place, kept in plan.kept.items())


def commit_marks(plan: Plan, log: Log) -> None:
    """Let each shard go on where its first lost output was caused. Raises `LogFailure`."""
    for shard, mark in plan.marks.items():
        log.commit(*inbox(shard), mark.mark())


def write_words(plan: Plan, log: Log, clock: Clock, name: bytes) -> int:
    """Append the operator's words that are not there yet; how many were.

    First what was said of halted records, in words that do not stay. Then for each shard that it
    goes on cancel-only, under `name`: the hash of the report on this recovery, which the log
    thereby attests.
    """
    written = 0
    for shard in plan.marks:
        resolved = {**plan.resolved[shard], name: HaltAction.CANCEL_ONLY}
        said = _words_behind(log, inbox(shard), plan.kept[inbox(shard)])
        for record_hash, action in resolved.items():
            if record_hash not in said:
                _say(log, inbox(shard), clock, record_hash, action)
                written += 1
    _flush(log)
    return written


def _write(archive: Archive, place: Partition, kept: int, log: Log, progress: Progress) -> int:
    _, end = log.ends(*place)
    there = log.scan(*place, 0, min(end, kept))
    for record, found in zip(archive.records(place, 0, min(end, kept)), there, strict=True):
        if (record.value or b"") != (found.value or b""):
            position = position_name(place, record.offset)
            raise Refusal(f"{position} must hold what is kept of the old log, holds something else")
        progress.advance(1)
    written = 0
    for record in archive.records(place, end, kept):
        time_us = max(record.timestamp_ms, 0) * 1_000
        # A tombstone is set aside as nothing at all is: what counts is that its offset is taken.
        log.produce(*place, record.value or b"", time_us=time_us)
        written += 1
        progress.advance(1)
        if written % ROUND == 0:
            _flush(log)
    _flush(log)
    return written


def _flush(log: Log) -> None:
    if not log.flush(FLUSH_S):
        raise LogFailure(f"records must be replicated within {FLUSH_S:.0f} s, were not")


def _words_behind(log: Log, place: Partition, start: int) -> set[bytes]:
    """The names of all that an operator has resolved there from `start` on."""
    _, end = log.ends(*place)
    return {
        message.record_hash
        for record in log.scan(*place, start, end)
        for message in _messages(record.value)
        if isinstance(message, ResolveHalt)
    }


def _messages(value: bytes | None) -> Iterator[object]:
    try:
        yield from decode_record(value).messages
    except UndecodableRecord:
        return


def _say(log: Log, place: Partition, clock: Clock, record_hash: bytes, action: HaltAction) -> None:
    identity = place_name(place).encode() + record_hash
    command_id = blake2b(identity, digest_size=HASH_BYTES).digest()
    now_us = clock.now_us()
    word = ResolveHalt(command_id, NO_DEADLINE_US, record_hash, action)
    value = outside_record("operator", now_us, [encode_message(word)])
    log.produce(*place, value, time_us=now_us)
