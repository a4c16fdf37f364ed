"""The host: recovery, marks, snapshots, halts and their resolution, on a log in memory."""

import gc
import json
import weakref
from collections.abc import Callable
from dataclasses import replace

import pytest

from domain.protocol import HaltAction, HaltResolved, ResolveHalt, Tick
from infra.collector import leave_to_reference_counts
from infra.log import Mark
from schemas.record import decode_record, record_hash
from streams.halts import HaltReason, ShardHalted
from streams.shard import Shard
from streams.snapshots import Snapshot, encode_snapshot
from tests.streams.echo import FAULT_IN_APPLYING, Echo
from tests.streams.one_shard import INBOX, OUTBOX, Stage
from tests.streams.records import DEADLINE_US, GENESIS, channel, deposit, from_outside

QUARANTINE = ("dlq", 0)


@pytest.fixture
def stage() -> Stage:
    return Stage()


def halt_of(stage: Stage) -> ShardHalted:
    with pytest.raises(ShardHalted) as halted:
        stage.run(stage.start())
    return halted.value


class TestRecovery:
    def test_what_lies_below_the_mark_is_not_written_again(self, stage):
        stage.append(from_outside(deposit(5)), from_outside(deposit(6)))
        stage.run(stage.start())
        before = stage.outbox()
        stage.log.close()
        again = stage.run(stage.start(), turns=3)
        assert stage.amounts(again)[:1] == [5]
        assert stage.outbox()[: len(before)] == before
        assert len(set(stage.outbox())) == len(stage.outbox())

    def test_without_a_mark_everything_is_written_again_and_is_the_same(self, stage):
        stage.append(from_outside(deposit(5)))
        stage.run(stage.start())
        once = list(stage.world.partitions[OUTBOX])
        stage.log.close()
        stage.world.marks.clear()
        stage.run(stage.start())
        assert stage.world.partitions[OUTBOX][len(once) :][: len(once)] == once

    def test_a_snapshot_shortens_the_way(self, stage):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        first = stage.run(stage.start(snapshot_records=4))
        assert first.counts.snapshots > 0
        stage.log.close()
        second = stage.start()
        assert second.position > 4
        assert stage.run(second).shard.state.amounts == first.shard.state.amounts

    def test_a_spoiled_snapshot_costs_only_time(self, stage):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        first = stage.run(stage.start(snapshot_records=4))
        stage.log.close()
        for _ in range(3):
            stage.files.spoil_newest()
        for name in stage.files.names():
            stage.files.write(name, b"spoiled")
        second = stage.start()
        assert second.position == 0
        assert stage.run(second).shard.state.amounts == first.shard.state.amounts

    def test_a_snapshot_of_another_layout_or_shard_costs_only_time(self, stage):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        first = stage.run(stage.start(snapshot_records=4))
        stage.log.close()
        foreign = first.shard.dump().replace(b'"shard":"L0"', b'"shard":"L1"')
        end = stage.world.end(INBOX)
        stage.append(from_outside(Tick(), source="clock"))
        for offset, payload in ((end, foreign), (end + 1, b'{"shard":"L0"}')):
            stage.files.write(f"{offset:020d}.snapshot", encode_snapshot(Snapshot(offset, payload)))
        stage.reports.clear()
        second = stage.start()
        assert stage.reports[:2] == ["snapshot passed over"] * 2
        assert 0 < second.position < end
        assert stage.run(second).shard.state.amounts == first.shard.state.amounts

    def test_without_memory_a_start_ends_and_passes_no_snapshot_over(self, stage, monkeypatch):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        stage.run(stage.start(snapshot_records=4))
        stage.log.close()

        def exhausted(*_: object) -> None:
            raise MemoryError

        monkeypatch.setattr(Echo, "load", exhausted)
        with pytest.raises(MemoryError):
            stage.start()

    def test_a_snapshot_under_rules_of_a_newer_build_halts(self, stage):
        host = stage.run(stage.start(), turns=3)
        newer = json.loads(host.shard.dump())
        newer["rules_version"] = 2
        snapshot = Snapshot(host.position, json.dumps(newer).encode())
        stage.files.write(f"{host.position:020d}.snapshot", encode_snapshot(snapshot))
        halted = halt_of(stage)
        assert halted.reason is HaltReason.UNKNOWN_RULES
        assert "rules version 2 is active" in str(halted)

    def test_a_snapshot_of_a_log_that_lost_its_tail_and_grew_again_halts(self, stage):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        stage.run(stage.start(snapshot_records=4))
        stage.log.close()
        newest = max(int(name[:20]) for name in stage.files.names())
        stage.world.marks[INBOX] = replace(stage.world.marks[INBOX], offset=0)
        del stage.world.partitions[INBOX][newest - 1 :]
        stage.append(*[from_outside(deposit(200 + n)) for n in range(10)])
        with pytest.raises(ShardHalted, match="ACKED_LOSS: the snapshot"):
            stage.start()

    def test_a_snapshot_waits_for_the_outputs_before_it(self, stage):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        host = stage.start(snapshot_records=4)
        for _ in range(12):
            for record in stage.log.read(1, 0.0):
                host.take(record)
            host.tend()
        assert host.counts.snapshots == 0
        assert [name for name in stage.files.names() if name.endswith(".snapshot")] == []
        stage.run(host)
        assert host.counts.snapshots > 0

    def test_a_state_that_must_not_be_halts_instead_of_being_kept(self, stage, monkeypatch):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        host = stage.start(snapshot_records=4)

        def unsound(_: Shard) -> bytes:
            raise AssertionError("L1: asset 1 sums to 5, must be 0")

        monkeypatch.setattr(Shard, "dump", unsound)
        with pytest.raises(ShardHalted, match="L1: asset 1 sums to 5") as halted:
            stage.run(host)
        assert halted.value.reason is HaltReason.FAULT
        assert stage.files.names() == []


class TestBeforeGenesis:
    """Shards that are started before `logbourse genesis` was said."""

    @pytest.fixture
    def stage(self) -> Stage:
        stage = Stage()
        stage.world.partitions.clear()
        return stage

    def test_a_shard_writes_nothing_and_waits(self, stage):
        host = stage.run(stage.start())
        stage.clock.elapsed_us += 60_000_000
        stage.run(host, turns=3)
        assert not any(stage.world.partitions.values())
        assert host.standstill_s() == 0.0, "who stands by could do no more"
        stage.append(GENESIS)
        stage.clock.elapsed_us += 2_000_000
        stage.run(host, turns=3)
        assert stage.outbox() == [1, 2], "Genesis, and a Tick behind it"

    def test_an_inbox_that_lost_all_of_what_its_outbox_tells_halts(self, stage):
        stage.append(GENESIS, from_outside(deposit(5)))
        stage.run(stage.start())
        stage.log.close()
        stage.world.marks.clear()
        stage.world.partitions[INBOX].clear()
        assert halt_of(stage).reason is HaltReason.ACKED_LOSS

    def test_no_word_is_offered_where_none_helps(self, stage):
        stage.append(from_outside(Tick(), source="clock"))
        with pytest.raises(ShardHalted, match=r"NO_GENESIS: .*; see docs"):
            stage.run(stage.start())


class TestAnotherLeader:
    """Two lead the same shard for a while, each on its own log handle."""

    def other(self, stage: Stage) -> Callable[[], None]:
        """A leader that is started now; one more input comes and is handled at each call."""
        host, log = stage.start(snapshot_records=1), stage.log

        def move() -> None:
            stage.append(from_outside(deposit(100 + stage.world.end(INBOX))))
            mine, stage.log = stage.log, log
            stage.run(host, turns=3)
            stage.log = mine

        return move

    def test_what_it_handles_between_two_looks_at_the_log_is_no_loss(self, stage):
        second = stage.start(between=self.other(stage))
        end = stage.world.end(INBOX)
        assert end > 3
        for _ in range(end):
            for record in stage.log.read(1, 0.0):
                second.take(record)
            second.tend()
        assert second.caught_up()
        assert second.position >= end

    def test_its_snapshot_of_what_came_since_an_end_was_asked_for_is_no_loss(self, stage):
        move, names = self.other(stage), stage.files.names
        begun: list[bool] = []

        def names_after_a_move() -> list[str]:
            if not begun:
                begun.append(True)
                move()
            return names()

        stage.files.names = names_after_a_move
        second = stage.start()
        assert begun
        assert second.position > 1
        assert stage.run(second).position == stage.world.end(INBOX)


class TestMarks:
    def test_no_mark_passes_an_unacknowledged_output(self, stage):
        stage.append(from_outside(deposit(5)), from_outside(deposit(6)))
        host = stage.start()
        for _ in range(3):
            for record in stage.log.read(1, 0.0):
                host.take(record)
            host.tend()
        assert INBOX not in stage.world.marks
        stage.run(host)
        assert stage.world.marks[INBOX].offset >= 3

    def test_another_input_than_was_committed_halts(self, stage):
        stage.append(from_outside(deposit(5)), from_outside(deposit(6)))
        stage.run(stage.start())
        stage.log.close()
        stage.world.partitions[INBOX][1] = from_outside(deposit(7))
        halted = halt_of(stage)
        assert halted.reason is HaltReason.INPUT_CHANGED

    def test_a_log_that_ends_below_the_mark_halts(self, stage):
        stage.world.marks[INBOX] = Mark(5, f"5 {bytes(16).hex()}")
        with pytest.raises(ShardHalted, match="ACKED_LOSS"):
            stage.start()

    def test_a_log_that_ends_below_the_snapshot_halts(self, stage):
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        stage.run(stage.start(snapshot_records=4))
        stage.log.close()
        stage.world.marks.clear()
        del stage.world.partitions[INBOX][3:]
        with pytest.raises(ShardHalted, match="ACKED_LOSS"):
            stage.start()

    def test_an_outbox_that_ends_below_the_snapshot_halts(self, stage):
        """All power was lost, the inbox is on disk, the ends of outbox and marks are not."""
        stage.append(*[from_outside(deposit(100 + n)) for n in range(10)])
        stage.run(stage.start(snapshot_records=4))
        stage.log.close()
        del stage.world.partitions[OUTBOX][5:]
        for mark in (None, Mark(3, f"3 {bytes(16).hex()}")):
            stage.world.marks.clear()
            if mark is not None:
                stage.world.marks[INBOX] = mark
            with pytest.raises(ShardHalted, match=r"ACKED_LOSS: input .* is in the snapshot"):
                stage.start()

    def test_a_missing_offset_halts(self, stage):
        stage.append(from_outside(deposit(5)), from_outside(deposit(6)))
        host = stage.start()
        records = [stage.log.read(1, 0.0)[0] for _ in range(3)]
        host.take(records[0])
        with pytest.raises(ShardHalted, match=r"ACKED_LOSS.*; see docs"):
            host.take(records[2])


class TestQuarantine:
    def test_it_is_told_with_its_position_and_the_next_command_is_served(self, stage):
        stage.append(b"nonsense", from_outside(deposit(5), source="gw"), from_outside(deposit(6)))
        host = stage.run(stage.start())
        assert stage.amounts(host) == [6]
        notices = [json.loads(value) for value in stage.world.partitions[QUARANTINE]]
        assert [(n["offset"], n["message_index"]) for n in notices] == [(1, -1), (2, 0)]
        assert notices[0]["record_hash"] == record_hash(b"nonsense").hex()
        assert stage.reports == ["quarantined", "quarantined"]
        assert host.counts.quarantined == 2


class TestHalts:
    def resolve(self, record: bytes, action: HaltAction = HaltAction.SKIP) -> bytes:
        return from_outside(ResolveHalt(b"r" * 16, DEADLINE_US, record_hash(record), action))

    def test_a_gap_halts_and_names_its_record(self, stage):
        forged = channel([Tick()], [Tick()])[1]
        stage.append(from_outside(deposit(5)), forged, from_outside(deposit(6)))
        halted = halt_of(stage)
        assert (halted.reason, halted.offset) == (HaltReason.GAP, 2)
        assert halted.record_hash == record_hash(forged)
        assert record_hash(forged).hex() in str(halted)

    def test_an_operators_word_gets_past_a_forgery(self, stage):
        forged = channel([Tick()], [Tick()])[1]
        stage.append(forged, from_outside(deposit(5)))
        halt_of(stage)
        stage.append(self.resolve(forged))
        host = stage.run(stage.start())
        assert stage.amounts(host) == [5]
        assert "halt resolved" in stage.reports
        events = [
            message
            for value in stage.world.partitions[OUTBOX]
            for message in decode_record(value).messages
        ]
        assert HaltResolved(b"r" * 16, record_hash(forged), HaltAction.SKIP) in events

    def test_a_record_that_was_applied_in_half_leaves_nothing_behind(self, stage):
        poison = from_outside(deposit(FAULT_IN_APPLYING))
        stage.append(from_outside(deposit(5)), poison, from_outside(deposit(6)))
        assert halt_of(stage).reason is HaltReason.FAULT
        stage.append(self.resolve(poison))
        assert stage.amounts(stage.run(stage.start())) == [5, 6]

    def test_what_is_left_behind_goes_though_nothing_searches_for_cycles(self, stage):
        forged = channel([Tick()], [Tick()])[1]
        stage.append(from_outside(deposit(5)), forged, self.resolve(forged))
        host = stage.start()
        state = host.shard.state
        state.ring = state
        left = weakref.ref(state)
        del state
        leave_to_reference_counts()
        try:
            stage.run(host)
            assert stage.amounts(host) == [5]
            assert left() is None
        finally:
            gc.unfreeze()
            gc.enable()

    def test_nobody_but_an_operator_resolves(self, stage):
        forged = channel([Tick()], [Tick()])[1]
        word = ResolveHalt(b"r" * 16, DEADLINE_US, record_hash(forged), HaltAction.SKIP)
        stage.append(forged, from_outside(word, source="gw"))
        assert halt_of(stage).reason is HaltReason.GAP

    def test_a_word_on_another_record_does_not_help(self, stage):
        forged = channel([Tick()], [Tick()])[1]
        stage.append(forged, self.resolve(GENESIS))
        assert halt_of(stage).reason is HaltReason.GAP

    def test_a_word_speaks_of_the_copies_before_it_only(self, stage):
        """A host that has met the first copy must not go on where one started later halts."""
        forged = channel([Tick()], [Tick()])[1]
        stage.append(forged, forged, self.resolve(forged))
        host = stage.run(stage.start(snapshot_records=2))
        stage.append(from_outside(deposit(5)))
        assert stage.amounts(stage.run(host)) == [5]
        stage.append(forged)
        with pytest.raises(ShardHalted, match="GAP"):
            stage.run(host)
        stage.log.close()
        assert halt_of(stage).reason is HaltReason.GAP

    def test_the_replayed_state_is_that_of_the_host(self, stage):
        forged = channel([Tick()], [Tick()])[1]
        stage.append(from_outside(deposit(5)), forged, from_outside(deposit(6)))
        stage.append(self.resolve(forged))
        host = stage.run(stage.start())
        stage.log.close()
        stage.world.marks.clear()
        again = stage.run(stage.start(), turns=0)
        for record in stage.log.scan(*INBOX, 0, host.position):
            again.take(record)
        while again.position < host.position:
            for record in stage.log.read(1, 0.0):
                again.take(record)
        assert again.shard.dump() == host.shard.dump()


def test_a_tick_a_second_once_caught_up(stage):
    host = stage.run(stage.start(), turns=5)
    ticks = len(stage.world.partitions[INBOX])
    stage.clock.elapsed_us += 999_000
    stage.run(host, turns=3)
    assert len(stage.world.partitions[INBOX]) == ticks
    stage.clock.elapsed_us += 2_000
    stage.run(host, turns=3)
    assert len(stage.world.partitions[INBOX]) == ticks + 1
