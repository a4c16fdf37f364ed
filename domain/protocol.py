"""Messages that every shard understands: genesis, time, rules versions, halts, command outcomes."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from domain.decider import Command, Message, Outcome
from domain.fees import FeeTier
from domain.limits import Limits

AUDITOR: Final = "auditor"
"""The outside source that may stop things, and nothing else."""


def is_alarm(source: str, message: Message, stop: type[Message]) -> bool:
    """Whether an auditor says `stop`, which it may. Letting go on is the operator's word."""
    return source == AUDITOR and isinstance(message, stop)


@dataclass(slots=True)
class Genesis(Message):
    """Record 0 of every input partition: what the exchange is before anything happened."""

    exchange: str
    family: str
    partition: int
    ledger_partitions: int
    matching_partitions: int
    rules_version: int
    limits: Limits
    fee_tiers: list[FeeTier]


@dataclass(slots=True)
class Tick(Message):
    """Time passes: each host appends one a second to its own input; the time is the record's."""


@dataclass(slots=True)
class RulesActivated(Message):
    """From here on the shard follows rules version `version`."""

    version: int


class HaltAction(IntEnum):
    """What an operator decides about the record at which a shard halted."""

    SKIP = 0
    CANCEL_ONLY = 1


NO_DEADLINE_US: Final = 1 << 62
"""For a word that must have its effect whenever it is read, however far log time is ahead."""


@dataclass(slots=True)
class ResolveHalt(Command):
    """The operator's word on a halted record, named by the blake2b-16 hash of its bytes.

    Its deadline is `NO_DEADLINE_US`: the record would be passed even if the command had expired.
    """

    record_hash: bytes
    action: HaltAction


@dataclass(slots=True)
class HaltResolved(Outcome):
    """A `ResolveHalt` was honored."""

    record_hash: bytes
    action: HaltAction


@dataclass(slots=True)
class CommandExpired(Outcome):
    """The command came after its deadline in logical time and had no effect."""

    deadline_us: int


@dataclass(slots=True)
class CommandRepeated(Outcome):
    """The command ran before; its result stands in this shard's `*.ev` from `original_cause` on."""

    original_cause: int


@dataclass(slots=True)
class CommandFaulted(Outcome):
    """Planning the command failed by a bug; it had no effect."""

    message_type: str
    error: str
