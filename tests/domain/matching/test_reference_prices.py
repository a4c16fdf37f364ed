import pytest

from domain.decider import Message
from domain.markets import ChangeMarketRules, MarketRulesChanged, ReferencePriceChanged
from domain.protocol import Tick
from tests.domain.matching.shard import (
    BUY,
    DEADLINE_US,
    IOC,
    SELL,
    MemoryShard,
    accepted,
    list_market,
    market_rules,
)

START_US = 5_000_000
SECOND_US = 1_000_000


@pytest.fixture
def shard() -> MemoryShard:
    """Two markets with asks at 101, 102, 103; their reference price is 100."""
    shard = MemoryShard()
    shard.open_market()
    shard.tell("operator", list_market("ETHUSDT"))
    for market_id in (1, 2):
        for number, price in enumerate((101, 102, 103)):
            order_id = 100 * market_id + number
            shard.tell("L0", accepted(order_id, SELL, lots=9, at=price, market_id=market_id))
    return shard


def told(events: list[Message]) -> list[tuple[int, int]]:
    return [(e.market_id, e.price_ticks) for e in events if isinstance(e, ReferencePriceChanged)]


def buy(shard: MemoryShard, order_id: int, lots: int, time_us: int, market_id: int = 1):
    order = accepted(order_id, BUY, lots=lots, at=103, time_in_force=IOC, market_id=market_id)
    return told(shard.tell("L0", order, time_us))


def tick(shard: MemoryShard, time_us: int) -> list[tuple[int, int]]:
    return told(shard.tell("clock", Tick(), time_us))


def test_the_first_trade_is_told_at_once_with_its_last_price(shard):
    assert buy(shard, 1, 10, START_US) == [(1, 102)]


def test_the_same_price_is_not_told_again(shard):
    assert buy(shard, 1, 1, START_US) == [(1, 101)]
    assert buy(shard, 2, 1, START_US + 2 * SECOND_US) == []


def test_a_change_within_the_second_is_held_back_until_the_first_input_that_is_due(shard):
    assert buy(shard, 1, 9, START_US) == [(1, 101)]
    assert buy(shard, 2, 9, START_US + 1) == []
    assert buy(shard, 3, 1, START_US + 2) == []
    assert tick(shard, START_US + SECOND_US - 1) == []
    shard.reload()
    assert tick(shard, START_US + SECOND_US) == [(1, 103)]
    assert tick(shard, START_US + 3 * SECOND_US) == []


def test_an_input_of_another_market_sends_it_too_and_markets_stand_in_order_of_id(shard):
    for market_id in (2, 1):
        assert buy(shard, market_id, 9, START_US, market_id) == [(market_id, 101)]
        assert buy(shard, 10 + market_id, 1, START_US, market_id) == []
    late = START_US + SECOND_US
    assert buy(shard, 20, 9, late, 2) == [(1, 102), (2, 103)]


def test_a_price_that_came_back_is_not_told(shard):
    shard.tell("L0", accepted(1, BUY, lots=1, at=100))
    assert buy(shard, 3, 1, START_US) == [(1, 101)]
    shard.tell("L0", accepted(4, SELL, lots=1, at=100), START_US)
    assert shard.state.next_due_us == START_US + SECOND_US
    assert buy(shard, 5, 1, START_US) == []
    assert tick(shard, START_US + 2 * SECOND_US) == []


def test_new_rules_tell_the_price_themselves(shard):
    buy(shard, 1, 9, START_US)
    buy(shard, 2, 1, START_US)
    command = ChangeMarketRules(b"o" * 16, DEADLINE_US, 1, market_rules(max_lots=9), 0)
    events = shard.tell("operator", command, START_US + SECOND_US)
    assert events == [MarketRulesChanged(b"o" * 16, 1, 1, market_rules(max_lots=9), 102)]
    assert tick(shard, START_US + 2 * SECOND_US) == []
