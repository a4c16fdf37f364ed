"""A forged record whose reader goes on from it makes nobody wait for himself: it is named."""

import random

import pytest

from schemas.record import chain_hash, decode_record
from streams.auditor.violations import Violation
from tests.simulation.faults import Faults
from tests.simulation.load import Traffic, genesis
from tests.simulation.sizes import Size
from tests.simulation.world import World
from tests.streams.growing_log import audited, auditor_on, follow, last_from, log_of
from tests.streams.records import forged

PLACE = ("ledger.in", 0)
PHASES = 8


def traded_after_a_forgery(seed: int) -> tuple[World, int]:
    """Somebody continues M0's channel to L0, which takes it, and whom M0's own record then halts.

    Returns where it stands.
    """
    world = World(Faults(random.Random(seed), 0))
    genesis(world)
    value = b""
    for number, phase in enumerate(
        Traffic(random.Random(seed), Size("of circles", phases=(PHASES,))).phases()
    ):
        for envelope in phase:
            world.send(*envelope)
            if number == 12:
                value = forge(world)
        world.drain()
    return world, world.log.partitions[PLACE].index(value)


def forge(world: World) -> bytes:
    _, last = last_from(log_of(world), PLACE, "M0")
    record = decode_record(last)
    following = forged(last, prev=chain_hash(last), cseq=record.cseq + 1, messages=[])
    world.log.append(PLACE, following)
    return following


@pytest.mark.parametrize("seed", range(6))
def test_a_forged_record_that_its_reader_has_built_upon_is_named(seed):
    world, stands = traded_after_a_forgery(seed)
    told = audited(log_of(world))
    assert (f"ledger.in.0@{stands}", "L0") in {(v.position, v.shard) for v in told}
    log, found = log_of(world), list[Violation]()
    auditor = auditor_on(log, found)
    auditor.start()
    follow(auditor, log, random.Random(seed))
    waiting = [f.id for f in auditor.followed.values() if f.queue and f.stopped is None]
    assert waiting == []
