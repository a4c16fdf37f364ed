"""The whole exchange among faults: nothing goes wrong unnoticed, and one seed is one run."""

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from fakeredis import FakeRedis

from projections.redis_sink import RedisSink
from tests.projections.scenarios import busy_exchange, feed
from tests.simulation import redis
from tests.simulation.faults import Faults
from tests.simulation.gateway_mutants import GATEWAY
from tests.simulation.redis import SimRedis
from tests.simulation.sizes import Size
from tests.simulation.swarm import Swarm
from tests.simulation.whole import digest, let_leaders_tick, made, run_whole, trade
from tests.simulation.world import World

ROOT = Path(__file__).parents[2]
SCHEDULES = 25
PRINT_DIGESTS = """
from tests.simulation.test_whole import digest_of
print(*(digest_of(seed) for seed in (3, 4, 8)))
"""


def faults_of(seed: int) -> Faults:
    swarm = Swarm.drawn(seed)
    duplicates = swarm.rates.get("duplicate", 0.0)
    return Faults(random.Random(seed), crashes_left=0, duplicate_rate=duplicates, swarm=swarm)


def digest_of(seed: int) -> str:
    faults = faults_of(seed)
    faults.crashes_left = 5
    whole = made(random.Random(seed), faults)
    trade(whole, random.Random(seed))
    return digest(whole)


def first_caught(schedules: int, ids: str | tuple[str, ...] = "") -> tuple[int, str]:
    """The first seed with a violation, that begins so, and what it is; -1 if there is none."""
    for seed in range(schedules):
        try:
            _, violations = run_whole(seed, faults_of(seed))
        except Exception as error:
            violations = [repr(error)]
        for violation in violations:
            if violation.startswith(ids):
                return seed, violation
    return -1, ""


@pytest.mark.slow
def test_no_client_is_told_what_the_log_does_not_say() -> None:
    seed, violation = first_caught(SCHEDULES)
    assert seed < 0, f"seed {seed}, {faults_of(seed).swarm}: {violation}"


@pytest.mark.parametrize("ticks", [True, False])
def test_views_that_were_wiped_come_back_with_the_next_tick(ticks: bool, monkeypatch) -> None:
    # In this one nothing else comes of a market's shard once Redis has forgotten it.
    rng = random.Random(6)
    faults = Faults(random.Random(6), crashes_left=0, duplicate_rate=0.0, swarm=Swarm())
    whole = made(rng, faults, Size("small"))
    store = whole.redis
    assert store is not None

    def wipe(world: World) -> None:
        store.texts, store.hashes, store.sets = {}, {}, {}
        if ticks:
            let_leaders_tick(world)

    monkeypatch.setattr("tests.simulation.whole.let_leaders_tick", wipe)
    violations = trade(whole, rng)
    assert ("P2: position:matching.ev:1 must be 19, was None" in violations) != ticks
    assert bool(violations) != ticks


@pytest.mark.slow
def test_one_seed_is_one_run_whatever_the_hash_seed() -> None:
    found = []
    for hash_seed in ("1", "2"):
        command = [sys.executable, "-c", PRINT_DIGESTS]
        environment = os.environ | {"PYTHONHASHSEED": hash_seed}
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, check=True)
        found.append(done.stdout.split())
    assert len(set(found[0])) == 3
    assert found[0] == found[1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["Lua without the sequence check", "answer before the book's report"]
)
def test_what_a_gateway_or_projector_does_wrong_is_noticed(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for patch in GATEWAY[name].patches:
        monkeypatch.setattr(*patch)
    seed, _ = first_caught(150, GATEWAY[name].ids)
    assert seed >= 0, f"{name} went unnoticed"


def test_the_simulated_redis_holds_what_another_one_holds() -> None:
    exchange = busy_exchange(seed=4, steps=60)
    store, other = SimRedis(faults_of(0)), FakeRedis()
    store.faults.calm = True
    feed(exchange, RedisSink(redis.Client(store)))
    feed(exchange, RedisSink(other))
    keys = {key.decode() for key in other.scan_iter()}
    assert keys == {*store.texts, *store.hashes, *store.sets}
    for key, cells in store.hashes.items():
        assert {k.decode(): v.decode() for k, v in other.hgetall(key).items()} == cells
    for key, members in store.sets.items():
        assert {member.decode() for member in other.smembers(key)} == members
