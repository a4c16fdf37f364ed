"""Logs that lost acknowledged records are cut, written anew and reopened, whatever was lost."""

import json
import random
from dataclasses import replace

import pytest

from domain.markets import HaltMarket, ResumeMarket
from domain.matching.state import MatchingState
from domain.orders.messages import CancelAllOrders
from domain.protocol import HaltAction, ResolveHalt
from infra.log import Partition
from infra.refusal import Refusal
from schemas.topics import inbox
from streams.audit.archive import Archive
from streams.audit.audit import audit
from streams.audit.findings import Findings
from streams.recovery.losses import find_losses, sentences
from streams.recovery.merging import merged
from streams.recovery.plan import Plan, make_plan
from streams.recovery.proof import prove
from streams.recovery.rewriting import commit_marks, write_log, write_words
from streams.shard import Shard
from streams.snapshots import BadSnapshot, Snapshot, decode_snapshot
from tests.simulation.faults import Faults
from tests.simulation.load import DEADLINE_US, users_of
from tests.simulation.log import LogWorld, SimLog
from tests.simulation.races import forge
from tests.simulation.world import LEDGERS, MATCHERS, World
from tests.streams.audited_log import (
    Nobody,
    archived,
    partitions_of,
    replayed,
    settle_marks,
    told,
    traded,
)

NAME = b"\x05" * 16
COPIES = Findings.PER_CHANNEL + 1
"""More than are listed."""


def snapshots_of(world: World) -> dict[str, list[Snapshot]]:
    found: dict[str, list[Snapshot]] = {}
    for shard, files in world.files.items():
        for name in files.names():
            try:
                found.setdefault(shard, []).append(decode_snapshot(files.read(name)))
            except BadSnapshot:
                continue
    return found


def lose_tails(world: World, rng: random.Random) -> None:
    """Every process dies, and of some partitions the end is gone; perhaps of the marks too."""
    for process in world.processes:
        world.kill(process)
    for place, values in world.log.partitions.items():
        if rng.random() < 0.5:
            del values[len(values) - rng.randrange(min(len(values), 30)) :]
        if rng.random() < 0.3:
            world.log.marks.pop(place, None)
    world.log.ghosts.clear()


def almost_all_of_an_inbox_lost() -> tuple[Archive, dict[str, list[Snapshot]], Plan]:
    """What is left of an exchange whose first ledger's inbox has six records, and the plan."""
    world = traded(2)
    for process in world.processes:
        world.kill(process)
    del world.log.partitions[("ledger.in", 0)][6:]
    archive, snapshots = archived(world), snapshots_of(world)
    return archive, snapshots, make_plan(archive, snapshots, Nobody())


def recover(world: World) -> Plan:
    """What `logbourse recover` does, on the log in memory."""
    archive = archived(world)
    snapshots = snapshots_of(world)
    plan = make_plan(archive, snapshots, Nobody())
    if plan.must_rewrite():
        world.log.partitions = LogWorld(Faults(random.Random(0), 0)).partitions
        world.log.marks.clear()
    log = SimLog(world.log)
    if plan.must_rewrite():
        write_log(archive, plan, log, Nobody())
        assert write_log(archive, plan, log, Nobody()) == 0, "what is there is not written again"
    commit_marks(plan, log)
    assert write_words(plan, log, world.clock, NAME) >= len(plan.marks)
    assert write_words(plan, log, world.clock, NAME) == 0, "what was said is not said again"
    world.log.clients.remove(log)
    for shard, offsets in plan.spoiled.items():
        for name in world.files[shard].names():
            if int(name[:20]) in offsets:
                world.files[shard].remove(name)
    return plan


def expect_reopened(world: World) -> None:
    """All shards run, the log proves itself, and markets do nothing but cancel."""
    world.drain()
    assert not world.halted
    archive = archived(world)
    assert told(replayed(archive).findings) == ""
    result = audit(archive, Nobody(), processes=1)
    assert result.checks.ok(), result.checks.words
    for host in world.hosts().values():
        if isinstance(host.shard.state, MatchingState):
            assert all(market.halted for market in host.shard.state.markets.values())


def cancel_everything(world: World) -> int:
    """Have all open orders canceled; how many there were."""
    hosts = world.hosts()
    count = 0
    for ledger in range(LEDGERS):
        state = hosts[f"L{ledger}"].shard.state
        count += len(state.orders)
        for number, user in enumerate(users_of(ledger)):
            for market in state.markets:
                identity = bytes([9, ledger, number, market]) * 4
                command = CancelAllOrders(identity, 10 * DEADLINE_US, user, market)
                world.send(f"L{ledger}", "gw", [command])
    world.drain()
    return count


@pytest.mark.parametrize("seed", range(30))
def test_whatever_tails_are_lost_the_exchange_reopens(seed):
    rng = random.Random(seed)
    world = traded(seed, crashes=seed % 3, duplicate_rate=0.02 * (seed % 2))
    lose_tails(world, rng)
    recover(world)
    expect_reopened(world)
    cancel_everything(world)
    assert not any(world.hosts()[f"L{p}"].shard.state.orders for p in range(LEDGERS))
    assert told(replayed(archived(world)).findings) == ""


@pytest.mark.parametrize("seed", range(30))
def test_no_shard_goes_on_silently(seed):
    """Without an operator the same losses halt at least one shard, whatever it still knows."""
    world = traded(seed, crashes=seed % 3, duplicate_rate=0.02 * (seed % 2))
    lose_tails(world, random.Random(seed))
    plan = make_plan(archived(world), snapshots_of(world), Nobody())
    world.drain()
    assert bool(world.halted) == (bool(plan.damage) or plan.is_needed())


def test_a_lost_end_of_an_outbox_is_computed_again_and_nothing_is_lost():
    world = traded(1)
    for process in world.processes:
        world.kill(process)
    before = archived(world)
    for place in [("ledger.ev", 0), ("matching.ev", 1), ("dlq", 0)]:
        del world.log.partitions[place][-1:]
    damaged = archived(world)
    plan = recover(world)
    assert not plan.must_rewrite()
    assert plan.is_needed()
    assert not sentences(find_losses(damaged, plan, {}))
    expect_reopened(world)
    kept = archived(world)
    for place in (("ledger.ev", 0), ("matching.ev", 1)):
        original = dict.fromkeys(r.value for r in before.records(place, 0, before.end(place)))
        again = dict.fromkeys(r.value for r in kept.records(place, 0, kept.end(place)))
        assert list(again)[: len(original)] == list(original)


def test_what_was_told_and_is_gone_is_listed():
    archive, snapshots, plan = almost_all_of_an_inbox_lost()
    losses = find_losses(archive, plan, snapshots)
    assert plan.dropped()[("ledger.ev", 0)] > 0
    assert losses.events["OrderAccepted"] == sum(
        row["type"] == "OrderAccepted" for row in losses.listed
    )
    assert losses.events["OrderAccepted"] > 0
    said = "\n".join(sentences(losses))
    assert "records are gone without a trace" in said
    assert "these ids are given again" in said


def test_a_snapshot_of_another_layout_is_passed_over_with_a_word():
    archive, snapshots, plan = almost_all_of_an_inbox_lost()
    newest = max(snapshots["L0"], key=lambda snapshot: snapshot.offset)
    older = json.loads(newest.payload)
    older["state"].pop()
    newest.payload = json.dumps(older).encode()
    losses = find_losses(archive, plan, snapshots)
    assert any(
        f"L0: another build wrote the snapshot at {newest.offset}" in sentence
        for sentence in losses.numbers
    )


def test_without_memory_no_snapshot_is_taken_for_another_builds(monkeypatch):
    archive, snapshots, plan = almost_all_of_an_inbox_lost()

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Shard, "load", exhausted)
    with pytest.raises(MemoryError):
        find_losses(archive, plan, snapshots)


def test_a_copy_gives_lost_records_back():
    world = traded(3)
    for process in world.processes:
        world.kill(process)
    copy = archived(world)
    for values in world.log.partitions.values():
        del values[len(values) // 2 :]
    whole = merged(archived(world), [copy])
    assert all("lost records back" in sentence for sentence in whole.sentences())
    assert whole.archive.manifest.bounds == copy.manifest.bounds
    plan = make_plan(whole.archive, snapshots_of(world), Nobody())
    assert not plan.is_needed()
    assert not plan.damage


def test_a_copy_of_another_history_is_not_used():
    world, other = traded(3), traded(4)
    for values in world.log.partitions.values():
        del values[len(values) // 2 :]
    whole = merged(archived(world), [archived(other)])
    assert any("ledger.in.0: it is not used" in sentence for sentence in whole.sentences())


def damaged_copy(damage: str, place: Partition = ("ledger.in", 0)) -> tuple[Archive, Archive]:
    """A log that lost its second half, and a copy of all of it under its manifest, but damaged."""
    world = traded(3)
    whole, partitions = archived(world), partitions_of(world)
    values = partitions[place]
    if damage == "short":
        del values[len(values) // 4 :]
    elif damage == "gap":
        del values[-2]
    for lost in world.log.partitions.values():
        del lost[len(lost) // 2 :]
    return archived(world), replace(archived(world, partitions), manifest=whole.manifest)


@pytest.mark.parametrize("damage", ["short", "gap"])
def test_a_copy_that_lacks_what_its_manifest_tells_is_not_used(damage):
    """It was once as long as it says; shorter than the log it would replace acknowledged inputs."""
    log, copy = damaged_copy(damage)
    place = ("ledger.in", 0)
    whole = merged(log, [copy])
    assert whole.archive.end(place) == log.end(place)
    kept = [record.value for record in whole.archive.everything(place)]
    assert kept == [record.value for record in log.everything(place)]
    assert place not in whole.restored
    (sentence,) = whole.refused
    assert "records up to its end, lacks ledger.in.0@" in sentence
    assert whole.archive.end(("ledger.in", 1)) == copy.end(("ledger.in", 1)), "that one is whole"


def test_a_forged_record_is_not_taken_for_a_loss():
    world = traded(5)
    forge(world, "L0")
    with pytest.raises(Refusal, match="that is no loss"):
        make_plan(archived(world), {}, Nobody())


def test_a_log_without_its_beginning_wants_a_backup():
    archive, place = archived(traded(5)), ("matching.ev", 1)
    bounds = {**archive.manifest.bounds, place: replace(archive.manifest.bounds[place], first=3)}
    manifest = replace(archive.manifest, bounds=bounds)
    with pytest.raises(Refusal, match=r"matching\.ev\.1 .* begins at 3: .* restore a backup"):
        make_plan(replace(archive, manifest=manifest), {}, Nobody())


def test_a_word_that_does_not_stay_is_said_again():
    """A forged record stays; an operator's word on it stood behind what had lost its cause."""
    world = traded(5)
    forge(world, "L0")
    world.drain()
    name = world.halted.pop("L0").record_hash
    end = world.log.end(inbox("M0"))
    for number, change in enumerate((HaltMarket, ResumeMarket)):
        world.send("M0", "operator", [change(bytes([number]) * 16, 10 * DEADLINE_US, MATCHERS)])
    world.drain()
    world.send("L0", "operator", [ResolveHalt(b"r" * 16, 10 * DEADLINE_US, name, HaltAction.SKIP)])
    for process in world.processes:
        world.kill(process)
    world.halted.clear()
    del world.log.partitions[inbox("M0")][end:]
    plan = recover(world)
    assert plan.resolved["L0"] == {name: HaltAction.SKIP}
    expect_reopened(world)


def test_markets_are_halted_though_log_time_is_far_ahead_of_the_clock():
    world = traded(5)
    world.clock.elapsed_us += 86_400_000_000
    cancel_everything(world)
    for process in world.processes:
        world.kill(process)
    world.clock.elapsed_us -= 86_400_000_000
    del world.log.partitions[inbox("M0")][-2:]
    recover(world)
    expect_reopened(world)


def test_a_channel_that_was_forged_far_ahead_is_written_again_where_it_was_lost():
    """An operator has passed the forged record; then the channel loses its genuine end."""
    world = traded(5)
    forge(world, "M0", source="L0")
    world.drain()
    name = world.halted.pop("M0").record_hash
    world.send("M0", "operator", [ResolveHalt(b"r" * 16, 10 * DEADLINE_US, name, HaltAction.SKIP)])
    world.drain()
    end = world.log.end(inbox("M0"))
    cancel_everything(world)
    settle_marks(world)
    for process in world.processes:
        world.kill(process)
    del world.log.partitions[inbox("M0")][end:]
    recover(world)
    expect_reopened(world)


@pytest.mark.parametrize("cseq", [1, -1])
def test_a_forged_record_that_its_reader_has_dropped_ends_nothing(cseq):
    """It stays in the log and is named for ever; no shard halts at it, and no word is needed."""
    world = traded(5)
    forged = world.log.end(inbox("L0"))
    for _ in range(COPIES):
        forge(world, "L0", cseq=cseq)
    cancel_everything(world)
    assert not world.halted
    settle_marks(world)
    for process in world.processes:
        world.kill(process)
    assert not make_plan(archived(world), {}, Nobody()).is_needed()
    del world.log.partitions[inbox("L0")][-1:]
    end = world.log.end(inbox("L0"))
    assert recover(world).kept[inbox("L0")] == end > forged + COPIES
    world.drain()
    assert not world.halted
    proof = prove(archived(world), Nobody(), Nobody())
    assert (proof.equal, proof.sound, proof.dropped) == (True, True, COPIES)
    assert f"ledger.in.0@{forged}: M0 → ledger.in.0 #{cseq}" in proof.words[0]
    assert proof.sentences()[-2:] == [
        f"replay: EQUAL, but for forged records that their readers drop ({COPIES})",
        f"audit: SOUND, but for forged records that their readers drop ({COPIES})",
    ]


def test_what_a_recovery_must_mend_fails_its_proof():
    world = traded(5)
    forge(world, "L0", cseq=1)
    forge(world, "L0")
    proof = prove(archived(world), Nobody(), Nobody())
    assert not proof.equal
    assert proof.sentences()[-2:] == ["replay: DIVERGENT", "audit: VIOLATED"]
