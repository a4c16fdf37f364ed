"""Shadows: what they hold, compare, drop and write when they take over, on a log in memory."""

import json
from typing import Any

import pytest

from domain.protocol import RulesActivated
from infra.log import LogFailure, Mark
from schemas.record import decode_record, encode_record
from streams.halts import HaltReason, ShardHalted
from streams.shadow import Shadow
from streams.snapshots import Snapshot, encode_snapshot
from tests.streams.echo import Echo, EchoState
from tests.streams.records import forged, from_outside
from tests.streams.standby_pair import INBOX, Pair, deposits

OUTBOX = ("ledger.ev", 0)
OTHER = ("ledger.in", 1)


@pytest.fixture
def pair() -> Pair:
    return Pair()


def beside_another_leader(pair: Pair) -> tuple[Pair, Shadow]:
    """One that led with another third deposit, and a shadow that has read four inputs here."""
    pair.append(*deposits(100, 3))
    other = Pair()
    other.append(*deposits(100, 2), *deposits(300, 1))
    other.lead(other.leader())
    shadow = pair.shadow()
    for _ in range(4):
        place = shadow.position
        shadow.take(next(iter(pair.shadow_log.scan(*INBOX, place, place + 1))))
    return other, shadow


class TestStandingBy:
    def test_it_computes_everything_and_writes_nothing(self, pair):
        pair.append(*deposits(100, 5))
        shadow = pair.shadow()
        pair.follow(shadow)
        assert shadow.position == 6
        assert {place for place, values in pair.world.partitions.items() if values} == {INBOX}
        assert pair.world.end(INBOX) == 6, "not even a tick"
        assert not pair.world.marks
        assert shadow.held_inputs == 6

    def test_what_the_leaders_mark_has_passed_is_dropped(self, pair):
        pair.append(*deposits(100, 5))
        shadow = pair.shadow()
        pair.follow(shadow)
        host = pair.leader()
        pair.lead(host)
        pair.follow(shadow)
        assert pair.world.marks[INBOX].offset == pair.world.end(INBOX)
        assert shadow.held_inputs == 0
        assert shadow.compared == len(pair.cseqs(OUTBOX))
        assert shadow.host.shard.dump() == host.shard.dump()

    def test_it_stops_reading_ahead_and_goes_on(self, pair):
        pair.append(*deposits(100, 50))
        shadow = pair.shadow(held_bytes=2_000)
        pair.follow(shadow, turns=200)
        assert 0 < shadow.position < 50
        host = pair.leader()
        pair.lead(host, turns=100)
        pair.follow(shadow, turns=400)
        assert shadow.position == pair.world.end(INBOX)
        assert shadow.held_inputs == 0

    def test_its_snapshots_wait_for_the_leaders_mark(self, pair):
        pair.append(*deposits(100, 5))
        shadow = pair.shadow(snapshot_records=3)
        pair.follow(shadow)
        assert shadow.counts.snapshots == 0
        pair.lead(pair.leader())
        pair.follow(shadow)
        assert shadow.counts.snapshots > 0
        newest = max(name for name in pair.files.names() if name.endswith(".snapshot"))
        assert int(newest[:20]) <= pair.world.marks[INBOX].offset

    def test_one_that_starts_from_a_snapshot_compares_what_comes_after_it(self, pair):
        pair.append(*deposits(100, 5))
        first = pair.shadow(snapshot_records=3)
        host = pair.leader()
        pair.lead(host)
        pair.follow(first)
        pair.append(*deposits(200, 5))
        again = pair.shadow()
        assert again.position > 0
        pair.lead(host)
        pair.follow(again)
        assert again.position == pair.world.end(INBOX)
        assert again.compared > 0
        assert again.host.shard.dump() == host.shard.dump()

    def test_brokers_that_do_not_tell_the_mark_are_asked_again(self, pair, monkeypatch):
        pair.append(*deposits(100, 5))
        shadow = pair.shadow()
        pair.lead(pair.leader())

        def away(topic: str, partition: int) -> None:
            raise LogFailure("the coordinator is on its way")

        with monkeypatch.context() as patch:
            patch.setattr(pair.shadow_log, "committed", away)
            pair.follow(shadow)
            assert shadow.held_inputs > 0
            assert not shadow.in_touch
        assert any(told.startswith("mark not read") for told in pair.reports)
        pair.follow(shadow)
        assert shadow.held_inputs == 0
        assert shadow.in_touch


class TestComparison:
    @pytest.mark.parametrize("leader_first", [True, False])
    def test_another_record_in_the_outbox_halts_in_either_order(self, pair, leader_first):
        pair.append(*deposits(100, 3))
        other = Pair()
        other.append(*deposits(100, 2), *deposits(300, 1))
        other.lead(other.leader())
        wrong = other.world.partitions[OUTBOX][:4]
        shadow = pair.shadow()
        if not leader_first:
            pair.follow(shadow)
        for value in wrong:
            pair.world.append(OUTBOX, value)
        with pytest.raises(ShardHalted) as halted:
            pair.follow(shadow)
        assert halted.value.reason is HaltReason.DIVERGENCE
        told = str(halted.value)
        assert "ledger.ev.0@3 (cseq 4) differs" in told
        assert '"amount": 102' in told
        assert '"amount": 300' in told

    def test_a_duplicate_that_differs_halts(self, pair):
        pair.append(*deposits(100, 3))
        shadow = pair.shadow()
        pair.lead(pair.leader(), turns=4)
        pair.follow(shadow)
        value = pair.world.partitions[OUTBOX][1]
        pair.world.append(OUTBOX, value)
        pair.follow(shadow)
        pair.world.append(OUTBOX, value[:-3] + bytes([value[-3] ^ 1]) + value[-2:])
        with pytest.raises(ShardHalted, match="it came before with another hash"):
            pair.follow(shadow)

    def test_what_the_shard_cannot_have_written_is_told_and_passed(self, pair):
        pair.append(*deposits(100, 3))
        shadow = pair.shadow()
        pair.world.append(OUTBOX, b"nonsense")
        stranger = encode_record(
            prev=bytes(16),
            cause_offset=0,
            src="M0",
            cseq=1,
            cause=1,
            time_us=1,
            input_hash=b"",
            messages=[],
        )
        pair.world.append(OUTBOX, stranger)
        pair.lead(pair.leader())
        pair.follow(shadow)
        assert shadow.compared >= 4
        assert len([told for told in pair.reports if told.startswith("foreign record")]) == 2

    def test_a_mark_of_another_input_halts(self, pair):
        pair.append(*deposits(100, 3))
        shadow = pair.shadow()
        pair.follow(shadow)
        pair.world.marks[INBOX] = Mark(2, f"2 {bytes(16).hex()}")
        with pytest.raises(ShardHalted) as halted:
            pair.follow(shadow)
        assert halted.value.reason is HaltReason.INPUT_CHANGED

    def test_a_log_that_ends_before_the_mark_halts(self, pair):
        pair.world.marks[INBOX] = Mark(9, f"9 {bytes(16).hex()}")
        with pytest.raises(ShardHalted, match="ACKED_LOSS"):
            pair.shadow()

    def test_an_outbox_that_ends_below_the_snapshot_halts(self, pair):
        pair.append(*deposits(100, 10))
        first = pair.shadow(snapshot_records=3)
        pair.lead(pair.leader())
        pair.follow(first)
        assert first.counts.snapshots > 0
        del pair.world.partitions[OUTBOX][2:]
        pair.world.marks.clear()
        with pytest.raises(ShardHalted, match=r"ACKED_LOSS: input .* is in the snapshot"):
            pair.shadow()


class TestPromotion:
    def test_it_writes_what_lies_beyond_the_mark_and_then_leads(self, pair):
        pair.append(*deposits(100, 5))
        shadow = pair.shadow()
        host = pair.leader()
        for _ in range(3):
            (record,) = pair.leader_log.read(1, 0.0)
            host.take(record)
        pair.leader_log.flush(0.0)
        pair.commit(3, host)
        pair.follow(shadow)
        assert pair.cseqs(OUTBOX) == [1, 2, 3]
        shadow.promote()
        pair.follow(shadow)
        written = pair.cseqs(OUTBOX)
        assert written[3:] == list(range(4, 4 + len(written) - 3)), "once each, none below the mark"
        assert pair.cseqs(OTHER)[:5] == [1, 2, 3, 4, 5]
        assert pair.world.end(INBOX) > 6, "a leader ticks"
        assert pair.world.marks[INBOX].offset > 6

    def test_it_does_not_take_over_from_a_leader_that_computed_otherwise(self, pair):
        other, shadow = beside_another_leader(pair)
        for value in other.world.partitions[OUTBOX][:4]:
            pair.world.append(OUTBOX, value)
        with pytest.raises(ShardHalted, match="differs"):
            shadow.promote()
        pair.shadow_log.flush(0.0)
        assert pair.cseqs(OTHER) == []

    def test_it_compares_what_the_old_leader_writes_and_commits_meanwhile(self, pair, monkeypatch):
        """What lies before the mark it takes is not written again: all of it must be compared."""
        other, shadow = beside_another_leader(pair)
        told = pair.shadow_log.committed

        def zombie_writes_first(topic: str, partition: int) -> Mark | None:
            for value in other.world.partitions[OUTBOX][:4]:
                pair.world.append(OUTBOX, value)
            pair.commit(4, shadow.host)
            return told(topic, partition)

        monkeypatch.setattr(pair.shadow_log, "committed", zombie_writes_first)
        with pytest.raises(ShardHalted, match="differs"):
            shadow.promote()
        assert not shadow.leading

    def test_with_unsound_books_it_does_not_take_over(self, pair, monkeypatch):
        """Its leader has halted for the same books, at no record of the log."""
        pair.append(*deposits(100, 3))
        shadow = pair.shadow()
        pair.follow(shadow)
        held = shadow.held_inputs

        def unsound(decider: Echo, state: EchoState) -> None:
            raise AssertionError("L1: asset 1 sums to 1, must be 0")

        monkeypatch.setattr(Echo, "dump", unsound)
        with pytest.raises(ShardHalted, match="L1: asset 1 sums to 1") as halted:
            shadow.promote()
        pair.shadow_log.flush(0.0)
        assert halted.value.reason is HaltReason.FAULT
        assert "resolve-halt" not in str(halted.value), "no word passes it"
        assert not shadow.leading
        assert shadow.held_inputs == held > 0
        assert pair.cseqs(OUTBOX) == pair.cseqs(OTHER) == []

    def test_where_the_leaders_memory_alone_was_wrong_it_goes_on(self, pair, monkeypatch):
        pair.append(*deposits(100, 3))
        shadow = pair.shadow()
        pair.follow(shadow)
        host = pair.leader()
        pair.lead(host)
        states = [host.shard.state]
        sound = Echo.dump

        def unsound(decider: Echo, state: EchoState) -> Any:
            assert state not in states, "L1: asset 1 sums to 1, must be 0"
            return sound(decider, state)

        monkeypatch.setattr(Echo, "dump", unsound)
        with pytest.raises(ShardHalted, match="L1"):
            host.expect_sound()
        shadow.promote()
        assert shadow.leading

    def test_the_last_record_before_its_snapshot_is_compared_too(self, pair):
        pair.append(*deposits(100, 3))
        other = Pair()
        other.append(*deposits(100, 2), *deposits(300, 1))
        other.lead(other.leader())
        first = pair.shadow(snapshot_records=4)
        pair.follow(first, turns=4)
        pair.commit(4, first.host)
        pair.follow(first)
        assert first.counts.snapshots == 1
        for value in other.world.partitions[OUTBOX][:4]:
            pair.world.append(OUTBOX, value)
        again = pair.shadow()
        assert again.position == 4
        with pytest.raises(ShardHalted, match="it came before with another hash"):
            again.promote()

    def test_it_takes_over_far_behind_and_compares_what_it_had_not_computed(self, pair):
        pair.append(*deposits(100, 5))
        host = pair.leader()
        pair.lead(host)
        written = pair.cseqs(OUTBOX)
        shadow = pair.shadow()
        shadow.promote()
        assert shadow.position == 0
        pair.follow(shadow)
        assert pair.cseqs(OUTBOX)[: len(written)] == written
        assert len(set(pair.cseqs(OUTBOX))) == len(pair.cseqs(OUTBOX))
        assert shadow.compared >= len(written)

    def test_a_forged_record_far_ahead_does_not_let_it_compare_for_ever(self, pair):
        pair.append(*deposits(100, 5))
        pair.lead(pair.leader())
        written = len(pair.cseqs(OUTBOX))
        place = f"ledger.ev.0@{pair.world.end(OUTBOX)}"
        pair.world.append(OUTBOX, forged(pair.world.partitions[OUTBOX][-1], cseq=10**6))
        shadow = pair.shadow()
        shadow.promote()
        assert any(
            told.startswith(f"foreign record in the outbox: {place}") for told in pair.reports
        )
        pair.follow(shadow)
        pair.append(*deposits(200, 20))
        pair.follow(shadow)
        assert shadow.compared == written
        assert shadow._comparison.waiting_bytes == 0, "nothing more can be found"

    def test_far_behind_it_halts_before_it_writes_another_history(self, pair):
        pair.append(*deposits(100, 3))
        other = Pair()
        other.append(*deposits(100, 2), *deposits(300, 1))
        other.lead(other.leader())
        for value in other.world.partitions[OUTBOX][:4]:
            pair.world.append(OUTBOX, value)
        shadow = pair.shadow()
        shadow.promote()
        with pytest.raises(ShardHalted, match="differs"):
            pair.follow(shadow)
        pair.shadow_log.flush(0.0)
        assert pair.cseqs(OTHER) == [1, 2]

    def test_two_leaders_at_once_are_harmless(self, pair):
        pair.append(*deposits(100, 3))
        shadow = pair.shadow()
        host = pair.leader()
        pair.lead(host, turns=2)
        pair.follow(shadow, turns=3)
        shadow.promote()
        pair.append(*deposits(200, 3))
        for _ in range(30):
            pair.lead(host, turns=1)
            pair.follow(shadow, turns=1)
        values: dict[int, set[bytes]] = {}
        for value in pair.world.partitions[OUTBOX]:
            values.setdefault(decode_record(value).cseq, set()).add(value)
        assert all(len(equal) == 1 for equal in values.values())


def test_a_shadow_of_an_older_build_does_not_start_from_a_newer_ones_snapshot(pair):
    host = pair.leader()
    pair.lead(host)
    newer = json.loads(host.shard.dump())
    newer["rules_version"] = 2
    snapshot = Snapshot(host.position, json.dumps(newer).encode())
    pair.files.write(f"{host.position:020d}.snapshot", encode_snapshot(snapshot))
    with pytest.raises(ShardHalted) as halted:
        pair.shadow()
    assert halted.value.reason is HaltReason.UNKNOWN_RULES


@pytest.mark.sources
def test_a_shadow_of_an_older_build_ends_at_new_rules_and_the_leader_goes_on(pair, monkeypatch):
    activation = from_outside(RulesActivated(2))
    pair.append(*deposits(100, 3), activation, *deposits(200, 3))
    shadow = pair.shadow()
    host = pair.leader()
    monkeypatch.setattr("streams.shard.SUPPORTED_RULES", (1, 2))
    pair.lead(host)
    monkeypatch.setattr("streams.shard.SUPPORTED_RULES", (1,))
    with pytest.raises(ShardHalted) as halted:
        pair.follow(shadow)
    assert halted.value.reason is HaltReason.UNKNOWN_RULES
    assert halted.value.offset == 4
    pair.append(*deposits(300, 3))
    monkeypatch.setattr("streams.shard.SUPPORTED_RULES", (1, 2))
    pair.lead(host)
    assert host.position == pair.world.end(INBOX)
    newer = pair.shadow()
    pair.follow(newer)
    newer.promote()
    assert newer.host.shard.rules_version == 2
