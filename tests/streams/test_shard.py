"""The step function: what is dropped, refused, repeated, expired, faulted, and what halts."""

from dataclasses import replace

import pytest

from domain.ledger.messages import DepositCredited
from domain.orders.messages import OrderAccepted, OrderType, Side, TimeInForce
from domain.protocol import (
    CommandExpired,
    CommandFaulted,
    CommandRepeated,
    HaltAction,
    RulesActivated,
    Tick,
)
from schemas.record import decode_record
from streams.channels import MAX_OUTPUT_BYTES
from streams.halts import Halt, HaltReason
from streams.shard import Shard
from tests.streams.echo import FAULT_IN_APPLYING, FAULT_IN_PLANNING, Echo
from tests.streams.records import (
    DEADLINE_US,
    GENESIS,
    NOW_US,
    channel,
    deposit,
    events_of,
    from_outside,
    from_shard,
)

ORDER = OrderAccepted(
    bytes(16), 1, 3, 2, 1, "", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 1, 1, 0, 1, 1, 0, 0
)


@pytest.fixture
def shard() -> Shard:
    started = Shard("L0", Echo())
    started.step(0, GENESIS)
    return started


def halted(shard: Shard, value: bytes) -> HaltReason:
    with pytest.raises(Halt) as halt:
        shard.step(1, value)
    return halt.value.reason


class TestOutsideRecords:
    def test_an_event_is_written_once_and_delivered(self, shard):
        step = shard.step(1, from_outside(deposit(5)))
        own, delivered = step.outputs
        assert (own.topic, own.partition) == ("ledger.ev", 0)
        assert (delivered.topic, delivered.partition) == ("ledger.in", 1)
        assert decode_record(own.value).messages == decode_record(delivered.value).messages
        assert decode_record(own.value).input_hash == shard.input_hash
        assert decode_record(delivered.value).input_hash == b""

    def test_an_accepted_input_without_events_is_written_too(self, shard):
        step = shard.step(1, from_outside(Tick(), source="clock"))
        (output,) = step.outputs
        assert decode_record(output.value).messages == []
        assert decode_record(output.value).cause == 2

    @pytest.mark.parametrize("value", [None, b"", b"nonsense", GENESIS[:-3], GENESIS + b"\0"])
    def test_what_cannot_be_decoded_is_set_aside(self, shard, value):
        before = shard.dump()
        step = shard.step(1, value)
        assert [q.index for q in step.quarantined] == [-1]
        assert not step.accepted and not step.outputs
        assert shard.dump() == before

    @pytest.mark.parametrize("source", ["L1", "A", "intruder", ""])
    def test_an_unknown_outside_source_is_set_aside(self, shard, source):
        step = shard.step(1, from_outside(Tick(), source=source))
        assert step.quarantined and not step.outputs

    @pytest.mark.parametrize("command_id", [b"", bytes(15), bytes(17)])
    def test_a_command_without_a_whole_id_is_set_aside(self, shard, command_id):
        step = shard.step(1, from_outside(replace(deposit(5), command_id=command_id), deposit(6)))
        assert [q.index for q in step.quarantined] == [0]
        assert shard.state.amounts == [6] and len(shard.window) == 1

    def test_one_foreign_message_leaves_the_others_standing(self, shard):
        good = from_outside(deposit(5), deposit(6))
        bad = from_outside(deposit(7), source="gw")
        assert len(events_of(shard.step(1, good))) == 2
        step = shard.step(2, bad)
        assert [q.index for q in step.quarantined] == [0]
        assert step.accepted and events_of(step) == []

    def test_genesis_must_come_first(self):
        assert halted(Shard("L0", Echo()), from_outside(deposit(5))) is HaltReason.NO_GENESIS

    def test_rules_that_this_build_does_not_know(self, shard):
        assert halted(shard, from_outside(RulesActivated(99))) is HaltReason.UNKNOWN_RULES

    def test_time_never_goes_back(self, shard):
        shard.step(1, from_outside(Tick(), source="clock", time_us=NOW_US + 9))
        step = shard.step(2, from_outside(Tick(), source="clock", time_us=NOW_US + 3))
        assert decode_record(step.outputs[0].value).time_us == NOW_US + 9


class TestCommands:
    def test_the_same_id_has_one_effect(self, shard):
        shard.step(1, from_outside(deposit(5)))
        step = shard.step(2, from_outside(deposit(5)))
        assert events_of(step) == [CommandRepeated(deposit(5).command_id, 2)]
        assert shard.state.amounts == [5]

    def test_a_repetition_in_the_same_record(self, shard):
        events = events_of(shard.step(1, from_outside(deposit(5), deposit(5))))
        assert [type(event) for event in events] == [DepositCredited, CommandRepeated]

    def test_a_command_past_its_deadline_has_no_effect(self, shard):
        late = from_outside(deposit(5), time_us=DEADLINE_US + 1)
        assert events_of(shard.step(1, late)) == [
            CommandExpired(deposit(5).command_id, DEADLINE_US)
        ]
        assert shard.state.amounts == []

    def test_a_command_at_its_deadline_runs(self, shard):
        shard.step(1, from_outside(deposit(5), time_us=DEADLINE_US))
        assert shard.state.amounts == [5]

    def test_a_command_that_ran_is_repeated_past_its_deadline_not_expired(self, shard):
        shard.step(1, from_outside(deposit(5)))
        again = from_outside(deposit(5), time_us=DEADLINE_US + 60_000_000)
        assert isinstance(events_of(shard.step(2, again))[0], CommandRepeated)

    def test_a_fault_in_planning_leaves_the_state_and_is_told(self, shard):
        step = shard.step(1, from_outside(deposit(FAULT_IN_PLANNING), deposit(6)))
        faulted, credited = events_of(step)
        assert faulted == CommandFaulted(
            deposit(FAULT_IN_PLANNING).command_id, "CreditDeposit", "ZeroDivisionError"
        )
        assert isinstance(credited, DepositCredited)
        assert credited.amount == 6
        assert step.faults == ["CreditDeposit: ZeroDivisionError('planned to')"]

    def test_a_fault_in_applying_halts(self, shard):
        assert halted(shard, from_outside(deposit(FAULT_IN_APPLYING))) is HaltReason.FAULT


class TestChannels:
    def test_a_duplicate_is_dropped(self, shard):
        first, second = channel([Tick()], [Tick()])
        shard.step(1, first)
        shard.step(2, second)
        before = shard.dump()
        for value in (first, second):
            step = shard.step(3, value)
            assert not step.accepted and not step.quarantined and not step.outputs
        assert shard.dump() == before

    def test_a_gap_halts(self, shard):
        assert halted(shard, channel([Tick()], [Tick()])[1]) is HaltReason.GAP

    def test_another_history_halts(self, shard):
        shard.step(1, channel([Tick()])[0])
        assert halted(shard, from_shard(2, Tick(), prev=b"x" * 16)) is HaltReason.DIVERGENCE

    def test_other_content_under_the_last_number_halts(self, shard):
        shard.step(1, channel([Tick()])[0])
        other = from_shard(1, Tick(), Tick())
        assert halted(shard, other) is HaltReason.DIVERGENCE

    def test_a_channel_from_nowhere_is_set_aside(self, shard):
        assert shard.step(1, from_shard(1, Tick(), src="L7")).quarantined

    def test_a_fact_that_cannot_be_planned_halts(self, shard):
        assert halted(shard, from_shard(1, ORDER)) is HaltReason.FAULT

    def test_a_foreign_message_on_a_channel_halts(self, shard):
        foreign = replace(ORDER, user_id=0)
        assert halted(shard, from_shard(1, foreign)) is HaltReason.FOREIGN_MESSAGE

    def test_a_large_output_is_split_at_message_borders(self, shard):
        deposits = [deposit(1_000 + n) for n in range(20_000)]
        step = shard.step(1, from_outside(*deposits))
        own = [output.value for output in step.outputs if output.topic == "ledger.ev"]
        assert len(own) > 1
        assert all(len(value) < MAX_OUTPUT_BYTES + 200 for value in own)
        records = [decode_record(value) for value in own]
        assert {record.cause for record in records} == {2}
        assert [record.cseq for record in records] == list(range(2, 2 + len(own)))
        assert sum(len(record.messages) for record in records) == 20_000


@pytest.mark.parametrize("method", ["decide", "evolve"])
def test_a_machine_without_memory_is_no_fault_of_the_message(shard, monkeypatch, method):
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Echo, method, exhausted)
    exhausted_shard = Shard.load(shard.dump(), Echo())
    with pytest.raises(MemoryError):
        exhausted_shard.step(1, from_outside(deposit(5)))


class TestResolutions:
    def test_a_skipped_forgery_changes_nothing(self, shard):
        forged = channel([Tick()], [Tick()])[1]
        shard.resolutions = {1: HaltAction.SKIP}
        step = shard.step(1, forged)
        assert not step.accepted
        assert shard.step(2, channel([Tick()])[0]).accepted

    def test_a_skipped_genuine_record_keeps_its_channel(self, shard):
        genuine, following = channel([ORDER], [Tick()])
        shard.resolutions = {1: HaltAction.SKIP}
        step = shard.step(1, genuine)
        assert step.accepted and events_of(step) == []
        assert shard.step(2, following).accepted


def test_a_dumped_shard_goes_on_as_if_nothing_had_been(shard):
    shard.step(1, from_outside(deposit(5)))
    shard.step(2, channel([Tick()])[0])
    copy = Shard.load(shard.dump(), Echo())
    for one in (shard, copy):
        one.step(3, from_outside(deposit(6)))
        one.step(4, from_outside(deposit(5)))
    assert copy.dump() == shard.dump()
    assert copy.state_hash() == shard.state_hash()
