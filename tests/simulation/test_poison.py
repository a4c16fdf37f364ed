"""A planted bug in matching: one order faults, its hold comes back, and the others go on."""

import random
from dataclasses import replace

from domain.decider import Message
from domain.matching.messages import OrderRested
from domain.orders.messages import (
    CloseReason,
    OrderAccepted,
    OrderClosed,
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.protocol import CommandFaulted
from schemas.topics import outbox
from tests.simulation.checks import check_all
from tests.simulation.corruption import Faulting
from tests.simulation.faults import Faults
from tests.simulation.fold import first_records
from tests.simulation.load import DEADLINE_US, Traffic, genesis, users_of
from tests.simulation.world import MATCHERS, World

POISONOUS_LOTS = 13
GOOD = PlaceOrder(
    command_id=b"g" * 16,
    deadline_us=DEADLINE_US,
    user_id=users_of(0)[0],
    market_id=MATCHERS,
    market_revision=0,
    client_order_id="again",
    side=Side.BUY,
    order_type=OrderType.LIMIT,
    time_in_force=TimeInForce.GTC,
    price_ticks=100,
    lots=5,
    quote_amount=0,
    stop_price_ticks=0,
    iceberg_lots=0,
    self_trade_prevention=SelfTradePrevention.NONE,
)
BAD = replace(GOOD, command_id=b"b" * 16, lots=POISONOUS_LOTS)


def is_poisonous(command: Message) -> bool:
    return isinstance(command, OrderAccepted) and command.lots == POISONOUS_LOTS


def test_an_order_that_faults_is_closed_and_the_next_is_served():
    faults = Faults(random.Random(1), crashes_left=0, duplicate_rate=0.0)
    world = World(faults)
    world.deciders["M0"] = Faulting(world.deciders["M0"], is_poisonous)
    genesis(world)
    for phase in Traffic(random.Random(1)).setup():
        for envelope in phase:
            world.send(*envelope)
        world.drain()
    # The second takes the same client id: it is free only if the first order was closed.
    world.send("L0", "gw", [BAD])
    world.drain()
    world.send("L0", "gw", [GOOD])
    world.drain()
    faulted = [event for event in _events(world, "M0") if isinstance(event, CommandFaulted)]
    assert [(event.command_id, event.error) for event in faulted] == [
        (BAD.command_id, "ZeroDivisionError")
    ]
    told = {
        event.command_id: event
        for event in _events(world, "L0")
        if isinstance(event, OrderClosed | OrderRested)
    }
    closed = told[BAD.command_id]
    assert isinstance(closed, OrderClosed) and closed.reason is CloseReason.FAULTED
    assert closed.released_amount == 100 * POISONOUS_LOTS * 10
    assert isinstance(told[GOOD.command_id], OrderRested)
    assert not world.halted
    fold, violations = check_all(world)
    assert violations == [] and len(fold.open_orders) == 1


def _events(world: World, shard: str) -> list[Message]:
    return [m for _, record in first_records(world.log, outbox(shard)) for m in record.messages]
