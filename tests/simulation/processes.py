"""A simulated process of shards: what it runs, what outlives it, and how it took a shard over."""

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any, Protocol

from domain.decider import Decider
from infra.clock import Clock
from infra.lease import Lease
from infra.log import LogRecord
from streams import leadership
from streams.host import Host
from streams.leadership import Keeper, Leadership
from streams.metrics import WorkerMetrics
from streams.shadow import Shadow
from streams.worker import Worker
from tests.simulation.clocks import OwnClock
from tests.simulation.files import SimFiles
from tests.simulation.leases import SimKeeper
from tests.simulation.log import SimLog

START_US = 1_700_000_000_000_000
_NOT_MEASURED: AbstractContextManager[object] = nullcontext()
BATCHES = (1, 1, 2, 4, 8)
"""How many records a process of shards may get when it reads."""


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


class WorkerLog(SimLog):
    """The handle of a process of shards: a read brings little, so that others come between."""

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        drawn = BATCHES[int(self.world.faults.rng.random() * len(BATCHES))]
        return super().read(min(drawn, max_records), timeout_s)


class Unmeasured(WorkerMetrics):
    """What a worker tells nobody."""

    def __init__(self) -> None:
        """Prometheus is not asked: some hundred thousand of these come and go."""

    def step_time(self, shard: str) -> AbstractContextManager[object]:
        return _NOT_MEASURED

    def duplicate(self, shard: str, value: bytes | None) -> None:
        """The world counts what it writes twice."""


class WatchedLeadership(Leadership):
    """Who leads, of whom the world learns as soon as a shadow has taken over."""

    def __init__(
        self,
        leases: Sequence[Lease],
        members: Mapping[str, leadership.Member],
        keeper: Keeper,
        clock: Clock,
        promoted: Callable[[Shadow], None],
    ) -> None:
        super().__init__(leases, members, keeper, clock)
        self._shadows = [each for each in members.values() if isinstance(each, Shadow)]
        self._promoted = promoted

    def look(self) -> None:
        followed = [shadow for shadow in self._shadows if not shadow.leading]
        super().look()
        for shadow in followed:
            if shadow.leading:
                self._promoted(shadow)


@dataclass
class Process:
    """One process of the exchange and the hosts it runs, none while it is down."""

    shard_ids: Sequence[str]
    files: dict[str, SimFiles]
    deciders: dict[str, Decider[Any]] = field(default_factory=dict)
    """Where they are others than the exchange's."""
    log: SimLog | None = None
    hosts: list[Host | Shadow] = field(default_factory=list)
    worker: Worker | None = None
    leases: list[Lease] = field(default_factory=list)
    keeper: SimKeeper | None = None
    leadership: WatchedLeadership | None = None
    clock: OwnClock | None = None
    stands_still: int = 0
    """For how many of its turns it is frozen."""
    began: dict[str, int] = field(default_factory=dict)
    """The last input in the snapshot that each shadow began from."""
    refused: bool = False
    """It has found another history than its own in an outbox, and stays down."""

    def start_worker(self) -> None:
        """Let all recover. Raises `ShardHalted`."""
        assert self.worker is not None
        self.worker.start()
        for host in self.hosts:
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
