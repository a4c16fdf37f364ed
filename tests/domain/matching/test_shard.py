import pytest

from domain.accounts.messages import AssetListed
from domain.decider import Message, UnrefusableFault
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS
from domain.markets import (
    HaltMarket,
    MarketCommandRejected,
    MarketHalted,
    MarketListed,
    MarketReason,
    ReferencePriceChanged,
    ResumeMarket,
)
from domain.matching.decider import MatchingDecider
from domain.matching.messages import (
    BookChanged,
    CancelAllCompleted,
    CancelRefused,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.orders.messages import (
    CancelAllOrders,
    CancelAllRequested,
    CancelRequested,
    CloseReason,
    OrderAccepted,
)
from domain.protocol import Genesis, HaltAction, ResolveHalt, RulesActivated, Tick
from domain.reference import symbol_partition
from tests.domain.matching.shard import (
    BUY,
    DEADLINE_US,
    SELL,
    MemoryShard,
    accepted,
    list_market,
    market_rules,
)

ID = b"i" * 16
GENESIS = Genesis("test", "M", 0, 2, 2, 1, DEFAULT_LIMITS, [FeeTier(0, 1, 1)])
HOME_SYMBOL = next(f"S{n}" for n in range(99) if symbol_partition(f"S{n}", 2) == 0)
FOREIGN_SYMBOL = next(f"S{n}" for n in range(99) if symbol_partition(f"S{n}", 2) == 1)


@pytest.fixture
def shard() -> MemoryShard:
    """Shard 0 of 2 with one market, whose id is 2."""
    shard = MemoryShard(matching_partitions=2)
    shard.open_market(HOME_SYMBOL)
    return shard


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("L0", accepted(1, BUY, lots=1, at=1, market_id=2)),
        ("L1", CancelRequested(ID, 1, 1, 2)),
        ("L0", CancelAllRequested(ID, 1, 2, [])),
        ("clock", Tick()),
        ("A0", AssetListed(ID, 3, "ETH", "Ether", 8)),
        ("operator", list_market(HOME_SYMBOL)),
        ("operator", HaltMarket(ID, DEADLINE_US, 2)),
        ("operator", ResolveHalt(ID, DEADLINE_US, ID, HaltAction.SKIP)),
        ("operator", RulesActivated(1)),
    ],
)
def test_messages_are_taken_from_their_source_alone(shard, source, message):
    assert shard.decider.refuse(shard.state, source, message) == ""
    for other in {"gw", "operator", "clock", "A0", "L0", "M0"} - {source, source + "0"}:
        if other[0] != source[0]:
            assert "is wanted from" in shard.decider.refuse(shard.state, other, message)
    assert "Genesis is wanted first" in shard.decider.refuse(
        shard.decider.initial(), source, message
    )


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("L0", accepted(1, BUY, lots=1, at=1, market_id=3)),
        ("L0", CancelRequested(ID, 1, 1, 1)),
        ("L0", CancelAllRequested(ID, 1, 5, [])),
        ("operator", HaltMarket(ID, DEADLINE_US, 7)),
        ("operator", list_market(FOREIGN_SYMBOL)),
    ],
)
def test_messages_of_another_partitions_market_are_refused(shard, source, message):
    assert "partition 1, not 0" in shard.decider.refuse(shard.state, source, message)


def test_an_auditor_may_halt_a_market_and_nothing_else(shard):
    assert shard.decider.refuse(shard.state, "auditor", HaltMarket(ID, DEADLINE_US, 2)) == ""
    for message in (ResumeMarket(ID, DEADLINE_US, 2), list_market(HOME_SYMBOL), Tick()):
        assert "is wanted from" in shard.decider.refuse(shard.state, "auditor", message)


def test_a_message_that_is_none_of_matchings_is_refused(shard):
    message = CancelAllOrders(ID, DEADLINE_US, 1, 2)
    assert "no message for matching" in shard.decider.refuse(shard.state, "gw", message)


@pytest.mark.parametrize(
    ("genesis", "words"),
    [
        (Genesis("t", "L", 0, 2, 2, 1, DEFAULT_LIMITS, []), "family M"),
        (Genesis("t", "M", 2, 2, 2, 1, DEFAULT_LIMITS, []), "cannot be"),
        (Genesis("t", "M", 0, 0, 2, 1, DEFAULT_LIMITS, []), "cannot be"),
    ],
)
def test_a_genesis_of_another_shard_is_refused(genesis, words):
    decider = MatchingDecider()
    assert words in decider.refuse(decider.initial(), "operator", genesis)


def test_a_second_genesis_is_refused(shard):
    assert "another" in shard.decider.refuse(shard.state, "operator", GENESIS)


def test_genesis_assets_and_rules_versions_are_told_again(shard):
    assert MemoryShard().decider.decide(shard.decider.initial(), GENESIS) == [GENESIS]
    asset = AssetListed(ID, 3, "ETH", "Ether", 8)
    assert shard.tell("A0", asset) == [asset]
    assert shard.tell("operator", RulesActivated(1)) == [RulesActivated(1)]
    assert list(shard.state.assets) == [1, 2, 3]


TERMINATED = OrderTerminated(ID, 7, 2, CloseReason.CANCELED, 1)
CASES: list[tuple[Message, tuple[str, ...]]] = [
    (TradeExecuted(2, 1, 100, 1, BUY, 4, 7, 0), ("L0", "L1")),
    (TradeExecuted(2, 1, 100, 1, BUY, 4, 6, 0), ("L0",)),
    (OrderRested(ID, 7, 5, 2, BUY, 100, 1), ("L1",)),
    (TERMINATED, ("L1",)),
    (CancelRefused(ID, 6, 5, 2), ("L1",)),
    (CancelAllCompleted(ID, 4, 2, [4]), ("L0",)),
    (BookChanged(2, 1, BUY, 100, 1), ()),
    (MarketListed(ID, 2, "BTCUSDT", 1, market_rules(), 100), ("L0", "L1", "A0")),
    (MarketHalted(ID, 2), ("L0", "L1", "A0")),
    (ReferencePriceChanged(2, 100), ("L0", "L1")),
    (MarketCommandRejected(ID, MarketReason.UNKNOWN_MARKET), ()),
    (AssetListed(ID, 3, "ETH", "Ether", 8), ()),
    (GENESIS, ()),
]


@pytest.mark.parametrize(("event", "shards"), CASES)
def test_an_event_goes_to_those_it_concerns(shard, event, shards):
    assert tuple(shard.decider.destinations(shard.state, event)) == shards


def test_a_faulted_order_or_cancel_is_answered_and_changes_nothing(shard):
    order = accepted(7, BUY, lots=3, at=100, market_id=2)
    before = shard.decider.dump(shard.state)
    closing = shard.decider.fault(shard.state, order)
    assert closing == (OrderTerminated(order.command_id, 7, 2, CloseReason.FAULTED, 3),)
    answer = shard.decider.fault(shard.state, CancelRequested(ID, 6, 5, 2))
    assert answer == (CancelRefused(ID, 6, 5, 2),)
    answers = shard.decider.fault(shard.state, CancelAllRequested(ID, 4, 2, [4]))
    assert answers == (CancelAllCompleted(ID, 4, 2, []),)
    shard.happen([*closing, *answer, *answers])
    assert shard.decider.dump(shard.state) == before


def test_a_faulted_command_leaves_nothing_open(shard):
    for message in (list_market("X"), HaltMarket(ID, DEADLINE_US, 2), Tick()):
        assert shard.decider.fault(shard.state, message) == ()


@pytest.mark.parametrize("fact", [AssetListed(ID, 3, "E", "E", 8), GENESIS, RulesActivated(1)])
def test_a_fact_must_not_fault(shard, fact):
    with pytest.raises(UnrefusableFault, match="could not be applied"):
        shard.decider.fault(shard.state, fact)


def with_book() -> MemoryShard:
    """Market 1 with bids 4 (3 lots at 98) and 5 (2 lots at 98), and ask 6 (5 lots at 102)."""
    shard = MemoryShard()
    shard.open_market()
    for order in (
        accepted(4, BUY, lots=3, at=98),
        accepted(5, BUY, lots=2, at=98),
        accepted(6, SELL, lots=5, at=102),
    ):
        shard.tell("L0", order)
    return shard


@pytest.mark.parametrize(
    ("events", "words"),
    [
        ([OrderRested(ID, 9, 9, 1, BUY, 102, 1)], "E1: order 9 crosses"),
        ([TradeExecuted(1, 1, 98, 1, SELL, 5, 9, 1)], "E2: order 4 was first"),
        ([TradeExecuted(1, 1, 97, 1, SELL, 4, 9, 2)], "E4: order 4 stands at 98"),
        ([TradeExecuted(1, 1, 98, 4, SELL, 4, 9, 0)], "E3: order 4 has 3 lots, traded 4"),
        ([TradeExecuted(1, 1, 98, 0, SELL, 4, 9, 3)], "E3: order 4 has 3 lots, traded 0"),
        ([TradeExecuted(1, 1, 98, 1, SELL, 4, 9, 1)], "E3: order 4 has 2 lots left"),
        ([TradeExecuted(1, 2, 98, 1, SELL, 4, 9, 2)], "trade 1 of market 1 was next, was 2"),
        ([BookChanged(1, 5, BUY, 98, 5)], "book change 4 of market 1 was next, was 5"),
        ([OrderRested(ID, 4, 8, 1, BUY, 97, 1)], "E6: order 4 is on the book already"),
        ([OrderRested(ID, 9, 9, 1, BUY, 97, 0)], "E3: order 9 must rest with lots"),
        ([OrderTerminated(ID, 4, 1, CloseReason.CANCELED, 2)], "E3: order 4 had 3 lots, not 2"),
        ([OrderTerminated(ID, 4, 1, CloseReason.FILLED, 0)], "E3: order 4 ended FILLED"),
        (
            [
                BookChanged(1, 4, BUY, 97, 2),
                OrderRested(ID, 9, 9, 1, BUY, 97, 1),
            ],
            "book change 4 of market 1 said 2 lots at 97, there are 1",
        ),
        (
            [BookChanged(1, 4, BUY, 97, 2), BookChanged(1, 5, BUY, 98, 4)],
            "awaits two changes",
        ),
        ([ReferencePriceChanged(1, 98)], "traded at 100, told 98"),
        ([CancelAllRequested(ID, 4, 1, [])], "matching has no event CancelAllRequested"),
    ],
)
def test_events_that_break_an_invariant_stop_the_shard(events, words):
    with pytest.raises(AssertionError, match=words):
        with_book().happen(events)


def test_a_broken_book_is_never_dumped():
    shard = with_book()
    shard.state.markets[1].book.orders[4].lots += 1
    with pytest.raises(AssertionError, match="E3: orders at 98"):
        shard.decider.dump(shard.state)


def test_an_order_id_comes_once():
    again: OrderAccepted = accepted(4, BUY, lots=1, at=90)
    with pytest.raises(AssertionError, match="E6: order 4"):
        with_book().tell("L0", again)


def test_nothing_is_left_of_orders_and_levels_that_are_gone():
    shard = with_book()
    for order_id in (4, 5, 6):
        user_id = shard.state.markets[1].book.orders[order_id].user_id
        shard.tell("L0", CancelRequested(ID, order_id, user_id, 1))
    book = shard.state.markets[1].book
    assert not book.orders
    for side in (book.bids, book.asks):
        assert (side.ranks, side.levels, side.best()) == ([], {}, None)
        assert side.lots_at(98) == 0
