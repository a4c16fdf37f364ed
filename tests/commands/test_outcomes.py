"""What answers a command: the whole outcome, also for who asks again in the middle of it."""

import asyncio

from commands.gateway import REPORT, STARTS
from commands.outcomes import Awaited, Outcomes
from domain.matching.messages import OrderRested
from domain.orders.messages import (
    OrderAccepted,
    OrderType,
    Side,
    TimeInForce,
)
from domain.protocol import CommandRepeated
from schemas.record import Record

ID = b"c" * 16
ACCEPTED = OrderAccepted(
    ID, 2, 2, 2, 1, "a", Side.BUY, OrderType.LIMIT, TimeInForce.GTC, 9, 1, 0, 1, 9, 1, 1
)
RESTED = OrderRested(ID, 2, 2, 2, Side.BUY, 9, 1)


def record(cause, *messages):
    return Record(bytes(16), 0, "L0", cause, cause, 1, bytes(16), list(messages))


async def no_originals(_shard, _cause, _before):
    nothing: list[Record] = []
    for found in nothing:
        yield found


async def test_a_report_without_its_beginning_is_not_taken_for_an_answer():
    """A request sent again after 503: the acceptance passed while nobody waited for it."""

    async def originals(_shard, cause, _before):
        assert cause == 7
        yield record(7, ACCEPTED)
        yield record(8, RESTED)

    outcomes = Outcomes(originals)
    pending, _ = outcomes.expect(ID, Awaited({"L0": REPORT}, starts=STARTS))
    outcomes.apply("L0", 8, record(8, RESTED))
    assert not pending.future.done()
    outcomes.apply("L0", 9, record(9, CommandRepeated(ID, 7)))
    answer = await asyncio.wait_for(pending.future, 5)
    assert [seen.message for seen in answer.seen] == [ACCEPTED, RESTED]
    assert answer.repeated


async def test_an_outcome_from_its_beginning_is_the_answer():
    outcomes = Outcomes(no_originals)
    pending, _ = outcomes.expect(ID, Awaited({"L0": REPORT}, starts=STARTS))
    outcomes.apply("L0", 7, record(7, ACCEPTED))
    outcomes.apply("L0", 8, record(8, RESTED))
    answer = await asyncio.wait_for(pending.future, 5)
    assert [seen.message for seen in answer.seen] == [ACCEPTED, RESTED]
