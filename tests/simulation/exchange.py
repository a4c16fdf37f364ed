"""The whole exchange: shards, gateways with their clients, projectors with their stores."""

import random
from collections.abc import Sequence
from typing import Protocol

from tests.simulation.clients import Clients
from tests.simulation.faults import Faults
from tests.simulation.gateway import Gateway
from tests.simulation.load import Traffic
from tests.simulation.opening import opening
from tests.simulation.world import Process, World

GATEWAYS = 2


class Member(Protocol):
    """What has turns beside the processes of shards."""

    def turn(self) -> None:
        """Do what there is to do at this moment."""

    def busy(self) -> bool:
        """Whether it will do something more without being asked."""


class Exchange(World):
    """A world in which others than shards have their turns, too."""

    def __init__(self, faults: Faults, *, standby: bool = False) -> None:
        super().__init__(faults, standby=standby)
        self.members: list[Member] = []

    def run(self, turns: int) -> None:
        """Let anybody work for each of so many turns, at rest or not."""
        everybody = [*self.processes, *self.members]
        for _ in range(turns):
            self._turn(self.faults.rng.choice(everybody))

    def _turn(self, process: Process | Member) -> None:
        if isinstance(process, Process):
            super()._turn(process)
            return
        self.log.move_some()
        # Of two processes of each shard, neither shall lose its lease for that others had turns.
        self.clock.elapsed_us += int(self.faults.rng.random() * (2_000 if self.standby else 10_000))
        process.turn()

    def _busy(self) -> Sequence[Process | Member]:
        members = [member for member in self.members if member.busy()]
        if not members:
            return super()._busy()
        if self.standby:
            return [*self.processes, *members]
        working = [process for process in self.processes if self._is_busy(process, set())]
        # Whoever waits may wait for ticks, leases and the like: sooner or later all have turns.
        anybody = self.processes[int(self.faults.rng.random() * len(self.processes))]
        return [*working, *members, anybody]


def with_clients(world: Exchange) -> Clients:
    """Let gateways and clients join an exchange that is set up."""
    opening().put_into(world)
    gateways = [Gateway(world) for _ in range(GATEWAYS)]
    symbols = Traffic(random.Random(0)).market_symbols
    clients = Clients(world, gateways, symbols)
    world.members += [*gateways, clients]
    return clients
