"""What the protocol cannot mend and must notice: acknowledged records lost, another history."""

from schemas.topics import inbox
from tests.simulation.world import World


def corrupt(world: World) -> None:
    """Take away from one ledger shard what it had acknowledged, and let it live on without.

    Its inbox loses its tail, its marks and snapshots with it, so that it starts again with
    another history than the one other shards have received from it.
    """
    rng = world.faults.rng
    shard = f"L{rng.randrange(2)}"
    partition = inbox(shard)
    values = world.log.partitions[partition]
    world.faults.happened["acknowledged tail lost"] += 1
    for process in world.processes:
        if shard in process.shard_ids:
            world.kill(process)
    world.log.ghosts = [ghost for ghost in world.log.ghosts if ghost[0] != partition]
    del values[len(values) - rng.randint(1, 4) :]
    if rng.random() < 0.7:
        world.log.marks.pop(partition, None)
        world.files[shard].wipe()
