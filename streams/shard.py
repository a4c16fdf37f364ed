"""One shard as a pure state machine: the step of the log-channel protocol over its input."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from domain.decider import Command, Decider, Message, Outcome, UnrefusableFault
from domain.protocol import (
    AUDITOR,
    CommandExpired,
    CommandFaulted,
    CommandRepeated,
    Genesis,
    HaltAction,
    RulesActivated,
)
from domain.rules import SUPPORTED_RULES
from schemas.record import Record, UndecodableRecord, decode_record, encode_message
from schemas.record import input_part as hashed_input
from schemas.topics import inbox, outbox, shards
from streams.channels import GENESIS_CHAIN, Channel, Origin, Output, advance, is_next, seal
from streams.halts import Halt, HaltReason
from streams.window import CommandWindow

OUTSIDE_SOURCES: Final = ("gw", "operator", "clock", AUDITOR)
COMMAND_ID_BYTES: Final = 16


@dataclass(slots=True)
class Quarantined:
    """What was set aside instead of applied: a whole record (index -1) or one message of it."""

    index: int
    why: str


@dataclass(slots=True)
class Step:
    """What one input record led to."""

    outputs: list[Output] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)
    accepted: bool = False
    duplicate: bool = False
    """Whether it came before on its channel, and so was dropped."""
    commands: int = 0
    faults: list[str] = field(default_factory=list)


class UnknownLayout(Exception):
    """A dump of another build, or none at all."""


class Shard:
    """A shard's whole state and the step over its input.

    All of it is in the snapshot but `resolutions`, which its host finds in the log again.

    A `Halt` raised by `step` leaves the shard unusable: it must be built anew.
    """

    __slots__ = (
        "_decide",
        "_decider",
        "_destinations",
        "_evolve",
        "_outputs",
        "_refuse",
        "_upstreams",
        "id",
        "incoming",
        "input_hash",
        "ordinal",
        "outgoing",
        "resolutions",
        "rules_version",
        "state",
        "window",
    )

    def __init__(self, shard_id: str, decider: Decider[Any]) -> None:
        self.id = shard_id
        self._decider = decider
        # Looked up once: they are called for every message.
        self._refuse, self._decide = decider.refuse, decider.decide
        self._evolve, self._destinations = decider.evolve, decider.destinations
        self.state = decider.initial()
        self.ordinal = 0
        self.input_hash = bytes(16)
        self.rules_version = 0
        self.incoming: dict[str, Channel] = {}
        self.outgoing: dict[str, Channel] = {}
        self.window = CommandWindow()
        self.resolutions: dict[int, HaltAction] = {}
        self._upstreams: frozenset[str] = frozenset()
        self._outputs: dict[str, list[bytes]] = {}

    def step(self, offset: int, value: bytes | None) -> Step:
        """Apply the input record at `offset` and return what it led to. Raises `Halt`.

        The offset goes into outputs as a hint, and says which records `resolutions` speaks of (by
        offset, since a copy that comes after the operator's word halts anew); nothing else
        depends on it.
        """
        try:
            record = decode_record(value)
        except UndecodableRecord as error:
            return Step(quarantined=[Quarantined(-1, str(error))])
        assert value is not None
        skipped = offset in self.resolutions
        if record.cseq == 0:
            why = self._refuse_outside(record)
            if why:
                return Step(quarantined=[Quarantined(-1, why)])
            if skipped:
                return Step()
        else:
            if record.src not in self._upstreams and self.ordinal:
                return Step(quarantined=[Quarantined(-1, f"no channel comes from {record.src}")])
            try:
                if not self._receive(record, value):
                    return Step(duplicate=True)
            except Halt:
                if skipped:
                    return Step()
                raise
        return self._accept(record, value, offset, skipped)

    def state_hash(self) -> bytes:
        """The 16-byte hash of the canonical dump: equal on every host at the same input."""
        return hash_of_dump(self.dump())

    def dump(self) -> bytes:
        """The whole shard as canonical JSON."""
        return json.dumps(
            {
                "shard": self.id,
                "ordinal": self.ordinal,
                "input_hash": self.input_hash.hex(),
                "rules_version": self.rules_version,
                "upstreams": sorted(self._upstreams),
                "incoming": _dump_channels(self.incoming),
                "outgoing": _dump_channels(self.outgoing),
                "window": self.window.dump(),
                "state": self._decider.dump(self.state),
            },
            separators=(",", ":"),
        ).encode()

    @classmethod
    def load(cls, dumped: bytes, decider: Decider[Any]) -> "Shard":
        """The shard that `dump` described; `UnknownLayout` if this build cannot read it."""
        try:
            return cls._load(json.loads(dumped), decider)
        except MemoryError:
            # No layout: it says something of this machine, nothing of the dump.
            raise
        except Exception as error:
            raise UnknownLayout(f"must be a dump of this build, was not: {error!r}") from error

    @classmethod
    def _load(cls, data: Any, decider: Decider[Any]) -> "Shard":
        shard = cls(data["shard"], decider)
        shard.ordinal = data["ordinal"]
        shard.input_hash = bytes.fromhex(data["input_hash"])
        shard.rules_version = data["rules_version"]
        shard._upstreams = frozenset(data["upstreams"])
        shard.incoming = _load_channels(data["incoming"])
        shard.outgoing = _load_channels(data["outgoing"])
        shard.window = CommandWindow.load(data["window"])
        shard.state = decider.load(data["state"])
        return shard

    def expect_known_rules(self) -> None:
        """Raises `Halt` (UNKNOWN_RULES) if rules are active that this build lacks."""
        # Version 0: there was no Genesis yet.
        if self.rules_version:
            _expect_known(self.rules_version)

    def _refuse_outside(self, record: Record) -> str:
        if record.src not in OUTSIDE_SOURCES:
            return f"outside source wanted ({', '.join(OUTSIDE_SOURCES)}), was {record.src!r}"
        if record.prev or record.cause:
            return "an outside record has neither prev nor cause"
        return ""

    def _receive(self, record: Record, value: bytes) -> bool:
        channel = self.incoming.get(record.src)
        if channel is None:
            channel = self.incoming[record.src] = Channel(0, GENESIS_CHAIN)
        if not is_next(channel, record.cseq, record.prev, value):
            return False
        advance(channel, record.cseq, value)
        return True

    def _accept(self, record: Record, value: bytes, offset: int, skipped: bool) -> Step:
        if self.ordinal == 0 and not (record.messages and isinstance(record.messages[0], Genesis)):
            raise Halt(HaltReason.NO_GENESIS, "the first record of the partition is no Genesis")
        self.ordinal += 1
        self.input_hash = hashlib.blake2b(
            self.input_hash + hashed_input(value), digest_size=16
        ).digest()
        if record.time_us > self.state.time_us:
            self.state.time_us = record.time_us
        self.window.expire(self.state.time_us)
        step = Step(accepted=True)
        self._outputs = {self.id: []}
        if not skipped:
            for index, message in enumerate(record.messages):
                self._apply(record.src, index, message, step)
        self._emit(offset, step)
        return step

    def _apply(self, source: str, index: int, message: Message, step: Step) -> None:
        why = _malformed(message) or self._refuse(self.state, source, message)
        if why:
            if source not in OUTSIDE_SOURCES:
                raise Halt(HaltReason.FOREIGN_MESSAGE, why)
            step.quarantined.append(Quarantined(index, why))
            return
        if isinstance(message, Command):
            step.commands += 1
            events = self._admit(message, step)
        else:
            if isinstance(message, (Genesis, RulesActivated)):
                self._follow_rules(message)
            events = self._plan(message, step)
        try:
            self._happen(events)
        except MemoryError:
            raise
        except Exception as error:
            raise Halt(HaltReason.FAULT, f"applying {type(message).__name__}: {error!r}") from error

    def _admit(self, command: Command, step: Step) -> Sequence[Message]:
        cause = self.window.cause_of(command.command_id)
        if cause:
            return (CommandRepeated(command.command_id, cause),)
        if command.deadline_us < self.state.time_us:
            return (CommandExpired(command.command_id, command.deadline_us),)
        self.window.remember(command.command_id, command.deadline_us, self.ordinal)
        return self._plan(command, step)

    def _plan(self, message: Message, step: Step) -> Sequence[Message]:
        try:
            return self._decide(self.state, message)
        except MemoryError:
            # It says something of this machine, nothing of the message: no other would agree.
            raise
        except Exception as error:
            step.faults.append(f"{type(message).__name__}: {error!r}")
            return self._close_faulted(message, error)

    def _close_faulted(self, message: Message, error: Exception) -> Sequence[Message]:
        kind = type(message).__name__
        try:
            closing = self._decider.fault(self.state, message)
        except UnrefusableFault:
            raise Halt(HaltReason.FAULT, f"planning {kind}: {error!r}") from error
        command_id = message.command_id if isinstance(message, (Command, Outcome)) else b""
        # The error's text is left to the log file: it may differ between builds, the type may not.
        return (CommandFaulted(command_id, kind, type(error).__name__), *closing)

    def _follow_rules(self, message: Genesis | RulesActivated) -> None:
        version = message.rules_version if isinstance(message, Genesis) else message.version
        _expect_known(version)
        self.rules_version = version
        if isinstance(message, Genesis):
            self._upstreams = frozenset(
                shards(message.ledger_partitions, message.matching_partitions)
            )

    def _happen(self, events: Sequence[Message]) -> None:
        evolve, destinations = self._evolve, self._destinations
        outputs = self._outputs
        own = outputs[self.id]
        for event in events:
            self.state = evolve(self.state, event)
            encoded = encode_message(event)
            own.append(encoded)
            for destination in destinations(self.state, event):
                outputs.setdefault(destination, []).append(encoded)

    def _emit(self, offset: int, step: Step) -> None:
        origin = Origin(self.id, self.ordinal, offset, self.state.time_us)
        for destination, messages in self._outputs.items():
            own = destination == self.id
            topic, partition = outbox(self.id) if own else inbox(destination)
            channel = self.outgoing.get(destination)
            if channel is None:
                channel = self.outgoing[destination] = Channel(0, GENESIS_CHAIN)
            for value in seal(channel, origin, self.input_hash if own else b"", messages):
                step.outputs.append(Output(topic, partition, value))


def hash_of_dump(dumped: bytes) -> bytes:
    """The state hash of a shard with this dump."""
    return hashlib.blake2b(dumped, digest_size=16).digest()


def _expect_known(version: int) -> None:
    if version not in SUPPORTED_RULES:
        raise Halt(
            HaltReason.UNKNOWN_RULES,
            f"rules version {version} is active, this build knows {SUPPORTED_RULES}",
        )


def _malformed(message: Message) -> str:
    """What is wrong with a command's identity: an empty one would answer nobody, for everybody."""
    if isinstance(message, Command) and len(message.command_id) != COMMAND_ID_BYTES:
        return f"a command id has {COMMAND_ID_BYTES} bytes, was {message.command_id.hex()!r}"
    return ""


def _dump_channels(channels: dict[str, Channel]) -> list[object]:
    return [[name, c.cseq, c.chain.hex()] for name, c in sorted(channels.items())]


def _load_channels(data: list[Any]) -> dict[str, Channel]:
    return {name: Channel(cseq, bytes.fromhex(chain)) for name, cseq, chain in data}
