"""Another version of the rules comes into force at all shards, or the operator hears where not."""

import asyncio

import pytest

from commands.admin import rules
from domain.protocol import RulesActivated
from schemas.record import decode_record
from schemas.topics import outbox
from tests.commands.world import opened_world


@pytest.fixture
def newer_build(monkeypatch):
    """Only what the gateway knows: the fake shards follow whatever they are told."""
    monkeypatch.setattr(rules, "SUPPORTED_RULES", (1, 2))


def told(world, shard: str) -> list[tuple[int, int]]:
    """Version and sequence number of each activation in a shard's outbox."""
    records = [decode_record(each.value) for each in world.exchange.topics[outbox(shard)]]
    return [
        (message.version, record.cseq)
        for record in records
        for message in record.messages
        if isinstance(message, RulesActivated)
    ]


async def test_the_answer_says_where_each_shard_follows_the_new_rules(world, newer_build):
    alice = await world.add_user("alice", USDT="100000")
    answer = await world.operate("activate-rules", version=2)
    positions = dict(place.split("@") for place in answer["position"].split(";"))
    for shard in world.exchange.shards:
        ((version, cseq),) = told(world, shard)
        assert version == 2
        assert positions["{}.{}".format(*outbox(shard))] == str(cseq)
    assert len(positions) == len(world.exchange.shards) == 6
    await alice.limit("BUY", "59000", "0.1")


async def test_versions_that_this_build_lacks_are_refused(world):
    before = len(world.exchange.records_in)
    for version in (0, 2, -1, 1 << 62):
        answer = await world.operate("activate-rules", status=400, version=version)
        known = f"This build knows rules version 1, not {version}."
        assert (answer["code"], answer["msg"]) == (-1130, known)
    assert len(world.exchange.records_in) == before


async def test_rules_may_be_activated_again_and_never_go_back(world, newer_build):
    await world.operate("activate-rules", version=1)
    for _ in range(2):
        await world.operate("activate-rules", version=2)
    answer = await world.operate("activate-rules", status=400, version=1)
    assert answer["code"] == -2010
    assert "rules version 2 is active" in answer["msg"]
    assert [version for version, _ in told(world, "M1")] == [1, 2, 2]


async def test_nothing_is_written_while_a_shard_lags(world, newer_build):
    before = len(world.exchange.records_in)
    world.exchange.clock.us += 60_000_000
    answer = await world.operate("activate-rules", status=503, version=2)
    assert answer["code"] == -1008
    assert "A0, A1, L0, L1, M0, M1" in answer["msg"]
    assert len(world.exchange.records_in) == before


async def test_nothing_is_written_while_only_a_matching_shard_lags(world, newer_build):
    before = len(world.exchange.records_in)
    world.exchange.clock.us += 60_000_000
    world.exchange.tick(down=["M1"])
    async with asyncio.timeout(5):
        answer = await world.operate("activate-rules", status=503, version=2)
        while "as M1 lags" not in answer["msg"]:
            await asyncio.sleep(0.01)
            answer = await world.operate("activate-rules", status=503, version=2)
    assert (answer["code"], answer["msg"]) == (-1008, "Nothing was written, as M1 lags.")
    assert len(world.exchange.records_in) == before


async def test_shards_that_are_not_heard_of_are_named(tmp_path, newer_build):
    async with opened_world(tmp_path, timeout_s=0.2) as world:
        append = world.exchange.append

        def without_some(topic, partition, value):
            if (topic, partition) not in (("ledger.in", 1), ("matching.in", 0)):
                append(topic, partition, value)

        world.exchange.append = without_some
        answer = await world.operate("activate-rules", status=503, version=2)
        assert answer["code"] == -1007
        assert "in time at L1, M0:" in answer["msg"]
        world.exchange.append = append
        await world.operate("activate-rules", version=2)
        assert [version for version, _ in told(world, "L1")] == [2]
        assert [version for version, _ in told(world, "L0")] == [2, 2]
