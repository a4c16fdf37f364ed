"""What an operator's word does to a channel: to a genuine record of it, and to a forged one."""

import random
from typing import Any

import pytest

from domain.decider import Decider
from domain.markets import HaltMarket, MarketHalted, ResumeMarket
from domain.protocol import HaltAction, ResolveHalt, Tick
from infra.log import LogFailure
from schemas.record import decode_record, encode_message, encode_record, record_hash
from schemas.topics import inbox
from streams.attestation import is_told
from streams.audit.cut import consistent_cut
from streams.audit.rerun import Options
from streams.audit.verify import Verdict, verify
from streams.auditor.log_auditor import LogAuditor, Resolutions
from streams.auditor.violations import Violation
from streams.families import decider_of
from streams.halts import HaltReason
from streams.recovery.plan import make_plan
from tests.simulation.corruption import Faulting
from tests.simulation.load import DEADLINE_US
from tests.simulation.processes import START_US
from tests.simulation.races import forge
from tests.simulation.world import MATCHERS, World
from tests.streams.audited_log import (
    Nobody,
    archived,
    partitions_of,
    renumbered,
    replayed,
    settle_marks,
    told,
    traded,
)
from tests.streams.growing_log import auditor_on, follow, log_of
from tests.streams.records import forged
from tests.streams.test_recovery import expect_reopened, recover

INBOX = inbox("L0")


def planted(shard: str) -> Decider[Any]:
    """A ledger that cannot plan the halt of a market."""
    sound = decider_of(shard)
    return Faulting(sound, lambda each: isinstance(each, MarketHalted)) if shard == "L0" else sound


def judged(world: World) -> Verdict:
    """The verdict of a build with the same bug."""
    archive = archived(world)
    shards = archive.manifest.shards()
    options = {shard: Options(decider=planted) for shard in shards}
    return verify(archive, shards, options, Nobody(), processes=1)


def say(world: World, action: HaltAction = HaltAction.SKIP) -> bytes:
    """An operator's word on the record at which L0 has halted; its hash."""
    name = world.halted.pop("L0").record_hash
    identity = name[:8] + bytes(8)
    world.send("L0", "operator", [ResolveHalt(identity, 10 * DEADLINE_US, name, action)])
    world.drain()
    return name


def change_market(world: World, *changes: type[HaltMarket] | type[ResumeMarket]) -> None:
    """Something that M0 tells every ledger."""
    for change in changes:
        number = world.log.end(inbox("M0"))
        command = change(number.to_bytes(16), 10 * DEADLINE_US, MATCHERS)
        world.send("M0", "operator", [command])
    world.drain()


def with_a_genuine_record_skipped() -> tuple[World, int]:
    """L0 halts at what M0 tells it, an operator has it skipped; where that stands in the inbox."""
    world = traded(5)
    for process in world.processes:
        world.kill(process)
    world.deciders["L0"] = planted("L0")
    change_market(world, HaltMarket)
    halted = world.halted["L0"]
    assert halted.reason is HaltReason.FAULT
    assert "resolve-halt" in str(halted), "M0 tells of it"
    say(world)
    return world, halted.offset


def forge_next(world: World) -> int:
    """A record that continues M0's channel to L0, and that no M0 has written; its offset."""
    channel = world.hosts()["L0"].shard.incoming["M0"]
    value = encode_record(
        prev=channel.chain,
        cause_offset=0,
        src="M0",
        cseq=channel.cseq + 1,
        cause=1,
        time_us=START_US,
        input_hash=b"",
        messages=[encode_message(Tick())],
    )
    world.log.append(INBOX, value)
    world.drain()
    halted = world.halted["L0"]
    assert halted.reason is HaltReason.FOREIGN_MESSAGE
    assert halted.record_hash == record_hash(value)
    assert "no word may pass it while M0 does not tell of it" in str(halted)
    assert "resolve-halt" not in str(halted)
    return halted.offset


def audited(world: World) -> tuple[list[Violation], LogAuditor]:
    """What an auditor finds that begins anew whenever it has found a word, and itself."""
    resolutions: Resolutions = {}
    while True:
        log, found = log_of(world), list[Violation]()
        auditor = auditor_on(log, found, resolutions)
        auditor.start()
        follow(auditor, log, random.Random(1))
        if not auditor.outdated:
            return found, auditor


def test_a_source_tells_of_what_it_has_written_and_of_nothing_else():
    log: Any = log_of(traded(3, crashes=4, duplicate_rate=0.03))
    records = [
        (value, decode_record(value))
        for place, values in log.whole.items()
        for value in values
        if place[0].endswith(".in") and len(value) > 40
    ]
    crossed = [(value, record) for value, record in records if record.cseq]
    assert len(crossed) > 50
    for value, record in crossed:
        assert is_told(log, value)
        assert not is_told(log, forged(value, messages=[*record.messages, Tick()]))
        assert not is_told(log, forged(value, cause=10**6))
        for nobody in ("", "nobody", "L"):
            assert not is_told(log, forged(value, src=nobody))


class TestAGenuineRecord:
    def test_its_channel_goes_on_from_it_in_a_replay_too(self):
        world, _ = with_a_genuine_record_skipped()
        change_market(world, ResumeMarket)
        assert not world.halted
        settle_marks(world)
        verdict = judged(world)
        assert told(verdict.findings) == ""
        assert len(verdict.runs["L0"].resolved) == 1
        for shard, host in world.hosts().items():
            assert verdict.runs[shard].dumped == host.shard.dump(), shard

    def test_the_auditor_goes_on_from_it_as_the_shard_does(self, monkeypatch):
        world, _ = with_a_genuine_record_skipped()
        change_market(world, ResumeMarket)
        settle_marks(world)
        monkeypatch.setattr("streams.auditor.followed.decider_of", planted)
        found, auditor = audited(world)
        assert not any("#" in violation.words for violation in found), "of no channel"
        for shard, host in world.hosts().items():
            assert auditor.followed[shard].shard.dump() == host.shard.dump(), shard

    def test_it_does_not_stay_where_its_cause_is_lost(self):
        world, offset = with_a_genuine_record_skipped()
        for process in world.processes:
            world.kill(process)
        values = world.log.partitions[inbox("M0")]
        while HaltMarket not in map(type, decode_record(values.pop()).messages):
            pass
        verdict = judged(world)
        cut = consistent_cut(archived(world), verdict.runs, verdict.found)
        assert cut["L0"] == offset


def test_a_forged_record_that_was_dropped_hides_no_missing_one_of_its_number():
    world = traded(5)
    number = world.hosts()["L0"].shard.incoming["M0"].cseq + 1
    forge(world, "L0", cseq=number)
    world.drain()
    say(world)
    change_market(world, HaltMarket)
    assert world.hosts()["L0"].shard.incoming["M0"].cseq == number
    settle_marks(world)
    assert told(replayed(archived(world)).findings) == ""
    partitions = partitions_of(world)
    values = partitions[INBOX]
    genuine = max(o for o, value in values if len(value) > 16 and decode_record(value).cseq)
    del values[genuine]
    partitions[INBOX] = renumbered(values)
    words = told(replayed(archived(world, partitions)).findings)
    assert f"M0 → ledger.in.0 #{number}: it is not there" in words


class TestAForgedRecordThatFits:
    def test_a_source_that_cannot_be_asked_keeps_no_halt_from_being_said(self, monkeypatch):
        def unreachable(*_: object) -> bool:
            raise LogFailure("nobody leads it")

        monkeypatch.setattr("streams.host.is_told", unreachable)
        forge_next(traded(5))

    def test_it_is_cut_off_since_no_word_gets_past_it(self):
        world = traded(5)
        offset = forge_next(world)
        for process in world.processes:
            world.kill(process)
        plan = recover(world)
        assert plan.kept[INBOX] == offset
        world.halted.clear()
        expect_reopened(world)

    @pytest.mark.parametrize("action", list(HaltAction))
    def test_after_a_word_it_is_named_and_cut_off(self, action):
        """The next genuine record never fits: its number is over, and its chain another."""
        world = traded(5)
        offset = forge_next(world)
        say(world, action)
        change_market(world, HaltMarket, ResumeMarket)
        halted = world.halted["L0"]
        assert halted.reason is HaltReason.DIVERGENCE
        assert f"ledger.in.0@{offset}: M0 → ledger.in.0" in told(replayed(archived(world)).findings)
        say(world)
        assert world.halted["L0"].reason is HaltReason.DIVERGENCE, "for good"
        for process in world.processes:
            world.kill(process)
        plan = recover(world)
        assert plan.kept[INBOX] == offset
        assert plan.resolved["L0"] == {}
        world.halted.clear()
        expect_reopened(world)

    def test_while_the_source_has_written_nothing_more_it_is_named_all_the_same(self):
        world = traded(5)
        offset = forge_next(world)
        say(world)
        assert not world.halted
        settle_marks(world)
        words = told(replayed(archived(world)).findings)
        assert f"FORGED ledger.in.0@{offset}" in words
        found, auditor = audited(world)
        assert [(v.position, v.shard) for v in found] == [(f"ledger.in.0@{offset}", "L0")]
        assert auditor.followed["L0"].shard.dump() == world.hosts()["L0"].shard.dump()
        plan = make_plan(archived(world), {}, Nobody())
        assert plan.kept[INBOX] == offset
