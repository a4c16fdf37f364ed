"""Halts: when a shard stops rather than guess (exit status 3), and the word that ends one."""

from collections.abc import Iterable
from enum import StrEnum

from domain.protocol import HaltAction, ResolveHalt
from infra.log import LogRecord
from schemas.record import UndecodableRecord, decode_record


class HaltReason(StrEnum):
    """Why a shard halted; the names stand in logs, metrics and docs/runbook.md."""

    NO_GENESIS = "NO_GENESIS"
    GAP = "GAP"
    DIVERGENCE = "DIVERGENCE"
    ACKED_LOSS = "ACKED_LOSS"
    INPUT_CHANGED = "INPUT_CHANGED"
    FOREIGN_MESSAGE = "FOREIGN_MESSAGE"
    FAULT = "FAULT"
    UNKNOWN_RULES = "UNKNOWN_RULES"


class Halt(Exception):
    """The shard cannot go on past this input without an operator's word."""

    def __init__(self, reason: HaltReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class ShardHalted(Exception):
    """A halt that no operator has resolved: where it stands, and the name of the halted record."""

    def __init__(
        self, shard: str, halt: Halt, offset: int, record_hash: bytes, *, resolvable: bool
    ) -> None:
        way_out = (
            f"resolve with: logbourse admin resolve-halt --shard {shard} "
            f"--record-hash {record_hash.hex()} --action skip"
            if resolvable
            else "see docs/runbook.md#halts"
        )
        super().__init__(f"shard {shard} halted at offset {offset}: {halt}; {way_out}")
        self.shard = shard
        self.reason = halt.reason
        self.offset = offset
        self.record_hash = record_hash


def resolution_in(records: Iterable[LogRecord], record_hash: bytes) -> HaltAction | None:
    """What an operator says in these records about the record with this hash; None if nothing."""
    for record in records:
        try:
            decoded = decode_record(record.value)
        except UndecodableRecord:
            continue
        if decoded.src != "operator" or decoded.cseq:
            continue
        for message in decoded.messages:
            if isinstance(message, ResolveHalt) and message.record_hash == record_hash:
                return message.action
    return None
