"""What answers a command: the whole outcome, also for who asks again in the middle of it."""

import asyncio
from dataclasses import replace

from commands.execution import _Request
from commands.gateway import ACCEPTANCE, REPORT, STARTS
from commands.outcomes import Answer, Awaited, Outcomes
from domain.matching.messages import OrderRested
from domain.orders.messages import (
    CancelAllOrders,
    OrderAccepted,
    OrderType,
    Side,
    TimeInForce,
)
from domain.protocol import CommandExpired, CommandFaulted, CommandRepeated
from infra.http.errors import ApiError
from infra.log import LogRecord
from schemas.record import Record, encode_message, encode_record, outside_record

ID = b"c" * 16
ACCEPTED = OrderAccepted(
    ID, 2, 2, 2, 1, "a", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 9, 1, 0, 1, 9, 1, 1
)
RESTED = OrderRested(ID, 2, 2, 2, Side.BUY, 9, 1)


def record(cause, *messages):
    return Record(bytes(16), 0, "L0", cause, cause, 1, bytes(16), list(messages))


def stored(cause, *messages):
    """The record as an outbox has it."""
    value = encode_record(
        src="L0",
        cseq=cause,
        prev=bytes(16),
        cause=cause,
        cause_offset=0,
        time_us=1,
        input_hash=bytes(16),
        messages=[encode_message(message) for message in messages],
    )
    return LogRecord("ledger.ev", 0, cause - 1, -1, value)


async def no_originals(_shard, _cause, _before):
    nothing: list[LogRecord] = []
    for found in nothing:
        yield found


async def test_a_report_without_its_beginning_is_not_taken_for_an_answer():
    """A request sent again after 503: the acceptance passed while nobody waited for it."""

    async def originals(_shard, cause, _before):
        assert cause == 7
        yield stored(7, ACCEPTED)
        yield stored(8, RESTED)

    outcomes = Outcomes(originals)
    came: asyncio.Future[Answer | ApiError] = asyncio.get_running_loop().create_future()
    outcomes.expect(ID, Awaited({"L0": REPORT}, starts=STARTS), came.set_result)
    outcomes.apply("L0", 8, record(8, RESTED))
    assert not came.done()
    outcomes.apply("L0", 9, record(9, CommandRepeated(ID, 7)))
    answer = await asyncio.wait_for(came, 5)
    assert isinstance(answer, Answer)
    assert [seen.message for seen in answer.seen] == [ACCEPTED, RESTED]
    assert answer.repeated


async def test_originals_of_many_are_read_together():
    """A client that got no answers asks for all at once; one reading each would take too long."""
    ids = [bytes([number]) * 16 for number in range(1, 101)]
    readings = []
    all_asked = asyncio.Event()

    async def originals(_shard, cause, before):
        readings.append((cause, before))
        await all_asked.wait()
        for number in range(cause, 101):
            yield stored(number, replace(ACCEPTED, command_id=ids[number - 1]))

    loop = asyncio.get_running_loop()
    outcomes = Outcomes(originals)
    came: list[asyncio.Future[Answer | ApiError]] = [loop.create_future() for _ in ids]
    for id, future in zip(ids, came, strict=True):
        outcomes.expect(id, Awaited({"L0": ACCEPTANCE}, starts=STARTS), future.set_result)
    for number in range(100, 0, -1):
        repeated = CommandRepeated(ids[number - 1], number)
        outcomes.apply("L0", 300 - number, record(301 - number, repeated))
        await asyncio.sleep(0)
    all_asked.set()
    for id, answer in zip(ids, await asyncio.gather(*came), strict=True):
        assert isinstance(answer, Answer)
        assert [seen.message for seen in answer.seen] == [replace(ACCEPTED, command_id=id)]
    assert readings == [(100, 200), (1, 299)]


async def test_what_an_id_said_before_its_original_is_not_its_answer():
    """A key that was used too late, and then in time, beside another that repeats an older one."""
    other = b"d" * 16

    async def originals(_shard, cause, _before):
        assert cause == 5
        yield stored(5, replace(ACCEPTED, command_id=other))
        yield stored(6, CommandExpired(ID, 1))
        yield stored(8, ACCEPTED)

    outcomes = Outcomes(originals)
    came: asyncio.Future[Answer | ApiError] = asyncio.get_running_loop().create_future()
    outcomes.expect(other, Awaited({"L0": ACCEPTANCE}, starts=STARTS), lambda _: None)
    outcomes.expect(ID, Awaited({"L0": ACCEPTANCE}, starts=STARTS), came.set_result)
    outcomes.apply("L0", 9, record(10, CommandRepeated(other, 5), CommandRepeated(ID, 8)))
    answer = await asyncio.wait_for(came, 5)
    assert isinstance(answer, Answer)
    assert [seen.message for seen in answer.seen] == [ACCEPTED]


async def test_an_original_that_cannot_be_read_fails_alone():
    other = b"d" * 16

    async def originals(_shard, cause, _before):
        assert cause != 5, "gone"
        yield stored(8, ACCEPTED)

    loop = asyncio.get_running_loop()
    outcomes = Outcomes(originals)
    lost: asyncio.Future[Answer | ApiError] = loop.create_future()
    came: asyncio.Future[Answer | ApiError] = loop.create_future()
    outcomes.expect(other, Awaited({"L0": ACCEPTANCE}, starts=STARTS), lost.set_result)
    outcomes.expect(ID, Awaited({"L0": ACCEPTANCE}, starts=STARTS), came.set_result)
    outcomes.apply("L0", 9, record(10, CommandRepeated(other, 5), CommandRepeated(ID, 8)))
    assert isinstance(await asyncio.wait_for(lost, 5), ApiError)
    assert isinstance(await asyncio.wait_for(came, 5), Answer)


async def test_what_comes_while_the_original_is_read_counts_once():
    beginning = asyncio.Event()

    async def originals(_shard, _cause, _before):
        await beginning.wait()
        yield stored(7, ACCEPTED)
        yield stored(11, RESTED)

    outcomes = Outcomes(originals)
    came: asyncio.Future[Answer | ApiError] = asyncio.get_running_loop().create_future()
    awaited = Awaited({"L0": (CommandFaulted,)}, starts=STARTS)
    outcomes.expect(ID, awaited, came.set_result)
    outcomes.apply("L0", 9, record(10, CommandRepeated(ID, 7)))
    outcomes.apply("L0", 10, record(11, RESTED))
    outcomes.apply("L0", 11, record(12, CommandFaulted(ID, "RestOrder", "KeyError")))
    beginning.set()
    answer = await asyncio.wait_for(came, 5)
    assert isinstance(answer, Answer)
    assert [seen.cseq for seen in answer.seen] == [7, 11, 12]


async def test_an_outcome_from_its_beginning_is_the_answer():
    outcomes = Outcomes(no_originals)
    results: list[Answer | ApiError] = []
    _, known = outcomes.expect(ID, Awaited({"L0": REPORT}, starts=STARTS), results.append)
    assert not known
    outcomes.apply("L0", 7, record(7, ACCEPTED))
    outcomes.apply("L0", 8, record(8, RESTED))
    (answer,) = results
    assert isinstance(answer, Answer)
    assert [seen.message for seen in answer.seen] == [ACCEPTED, RESTED]


async def test_matching_does_not_answer_for_a_ledger():
    """A process with the operators' port follows matching, too; its answers say nothing else."""
    outcomes = Outcomes(no_originals)
    results: list[Answer | ApiError] = []
    awaited = Awaited({"L0": REPORT}, starts=STARTS, alone=True)
    outcomes.expect(ID, awaited, results.append)
    outcomes.apply("L0", 7, record(7, ACCEPTED))
    outcomes.apply("M0", 3, record(3, RESTED))
    outcomes.apply("M0", 4, record(4, CommandFaulted(ID, "RestOrder", "KeyError")))
    assert not results
    outcomes.apply("L0", 8, record(8, RESTED))
    (answer,) = results
    assert isinstance(answer, Answer)
    assert answer.position() == "ledger.ev.0@8"


async def test_an_equal_request_gets_the_same_answer_also_if_it_comes_last():
    outcomes = Outcomes(no_originals)
    awaited = Awaited({"L0": ACCEPTANCE}, starts=STARTS)
    early: list[Answer | ApiError] = []
    late: list[Answer | ApiError] = []
    pending, _ = outcomes.expect(ID, awaited, early.append)
    outcomes.apply("L0", 7, record(7, ACCEPTED))
    same, known = outcomes.expect(ID, awaited, late.append)
    assert (same is pending, known, late == early, len(early)) == (True, True, True, 1)
    outcomes.release(pending, early.append)
    assert len(outcomes) == 1
    outcomes.release(pending, late.append)
    assert len(outcomes) == 0


def test_only_records_that_name_a_waiting_command_need_be_decoded():
    value = outside_record("gw", 1, [encode_message(RESTED), encode_message(ACCEPTED)])
    outcomes = Outcomes(no_originals)
    assert not outcomes.are_in(value)
    outcomes.expect(b"d" * 16, Awaited({"L0": REPORT}), lambda _: None)
    assert not outcomes.are_in(value)
    outcomes.expect(ID, Awaited({"L0": REPORT}), lambda _: None)
    assert outcomes.are_in(value)


def test_no_id_hides_in_what_stands_before_it():
    """An id may begin like a length, after one that ends so."""
    outcomes = Outcomes(no_originals)
    odd = b"\x20\n" * 8
    outcomes.expect(odd, Awaited({"L0": REPORT}), lambda _: None)
    first = OrderRested(b"\x20" * 16, 2, 2, 2, Side.BUY, 9, 1)
    second = OrderRested(odd, 2, 2, 2, Side.BUY, 9, 1)
    assert outcomes.are_in(outside_record("gw", 1, [encode_message(first), encode_message(second)]))


async def test_a_request_is_not_over_while_some_of_its_commands_have_an_outcome():
    """A batch sent again while the first is under way: its first order is answered already."""
    outcomes = Outcomes(no_originals)
    awaited = Awaited({"L0": ACCEPTANCE}, starts=STARTS)
    commands = [CancelAllOrders(each * 16, 9, 2, 2) for each in (b"c", b"d")]
    first = _Request(outcomes, len(commands))
    again = _Request(outcomes, len(commands))
    for command in commands:
        first.expect(command, awaited)
    outcomes.apply("L0", 7, record(7, ACCEPTED))
    for command in commands:
        again.expect(command, awaited)
    waiting = asyncio.create_task(again.results(5.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    outcomes.apply("L0", 8, record(8, replace(ACCEPTED, command_id=b"d" * 16)))
    results = await waiting
    assert [isinstance(result, Answer) and result.repeated for result in results] == [True, True]
