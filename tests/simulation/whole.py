"""A schedule of the whole exchange: traders through gateways, shards, views in both stores."""

import hashlib
import random
from dataclasses import dataclass

from structlog.testing import capture_logs

from tests.simulation.checks import check_all, check_halts
from tests.simulation.clickhouse import SimClickHouse
from tests.simulation.client_checks import check_answered, check_clients
from tests.simulation.clients import Clients
from tests.simulation.ending import end
from tests.simulation.exchange import with_clients
from tests.simulation.faults import (
    GATEWAY_STEPS,
    PATIENCE,
    VIEW_STEPS,
    Faults,
    rare_turns,
    steps_of_shards,
)
from tests.simulation.projectors import with_clickhouse, with_redis
from tests.simulation.redis import SimRedis
from tests.simulation.sizes import LARGE, Size
from tests.simulation.view_checks import check_clickhouse, check_redis, folded
from tests.simulation.world import World

VIEWS_EVERY = 3
"""One of so many schedules has views in Redis, one has them in ClickHouse: folding takes time."""

AT_GATEWAYS, AT_VIEWS = 16, 24
"""So much oftener than at each step of shards, crashes aim at those that are nowhere else."""


@dataclass
class Whole:
    """An exchange with all that surrounds it."""

    world: World
    clients: Clients
    redis: SimRedis | None
    clickhouse: SimClickHouse | None


def run_whole(seed: int, faults: Faults, size: Size = LARGE) -> tuple[World, list[str]]:
    """The exchange after a schedule of this size, and what is wrong with it."""
    rng = random.Random(f"whole {seed}")
    faults.crashes_left = rng.choice(size.crashes_of_whole)
    faults.mean_steps_between_crashes = rng.choice(size.steps_of_whole)
    # There are many steps from request to request.
    faults.patience = PATIENCE
    whole = made(rng, faults, size)
    # What the product would tell operators is no violation.
    with rare_turns(faults), capture_logs():
        return whole.world, trade(whole, rng, size)


def made(rng: random.Random, faults: Faults, size: Size = LARGE) -> Whole:
    """An exchange of this size that is set up, with everybody down."""
    world = World(faults, standby=rng.random() < 0.2, shard_ids=size.shard_ids)
    of_shards = steps_of_shards(standby=world.standby)
    clients = with_clients(world, size)
    views = rng.randrange(VIEWS_EVERY)
    redis = with_redis(world) if views == 0 else None
    clickhouse = with_clickhouse(world) if views == 1 else None
    of_views = VIEW_STEPS[2 * views :][:2] if views < 2 else ()
    faults.steps = of_shards + AT_GATEWAYS * GATEWAY_STEPS + AT_VIEWS * of_views
    return Whole(world, clients, redis, clickhouse)


def trade(whole: Whole, rng: random.Random, size: Size = LARGE) -> list[str]:
    """Let clients trade among faults, then in peace; all that is wrong."""
    world, clients = whole.world, whole.clients
    for _ in range(rng.randint(1, size.rounds)):
        clients.wish(rng.randint(1, size.wishes))
        world.drain()
    end(world)
    let_leaders_tick(world)
    before = len(clients.record)
    clients.be_patient()
    clients.wish(1)
    world.drain()
    if world.halted:
        return list(check_halts(world))
    return [
        *check_all(world)[1],
        *check_clients(world.log, clients.record),
        *check_answered(clients.record[before:]),
        *_check_views(whole),
    ]


def let_leaders_tick(world: World) -> None:
    """A tick is a record of each shard, at which a store that was wiped is noticed.

    And after a clock's jump gateways take no orders of a ledger until the log has that time. A
    shadow that takes over meanwhile ticks a second later.
    """
    world.settle()
    world.settle()


def digest(whole: Whole) -> str:
    """One text for all that happened: logs, marks, answers, and how often chance was asked."""
    world = whole.world
    seen = hashlib.blake2b(digest_size=16)
    for place, values in sorted(world.log.partitions.items()):
        seen.update(repr((place, values)).encode())
    answers = [(request.signed, request.attempts) for request in whole.clients.record]
    for each in (sorted(world.log.marks.items()), answers, world.faults.rng.getstate()):
        seen.update(repr(each).encode())
    return seen.hexdigest()


def _check_views(whole: Whole) -> list[str]:
    redis, clickhouse = whole.redis, whole.clickhouse
    folds = folded(whole.world) if redis or clickhouse else []
    found = list(check_redis(redis, folds)) if redis else []
    return found + (list(check_clickhouse(clickhouse, folds)) if clickhouse else [])
