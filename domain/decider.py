"""The one shape of everything stateful: messages, and the Decider that makes events of commands."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

SHARD_FAMILIES: Final = ("A", "L", "M")


def ledger_ids(ledger_partitions: int) -> list[str]:
    """The ids of all ledger shards, by partition."""
    return [f"L{partition}" for partition in range(ledger_partitions)]


def matching_ids(matching_partitions: int) -> list[str]:
    """The ids of all matching shards, by partition."""
    return [f"M{partition}" for partition in range(matching_partitions)]


@dataclass(slots=True)
class Message:
    """Anything that can stand in a record. Never changed once made."""


@dataclass(slots=True)
class Command(Message):
    """A wish from outside the shards.

    `command_id` (16 bytes) is its identity: the same id has one effect.
    `deadline_us` is the last logical time, in microseconds since the epoch, at which it may run.
    """

    command_id: bytes
    deadline_us: int


@dataclass(slots=True)
class Outcome(Message):
    """An event that answers the command `command_id` (empty when no command waits for it)."""

    command_id: bytes


@dataclass(slots=True)
class State:
    """What every decider's state has: the logical time, set by the host before each `decide`."""

    time_us: int


S = TypeVar("S", bound=State)


class Decider(Protocol[S]):
    """Rules of one shard family. Deterministic: no clock, randomness, I/O or hash order."""

    family: str
    """The letter of the family: "A", "L" or "M"; a shard's id is this and its partition."""

    def initial(self) -> S:
        """The state before record 0 (`Genesis`)."""

    def refuse(self, state: S, source: str, message: Message) -> str:
        """Why `message` may not come to this shard from `source`; empty if it may.

        `source` is a shard's id ("M0") or an outside source ("gw", "operator", "clock", "auditor").
        A wrong source or a user or market of another partition is quarantined by the host.
        """

    def decide(self, state: S, command: Message) -> Sequence[Message]:
        """The events that `command` causes now. Only reads; a refusal is an event with a reason."""

    def evolve(self, state: S, event: Message) -> S:
        """The state after `event`: applies what has happened, never refuses, may mutate."""

    def destinations(self, state: S, event: Message) -> Sequence[str]:
        """Ids of the shards whose inbox gets a copy of `event`, besides the shard's own `*.ev`."""

    def fault(self, state: S, command: Message) -> Sequence[Message]:
        """Events that close what a faulted `command` left open at another shard.

        Called when `decide` raised. Raises `UnrefusableFault` for facts (fills, closes, reports).
        """

    def dump(self, state: S) -> Any:
        """The state as nested lists, ints, strings and bools: canonical, for snapshot and hash."""

    def load(self, data: Any) -> S:
        """The state that `dump` described."""


class UnrefusableFault(Exception):
    """A fact from another shard could not be planned: the shard must halt."""


def comes_from(source: str, wanted: str) -> bool:
    """Whether `source` is `wanted`: an outside source ("gw"), or a shard of a family ("L").

    A bare "L" is an outside source that calls itself like a family: it is no shard.
    """
    if source == wanted:
        return wanted not in SHARD_FAMILIES
    return wanted in SHARD_FAMILIES and source[:1] == wanted and source[1:].isdigit()
