"""An exchange that is set up and has snapshots, from which most schedules begin: it saves time.

The others begin with `Genesis` and set the exchange up among crashes.
"""

import functools
import random
from dataclasses import dataclass
from typing import Any

from domain.decider import Decider
from infra.log import Mark, Partition
from schemas.record import chain_hash, record_hash
from schemas.topics import inbox
from streams.host import Host
from streams.shard import Shard
from streams.snapshots import SnapshotStore, decode_snapshot
from tests.simulation.background import Inline
from tests.simulation.checks import check_all
from tests.simulation.faults import Faults
from tests.simulation.files import SimFiles
from tests.simulation.fold import Fold, decoded
from tests.simulation.load import Traffic, genesis
from tests.simulation.log import Beginning
from tests.simulation.world import World


@dataclass(frozen=True)
class Opening:
    """What is in the log and in the files of an exchange in which nothing went wrong."""

    partitions: dict[Partition, list[bytes]]
    marks: dict[Partition, Mark]
    snapshots: dict[str, tuple[str, bytes]]
    """Name and bytes of each shard's snapshot at the end of its inbox."""
    begins: dict[Partition, Beginning]
    fold: Fold
    elapsed_us: int

    def put_into(self, world: World) -> None:
        """Let a fresh world be this exchange, all processes down."""
        world.opening = self
        world.log.partitions.update({key: list(v) for key, v in self.partitions.items()})
        world.log.marks.update(self.marks)
        world.log.begins = self.begins
        world.clock.elapsed_us = self.elapsed_us
        for process in world.processes:
            for shard in process.shard_ids:
                process.files[shard].put(*self.snapshots[shard])

    def shard(self, shard_id: str, decider: Decider[Any]) -> Shard:
        """The shard as it was, for this decider."""
        return Shard.load(decode_snapshot(self.snapshots[shard_id][1]).payload, decider)


@functools.cache
def opening() -> Opening:
    """The exchange after its setup; the same for all schedules."""
    world = World(Faults(random.Random(0), crashes_left=0, duplicate_rate=0.0))
    genesis(world)
    for phase in Traffic(random.Random(0)).setup():
        for envelope in phase:
            world.send(*envelope)
        # No more time than that: each second has ticks, which all schedules would carry along.
        world.drain()
    world.restart_all()
    for process in world.processes:
        assert process.worker is not None
        process.worker.finish()
    log, hosts = world.log, world.hosts()
    assert all(log.marks[inbox(s)].offset == log.end(inbox(s)) for s in hosts), "marks are behind"
    fold, violations = check_all(world)
    assert not violations, f"the setup fails: {violations}"
    return Opening(
        log.partitions,
        log.marks,
        {shard: _snapshot(world, host) for shard, host in hosts.items()},
        {place: _beginning(values) for place, values in log.partitions.items()},
        fold,
        world.clock.elapsed_us,
    )


def _beginning(values: list[bytes]) -> Beginning:
    records = [(decoded(value), value) for value in values]
    heads = {r.src: (r.cseq, chain_hash(value), r.time_us) for r, value in records if r.cseq}
    return len(values), heads


def _snapshot(world: World, host: Host) -> tuple[str, bytes]:
    files = SimFiles(world.faults)
    store = SnapshotStore(files, Inline())
    last = record_hash(world.log.partitions[inbox(host.id)][-1])
    store.publish(store.start(host.position, host.shard.dump, last))
    (name,) = files.names()
    return name, files.read(name)
