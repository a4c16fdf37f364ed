"""A simulated process of shards: what it runs, what outlives it, and how it took a shard over."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.decider import Decider
from infra.lease import Lease
from streams.host import Host
from streams.leadership import Leadership
from streams.shadow import Shadow
from tests.simulation.clocks import OwnClock
from tests.simulation.files import SimFiles
from tests.simulation.leases import SimKeeper
from tests.simulation.log import Partition, SimLog

START_US = 1_700_000_000_000_000


class SimClock:
    """A clock that the world moves."""

    def __init__(self) -> None:
        self.elapsed_us = 0

    def now_us(self) -> int:
        return START_US + self.elapsed_us

    def monotonic_s(self) -> float:
        return self.elapsed_us / 1e6


class Member(Protocol):
    """Whoever has turns beside the processes of shards: gateways, clients, projectors, stores."""

    def turn(self) -> None:
        """Do what there is to do at this moment."""

    def busy(self) -> bool:
        """Whether it will do something more without being asked."""


@dataclass
class Process:
    """One process of the exchange and the hosts it runs, none while it is down."""

    shard_ids: Sequence[str]
    files: dict[str, SimFiles]
    deciders: dict[str, Decider[Any]] = field(default_factory=dict)
    """Where they are others than the exchange's."""
    log: SimLog | None = None
    hosts: list[Host | Shadow] = field(default_factory=list)
    readers: dict[Partition, Host | Shadow] = field(default_factory=dict)
    leases: list[Lease] = field(default_factory=list)
    keeper: SimKeeper | None = None
    leadership: Leadership | None = None
    clock: OwnClock | None = None
    stands_still: int = 0
    """For how many of its turns it is frozen."""
    began: dict[str, int] = field(default_factory=dict)
    """The last input in the snapshot that each shadow began from."""
    refused: bool = False
    """It has found another history than its own in an outbox, and stays down."""

    def start_hosts(self) -> None:
        """Let all recover. Raises `ShardHalted`."""
        for host in self.hosts:
            host.start()
            if isinstance(host, Shadow):
                self.began[host.id] = host.host.shard.ordinal


@dataclass(frozen=True)
class Promotion:
    """How a shadow took over: the inputs it had computed, and how the log stood."""

    shard: str
    right: bool
    computed: range
    outbox_end: int
    mark: int
    mark_taken: int


def placed(rng: random.Random, shard_ids: Iterable[str]) -> list[list[str]]:
    """A random placement of the shards on processes."""
    groups: list[list[str]] = [[] for _ in range(rng.randint(1, 6))]
    for shard in shard_ids:
        rng.choice(groups).append(shard)
    return [group for group in groups if group]
