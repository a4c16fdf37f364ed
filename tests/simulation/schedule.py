"""One schedule: everything that happens in it follows from its seed."""

import functools
import random
from collections.abc import Callable
from dataclasses import replace
from enum import Enum, auto

from schemas.topics import QUARANTINE_TOPIC
from streams.halts import ShardHalted
from tests.simulation.checks import check_all, check_halts, check_losses
from tests.simulation.corruption import (
    Corruption,
    LostTail,
    Miscomputation,
    MiscomputingLeader,
)
from tests.simulation.ending import RESTARTS, end
from tests.simulation.faults import Faults, rare_turns, steps_of_shards
from tests.simulation.load import SETUP_PHASES, Envelope, Traffic, genesis
from tests.simulation.opening import opening
from tests.simulation.races import Races
from tests.simulation.replays import check_channels, check_promotions
from tests.simulation.report import Report
from tests.simulation.sizes import Size, drawn
from tests.simulation.swarm import Swarm
from tests.simulation.whole import run_whole
from tests.simulation.world import World

CORRUPT_EVERY = 10
RACING_EVERY = 4
STANDBY_EVERY = 16
"""One of so many schedules has two processes for each shard, and one race of twice as many."""

GENESIS_EVERY = 9
"""One of so many begins with an empty log."""

WHOLE_EVERY, WHOLE_REST = 14, 2
"""One of so many has gateways with their clients, and views."""

SCHEDULES_PER_TRAFFIC = 32


def run_schedule(
    seed: int,
    report: Report,
    only: tuple[str, ...] = (),
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """All violations of one schedule, which are added to the report, too.

    Of the swarm's faults those named in `only` are on, if any are named. `tell` is told each step.
    """
    size, rng = size_of(seed), random.Random(~seed)
    swarm = Swarm.drawn(seed, only)
    faults = Faults(
        random.Random(seed),
        crashes_left=rng.randint(1, size.crashes),
        mean_steps_between_crashes=rng.choice(size.steps_between),
        patience=size.patience,
        steps=steps_of_shards(standby=kind_of(seed) in STANDING_BY),
        duplicate_rate=swarm.rates.get("duplicate", 0.0),
        swarm=swarm,
        tell=tell,
    )
    if tell is not None:
        tell(f"{kind_of(seed).name}, {size.line()}")
    try:
        world, violations = _run_kind(seed, faults)
    except (Exception, ShardHalted) as error:
        violations = [f"{type(error).__name__}: {error}"]
    else:
        _note(world, faults)
        report.crashes += world.crashes
    report.happened += faults.happened
    report.coverage += faults.coverage
    report.schedules += 1
    if violations:
        report.failures[seed] = violations
    return violations


class Kind(Enum):
    """What a schedule is about; `_run_kind` says what is judged."""

    PLAIN = auto()
    STANDBY = auto()
    RACE = auto()
    RACE_OF_TWO = auto()
    WHOLE = auto()
    LOST_TAIL = auto()
    MISCOMPUTATION = auto()
    MISCOMPUTING_LEADER = auto()


CORRUPTIONS: dict[Kind, type[LostTail | Miscomputation | MiscomputingLeader]] = {
    Kind.LOST_TAIL: LostTail,
    Kind.MISCOMPUTATION: Miscomputation,
    Kind.MISCOMPUTING_LEADER: MiscomputingLeader,
}
STANDING_BY = (Kind.STANDBY, Kind.RACE_OF_TWO, Kind.MISCOMPUTING_LEADER)
"""Here all shards have two processes."""


def kind_of(seed: int) -> Kind:
    """The kind of schedule that the seed says."""
    number, rest = divmod(seed, CORRUPT_EVERY)
    if rest == CORRUPT_EVERY - 1:
        return list(CORRUPTIONS)[number % len(CORRUPTIONS)]
    if seed % WHOLE_EVERY == WHOLE_REST:
        return Kind.WHOLE
    if seed % RACING_EVERY == RACING_EVERY - 1:
        return Kind.RACE_OF_TWO if seed % (2 * STANDBY_EVERY) == 7 else Kind.RACE
    return Kind.STANDBY if seed % STANDBY_EVERY == 1 else Kind.PLAIN


def size_of(seed: int) -> Size:
    """How large the schedule is. Those that are compared with one undisturbed run are equal."""
    kind = kind_of(seed)
    if kind is Kind.WHOLE:
        return drawn(f"whole {seed}")
    alone = kind in (Kind.RACE, Kind.RACE_OF_TWO)
    return drawn(f"race {seed}" if alone else f"traffic {seed // SCHEDULES_PER_TRAFFIC}")


def forget() -> None:
    """Let nothing of earlier runs be known: the product is another now."""
    _undisturbed.cache_clear()


def _note(world: World, faults: Faults) -> None:
    happened = faults.happened
    happened["snapshot"] += sum(len(files.names()) for files in world.files.values())
    happened["quarantined"] += world.log.end((QUARANTINE_TOPIC, 0))
    happened.update(f"halt {halted.reason}" for halted in world.halted.values())


def _run_kind(seed: int, faults: Faults) -> tuple[World, list[str]]:
    """The world and what is wrong with it."""
    kind = kind_of(seed)
    if kind is Kind.WHOLE:
        return run_whole(seed, faults, size_of(seed))
    if kind in (Kind.RACE, Kind.RACE_OF_TWO):
        world = _race(seed, faults)
        if world.halted:
            return world, list(check_halts(world))
        fold, violations = check_all(world)
        faults.happened.update(f"closed {reason.name}" for reason in fold.closed.values())
        return world, violations
    corruption = CORRUPTIONS[kind]() if kind in CORRUPTIONS else None
    world = _run(seed, faults, corruption, standby=kind in STANDING_BY)
    return world, _judge_corrupted(world, corruption) if corruption else _judge(world, seed)


def _race(seed: int, faults: Faults) -> World:
    faults.happened["race"] += 1
    size = size_of(seed)
    world = _opened(seed, faults, size, standby=kind_of(seed) in STANDING_BY)
    with rare_turns(faults):
        Races(random.Random(seed), size).run(world)
        end(world)
    return world


def _opened(seed: int, faults: Faults, size: Size, *, standby: bool) -> World:
    """A world at its beginning; where it is an empty log, all shards run to be set up."""
    if seed % GENESIS_EVERY:
        world = World(faults, standby=standby, shard_ids=size.shard_ids)
        opening().put_into(world)
    else:
        world = World(faults, standby=standby)
        genesis(world)
    world.policy = replace(world.policy, snapshot_records=size.snapshot_records)
    return world


def _run(seed: int, faults: Faults, corruption: Corruption | None, *, standby: bool) -> World:
    # What is compared with another run must not depend on what time it was.
    faults.swarm = faults.swarm.without("clock jump")
    long = corruption is not None
    traffic_seed = seed // SCHEDULES_PER_TRAFFIC
    world = _opened(seed, faults, _traffic_size(traffic_seed, long), standby=standby)
    with rare_turns(faults):
        for number, phase in enumerate(_phases(traffic_seed, long)):
            if number >= SETUP_PHASES or not world.opening:
                _send(world, phase)
                # What leases and losses come to takes time, too.
                traded = any(source == "gw" for _, source, _ in phase)
                world.settle(always=traded and (standby or long))
            if corruption is not None:
                corruption.after_phase(world, number)
        # Who lives on with what was corrupted shows it, at the latest, as it recovers.
        end(world, 1.0 if long else RESTARTS)
    return world


def _send(world: World, phase: list[Envelope]) -> None:
    for envelope in phase:
        world.send(*envelope)
        if world.faults.crashes_left and world.faults.chance(0.1):
            world.send(*envelope)


@functools.lru_cache(maxsize=4)
def _phases(traffic_seed: int, long: bool) -> list[list[Envelope]]:
    return list(Traffic(random.Random(traffic_seed), _traffic_size(traffic_seed, long)).phases())


def _traffic_size(traffic_seed: int, long: bool) -> Size:
    size = drawn(f"traffic {traffic_seed}")
    # What was corrupted shows in what comes after it.
    return replace(size, phases=(max(3, *size.phases),), snapshot_records=3) if long else size


def _judge(world: World, seed: int) -> list[str]:
    if world.halted:
        return list(check_halts(world))
    fold, violations = check_all(world)
    wanted, wrong = _undisturbed(seed // SCHEDULES_PER_TRAFFIC)
    if fold.comparable() != wanted:
        violations.append("the final state differs from the crash-free run")
    return violations + [f"{violation} (without a crash)" for violation in wrong]


def _judge_corrupted(world: World, corruption: Corruption) -> list[str]:
    """Data is lost here, so shards may halt; but nobody may act on a broken channel."""
    return [
        *check_channels(world, inboxes_only=True),
        *check_losses(world),
        *check_promotions(world),
        *corruption.judge(world),
    ]


@functools.lru_cache(maxsize=2)
def _undisturbed(traffic_seed: int) -> tuple[tuple[object, ...], list[str]]:
    """What the same traffic comes to when nothing goes wrong, and what is wrong all the same."""
    rng = random.Random(traffic_seed)
    faults = Faults(rng, crashes_left=0, duplicate_rate=0.0)
    world = _run(traffic_seed * SCHEDULES_PER_TRAFFIC, faults, None, standby=False)
    fold, violations = check_all(world)
    return fold.comparable(), violations
