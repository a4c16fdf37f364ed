import pytest

from domain.decider import Message
from domain.markets import (
    ChangeMarketRules,
    HaltMarket,
    MarketCommandRejected,
    MarketHalted,
    MarketListed,
    MarketReason,
    MarketResumed,
    MarketRulesChanged,
    ResumeMarket,
)
from domain.matching.messages import OrderRested, OrderTerminated
from domain.orders.messages import CloseReason
from domain.protocol import HaltAction, HaltResolved, ResolveHalt
from domain.reference import symbol_partition
from tests.domain.matching.scenario import cancel
from tests.domain.matching.shard import (
    BUY,
    DEADLINE_US,
    MemoryShard,
    accepted,
    list_market,
    market_rules,
)

ID = b"o" * 16
Reason = MarketReason


@pytest.fixture
def shard() -> MemoryShard:
    """A shard with the assets 1 and 2 and market 1, BTCUSDT."""
    shard = MemoryShard()
    shard.open_market()
    return shard


def change(market_id: int = 1, reference_price_ticks: int = 0, **rules: int) -> ChangeMarketRules:
    return ChangeMarketRules(
        ID, DEADLINE_US, market_id, market_rules(**rules), reference_price_ticks
    )


def reason_of(events: list[Message]) -> MarketReason:
    (event,) = events
    assert isinstance(event, MarketCommandRejected)
    return event.reason


def test_a_listed_market_has_the_next_id_and_the_first_revision(shard):
    events = shard.tell("operator", list_market("ETHUSDT", reference_price_ticks=7))
    assert events == [MarketListed(b"l" * 16, 2, "ETHUSDT", 1, market_rules(), 7)]


def test_market_ids_name_their_shard():
    shard = MemoryShard(matching_partitions=3, partition=2)
    symbols = [f"S{n}" for n in range(30) if symbol_partition(f"S{n}", 3) == 2]
    shard.open_market(symbols[0])
    shard.tell("operator", list_market(symbols[1]))
    assert [market.market_id for market in shard.state.markets.values()] == [5, 8]


@pytest.mark.parametrize(
    ("symbol", "rules", "reference", "reason"),
    [
        ("BTCUSDT", {"base_asset": 9}, 100, Reason.UNKNOWN_ASSET),
        ("ETHUSDT", {"quote_asset": 9}, 100, Reason.UNKNOWN_ASSET),
        ("BTCUSDT", {"lot": 0}, 100, Reason.SYMBOL_TAKEN),
        ("btcusdt", {"lot": 0}, 100, Reason.INVALID_SYMBOL),
        ("B" * 21, {}, 100, Reason.INVALID_SYMBOL),
        ("٣٤", {}, 100, Reason.INVALID_SYMBOL),
        ("ETHUSDT", {"lot": 0}, 0, Reason.INVALID_RULES),
        ("ETHUSDT", {}, 0, Reason.INVALID_REFERENCE_PRICE),
        ("ETHUSDT", {"min_price_ticks": 50}, 49, Reason.INVALID_REFERENCE_PRICE),
        ("ETHUSDT", {"max_price_ticks": 50}, 51, Reason.INVALID_REFERENCE_PRICE),
    ],
)
def test_a_listing_is_refused_for_the_first_reason_that_applies(
    shard, symbol, rules, reference, reason
):
    command = list_market(symbol, market_rules(**rules), reference)
    assert reason_of(shard.tell("operator", command)) is reason
    assert len(shard.state.markets) == 1


@pytest.mark.parametrize(
    "rules",
    [
        {"base_asset": 2},
        {"lot": 0},
        {"lot": -1},
        {"lot": (1 << 62) + 1},
        {"tick": 0},
        {"tick": (1 << 62) + 1},
        {"min_price_ticks": 0},
        {"min_price_ticks": 11, "max_price_ticks": 10},
        {"max_price_ticks": (1 << 62) + 1},
        {"min_lots": 0},
        {"min_lots": 11, "max_lots": 10},
        {"market_min_lots": 0},
        {"market_min_lots": 11, "market_max_lots": 10},
        {"min_notional": -1},
        {"min_notional": 11, "max_notional": 10},
        {"min_notional": 0, "max_notional": 0},
        {"bid_down_ppm": 0},
        {"bid_down_ppm": 1_000_001},
        {"bid_up_ppm": 999_999},
        {"ask_down_ppm": 0},
        {"ask_up_ppm": 999_999},
        {"ask_up_ppm": 1_000_000_001},
        {"collar_ppm": 0},
        {"collar_ppm": 1_000_001},
        {"max_open_orders": 0},
    ],
)
def test_rules_that_no_order_could_keep_to_are_refused(shard, rules):
    command = list_market("ETHUSDT", market_rules(**rules))
    assert reason_of(shard.tell("operator", command)) is Reason.INVALID_RULES
    assert reason_of(shard.tell("operator", change(**rules))) is Reason.INVALID_RULES


def test_other_rules_leave_revision_reference_price_and_resting_orders(shard):
    shard.tell("L0", accepted(4, BUY, lots=5, at=90))
    events = shard.tell("operator", change(min_price_ticks=95, max_lots=2))
    rules = market_rules(min_price_ticks=95, max_lots=2)
    assert events == [MarketRulesChanged(ID, 1, 1, rules, 100)]
    assert shard.state.markets[1].rules == rules
    assert list(shard.state.markets[1].book.orders) == [4]


def test_a_new_lot_or_tick_needs_a_halted_and_empty_market_and_makes_a_revision(shard):
    shard.tell("L0", accepted(4, BUY, lots=5, at=90))
    command = change(reference_price_ticks=200, tick=6)
    assert reason_of(shard.tell("operator", command)) is Reason.MARKET_NOT_HALTED
    shard.tell("operator", HaltMarket(ID, DEADLINE_US, 1))
    assert reason_of(shard.tell("operator", command)) is Reason.MARKET_NOT_EMPTY
    shard.tell("L0", cancel(4))
    rules = market_rules(tick=6)
    assert shard.tell("operator", command) == [MarketRulesChanged(ID, 1, 2, rules, 200)]
    shard.tell("operator", ResumeMarket(ID, DEADLINE_US, 1))
    (stale,) = shard.tell("L0", accepted(6, BUY, lots=1, at=90))
    assert isinstance(stale, OrderTerminated)
    assert stale.reason is CloseReason.STALE_RULES
    report = shard.tell("L0", accepted(8, BUY, lots=1, at=90, revision=2))[-1]
    assert isinstance(report, OrderRested)


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (change(market_id=2), Reason.UNKNOWN_MARKET),
        (change(base_asset=9, lot=0), Reason.UNKNOWN_ASSET),
        (change(base_asset=2, quote_asset=1), Reason.INVALID_RULES),
        (change(reference_price_ticks=2_000_000), Reason.INVALID_REFERENCE_PRICE),
        (change(reference_price_ticks=-1), Reason.INVALID_REFERENCE_PRICE),
        (change(max_price_ticks=99), Reason.INVALID_REFERENCE_PRICE),
        (change(lot=20), Reason.INVALID_REFERENCE_PRICE),
        (HaltMarket(ID, DEADLINE_US, 2), Reason.UNKNOWN_MARKET),
        (ResumeMarket(ID, DEADLINE_US, 2), Reason.UNKNOWN_MARKET),
        (ResumeMarket(ID, DEADLINE_US, 1), Reason.NOT_HALTED),
    ],
)
def test_a_command_for_a_market_is_refused_for_the_first_reason_that_applies(
    shard, command, reason
):
    before = shard.decider.dump(shard.state)
    assert reason_of(shard.tell("operator", command)) is reason
    assert shard.decider.dump(shard.state) == before


def test_a_halted_market_cancels_only(shard):
    shard.tell("L0", accepted(4, BUY, lots=5, at=90))
    halt = HaltMarket(ID, DEADLINE_US, 1)
    assert shard.tell("operator", halt) == [MarketHalted(ID, 1)]
    assert reason_of(shard.tell("operator", halt)) is Reason.ALREADY_HALTED
    (ended,) = shard.tell("L0", accepted(6, BUY, lots=5, at=90))
    assert isinstance(ended, OrderTerminated)
    assert (ended.reason, ended.remaining_lots) == (CloseReason.MARKET_HALTED, 5)
    assert isinstance(shard.tell("L0", cancel(4))[-1], OrderTerminated)
    assert shard.tell("operator", ResumeMarket(ID, DEADLINE_US, 1)) == [MarketResumed(ID, 1)]
    assert isinstance(shard.tell("L0", accepted(8, BUY, lots=5, at=90))[-1], OrderRested)


def test_cancel_only_halts_the_markets_that_are_not_halted_yet(shard):
    for symbol in ("ETHUSDT", "ETHBTC"):
        shard.tell("operator", list_market(symbol))
    shard.tell("operator", HaltMarket(ID, DEADLINE_US, 2))
    record = b"r" * 16
    events = shard.tell("operator", ResolveHalt(ID, DEADLINE_US, record, HaltAction.CANCEL_ONLY))
    assert events == [
        MarketHalted(ID, 1),
        MarketHalted(ID, 3),
        HaltResolved(ID, record, HaltAction.CANCEL_ONLY),
    ]
    assert all(market.halted for market in shard.state.markets.values())


def test_skip_halts_nothing(shard):
    record = b"r" * 16
    events = shard.tell("operator", ResolveHalt(ID, DEADLINE_US, record, HaltAction.SKIP))
    assert events == [HaltResolved(ID, record, HaltAction.SKIP)]
    assert not shard.state.markets[1].halted
