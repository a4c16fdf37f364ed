"""Channel records that a shard has set aside, which say nothing: named, and in nobody's way."""

import pytest

from schemas.record import UndecodableRecord, decode_head, decode_record, encode_record
from schemas.topics import inbox
from streams.audit.cut import consistent_cut
from streams.audit.findings import Kind
from streams.recovery.plan import make_plan
from streams.recovery.proof import prove
from tests.simulation.processes import START_US
from tests.simulation.world import World
from tests.streams.audited_log import Nobody, archived, replayed, settle_marks, told, traded
from tests.streams.test_recovery import cancel_everything, expect_reopened, recover

INBOX = inbox("L0")


def unreadable(cseq: int) -> bytes:
    """A record of M0's channel whose head reads well, and whose message is none."""
    value = encode_record(
        prev=bytes(16),
        cause_offset=0,
        src="M0",
        cseq=cseq,
        cause=1,
        time_us=START_US,
        input_hash=b"",
        messages=[b"\xff\xff\xff"],
    )
    assert decode_head(value)[:2] == ("M0", cseq)
    with pytest.raises(UndecodableRecord):
        decode_record(value)
    return value


def last_from_matching(world: World) -> int:
    """The cseq up to which L0 has received M0's channel."""
    return world.hosts()["L0"].shard.incoming["M0"].cseq


def with_one_in_the_middle(ahead: int) -> tuple[World, int]:
    """An exchange that traded on behind such a record; where that stands."""
    world = traded(5)
    offset = world.log.end(INBOX)
    last = last_from_matching(world)
    world.log.append(INBOX, unreadable(last + ahead))
    cancel_everything(world)
    assert not world.halted, "it was set aside"
    assert last_from_matching(world) > last + 1
    settle_marks(world)
    return world, offset


@pytest.mark.parametrize("ahead", [0, 1, 2, 1_000_000])
def test_it_is_named_and_what_is_behind_it_is_kept(ahead):
    """Of the last number, of ones that came later, and of one that never will."""
    world, offset = with_one_in_the_middle(ahead)
    archive = archived(world)
    verdict = replayed(archive)
    (finding,) = verdict.findings.listed
    assert (finding.place, finding.offset, finding.dropped) == (INBOX, offset, True)
    assert finding.kind is (Kind.FORGED if ahead == 1_000_000 else Kind.CHANGED)
    cut = consistent_cut(archive, verdict.runs, verdict.found)
    assert cut["L0"] == archive.end(INBOX)
    assert not make_plan(archive, {}, Nobody()).is_needed()


@pytest.mark.parametrize("ahead", [0, 1, 1_000_000])
def test_a_recovery_keeps_what_is_behind_it_and_ends(ahead):
    world, offset = with_one_in_the_middle(ahead)
    for process in world.processes:
        world.kill(process)
    del world.log.partitions[INBOX][-1:]
    end = world.log.end(INBOX)
    plan = recover(world)
    assert plan.kept[INBOX] == end > offset + 1
    world.drain()
    assert not world.halted
    proof = prove(archived(world), Nobody(), Nobody())
    assert (proof.equal, proof.sound, proof.dropped) == (True, True, 1)
    assert f"ledger.in.0@{offset}: M0 → ledger.in.0" in proof.words[0]


@pytest.mark.parametrize("header", [False, True])
def test_one_in_place_of_a_genuine_record_is_cut_off_and_that_is_written_again(header):
    """Damaged where it stands, and nothing else has its number."""
    world = traded(5)
    for process in world.processes:
        world.kill(process)
    values = world.log.partitions[INBOX]
    at = max(o for o, v in enumerate(values) if len(v) > 16 and decode_head(v)[0] == "M0")
    genuine = values[at]
    cseq = decode_head(genuine)[1]
    values[at] = genuine[:5] + b"\0\0\0" + genuine[8:] if header else unreadable(cseq)
    with pytest.raises(UndecodableRecord):
        decode_record(values[at])
    assert f"ledger.in.0@{at}" in told(replayed(archived(world)).findings)
    plan = recover(world)
    assert plan.kept[INBOX] == at
    expect_reopened(world)
    assert last_from_matching(world) >= cseq


def test_it_explains_nothing_of_what_is_wrong_behind_it():
    world, offset = with_one_in_the_middle(1_000_000)
    for process in world.processes:
        world.kill(process)
    values = world.log.partitions[INBOX]
    gone = next(o for o, v in enumerate(values) if o > offset and decode_head(v)[0] == "M0")
    values[gone] = b"no record"
    assert f"ledger.in.0@{gone}" in told(replayed(archived(world)).findings)
