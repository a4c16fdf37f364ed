"""Cancels, what other shards tell, who may send what, halts and faults of a ledger shard."""

from dataclasses import replace

import pytest

from domain.accounts.messages import (
    AssetListed,
    FeesChanged,
    FeeTierChanged,
    LimitsChanged,
    RegisterUser,
    UserDisabled,
    UserEnabled,
    UserRegistered,
    WithdrawalsHalted,
)
from domain.decider import Message, UnrefusableFault
from domain.ledger.balances import Holding
from domain.ledger.messages import (
    AccountOpened,
    CreditDeposit,
    DebitWithdrawal,
    DepositCredited,
    FundingReason,
    FundingRejected,
    FundingRepeated,
)
from domain.markets import (
    MarketHalted,
    MarketResumed,
    MarketRulesChanged,
    ReferencePriceChanged,
)
from domain.matching.messages import (
    CancelAllCompleted,
    CancelRefused,
    OrderTerminated,
    TradeExecuted,
)
from domain.orders.messages import (
    CancelAllOrders,
    CancelAllRequested,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    CloseReason,
    OrderAccepted,
    OrderReason,
    OrderRejected,
    Side,
)
from domain.protocol import (
    CommandExpired,
    CommandFaulted,
    CommandRepeated,
    Genesis,
    HaltAction,
    HaltResolved,
    ResolveHalt,
    RulesActivated,
    Tick,
)
from tests.domain.orders.tables import (
    ANN,
    BOB,
    BTC,
    BTCUSDT,
    ETHUSDT,
    FEES,
    FUNDED,
    LEDGER,
    LIMITS,
    NOON_US,
    OPENED,
    RULES,
    USDT,
    genesis,
    given,
    listed,
    place,
    when,
)

BUY, SELL = Side.BUY, Side.SELL
ORDER = place(ANN, BUY, 10, 100, client_order_id="a1")
SAY = b"cancel-command-1"


def cancel(user_id: int, market_id: int, order_id: int, client_order_id: str) -> CancelOrder:
    return CancelOrder(SAY, 0, user_id, market_id, order_id, client_order_id)


# fmt: off
CANCELS = [
    #        user  market   order  client id  finds the order
    (cancel(ANN, BTCUSDT,     2, ""),       True),
    (cancel(ANN, BTCUSDT,     0, "a1"),     True),
    (cancel(ANN, BTCUSDT,     2, "other"),  True),
    (cancel(ANN, BTCUSDT,     4, "a1"),     False),
    (cancel(ANN, BTCUSDT,     0, ""),       False),
    (cancel(ANN, BTCUSDT,     0, "a2"),     False),
    (cancel(ANN, ETHUSDT,     2, ""),       False),
    (cancel(BOB, BTCUSDT,     2, ""),       False),
    (cancel(BOB, BTCUSDT,     0, "a1"),     False),
    (cancel(6,   BTCUSDT,     0, "a1"),     False),
    (cancel(ANN, BTCUSDT,    -2, ""),       False),
]
# fmt: on


@pytest.mark.parametrize(("command", "found"), CANCELS)
def test_a_cancel_finds_only_the_users_own_open_order(command: CancelOrder, found: bool) -> None:
    state = given(*FUNDED)
    when(state, ORDER)
    (event,) = when(state, command)
    if found:
        assert event == CancelRequested(SAY, 2, ANN, BTCUSDT)
        assert LEDGER.destinations(state, event) == ("M1",)
    else:
        assert event == CancelRejected(
            SAY,
            command.user_id,
            command.market_id,
            command.order_id,
            command.client_order_id,
            OrderReason.UNKNOWN_ORDER,
        )
        assert LEDGER.destinations(state, event) == ()


def test_a_disabled_account_and_a_halted_market_still_cancel() -> None:
    state = given(*FUNDED)
    when(state, ORDER, UserDisabled(b"", "user-2", 2, 0, ANN), MarketHalted(b"", BTCUSDT))
    one, every = when(state, cancel(ANN, BTCUSDT, 2, ""), CancelAllOrders(SAY, 0, ANN, BTCUSDT))
    assert isinstance(one, CancelRequested)
    assert every == CancelAllRequested(SAY, ANN, BTCUSDT, [2])


def test_a_closed_order_is_unknown_and_its_client_id_is_free_again() -> None:
    state = given(*FUNDED)
    gone = OrderTerminated(b"", 2, BTCUSDT, CloseReason.CANCELED, 10)
    events = when(state, ORDER, gone, cancel(ANN, BTCUSDT, 0, "a1"), ORDER)
    assert isinstance(events[2], CancelRejected)
    assert isinstance(events[3], OrderAccepted)


def test_cancel_all_names_what_is_open_in_the_market_oldest_first() -> None:
    state = given(*FUNDED)
    plain = replace(ORDER, client_order_id="")
    when(state, plain, replace(plain, market_id=ETHUSDT), place(BOB, SELL, 10, 100), plain)
    (event,) = when(state, CancelAllOrders(SAY, 0, ANN, BTCUSDT))
    assert event == CancelAllRequested(SAY, ANN, BTCUSDT, [2, 8])
    assert LEDGER.destinations(state, event) == ("M1",)
    assert LEDGER.destinations(state, replace(event, market_id=ETHUSDT)) == ("M0",)


@pytest.mark.parametrize("user_id", [ANN, 6])
def test_cancel_all_with_nothing_open_is_refused(user_id: int) -> None:
    state = given(*FUNDED)
    (event,) = when(state, CancelAllOrders(SAY, 0, user_id, BTCUSDT))
    assert event == CancelRejected(SAY, user_id, BTCUSDT, 0, "", OrderReason.UNKNOWN_ORDER)


def test_the_answers_of_the_book_are_passed_on() -> None:
    state = given(*FUNDED)
    when(state, ORDER)
    done = CancelAllCompleted(SAY, ANN, BTCUSDT, [2])
    refused, completed = when(state, CancelRefused(SAY, 2, ANN, BTCUSDT), done)
    assert refused == CancelRejected(SAY, ANN, BTCUSDT, 2, "", OrderReason.UNKNOWN_ORDER)
    assert completed == done


def test_a_registered_user_gets_an_account_under_the_same_command() -> None:
    state = given(*OPENED)
    (event,) = when(state, UserRegistered(SAY, "user-6", 1, 0, 6, b"d" * 32, 1))
    assert event == AccountOpened(SAY, 6, 1)
    assert isinstance(when(state, CreditDeposit(SAY, 0, 6, BTC, 5, "r"))[0], DepositCredited)


@pytest.mark.parametrize(("user_id", "says"), [(3, "does not live in"), (ANN, "has an account")])
def test_an_account_is_opened_once_and_in_its_own_partition(user_id: int, says: str) -> None:
    state = given(*OPENED)
    with pytest.raises(AssertionError, match=f"E6: user {user_id} {says}"):
        when(state, UserRegistered(SAY, "", 1, 0, user_id, b"d" * 32, 1))


def test_what_is_told_is_passed_on_and_kept() -> None:
    state = given(*OPENED)
    told: list[Message] = [
        UserDisabled(b"", "user-2", 2, 0, ANN),
        UserEnabled(b"", "user-2", 3, 0, ANN),
        FeeTierChanged(b"", "user-2", 4, 0, ANN, 1),
        AssetListed(b"", 4, "SOL", "Solana", 9),
        FeesChanged(b"", FEES[:1]),
        LimitsChanged(b"", replace(LIMITS, orders_per_day=3)),
        listed(3),
        MarketRulesChanged(b"", 3, 2, replace(RULES, tick=7), 55),
        ReferencePriceChanged(3, 56),
        MarketHalted(b"", 3),
        MarketHalted(b"", BTCUSDT),
        MarketResumed(b"", BTCUSDT),
        RulesActivated(2),
    ]
    assert when(state, *told) == told
    assert (state.accounts[ANN].enabled, state.accounts[ANN].fee_tier) == (True, 1)
    assert state.assets[4] == 9
    assert list(state.fee_tiers) == [0]
    assert state.limits.orders_per_day == 3
    market = state.markets[3]
    assert (market.revision, market.rules.tick, market.reference_price_ticks) == (2, 7, 56)
    assert (market.halted, state.markets[BTCUSDT].halted) == (True, False)
    assert state.rules_version == 2
    assert {LEDGER.destinations(state, event) for event in told} == {()}


def test_a_fee_schedule_without_tier_0_halts_the_shard() -> None:
    with pytest.raises(AssertionError, match="L8: a fee schedule must have tier 0"):
        when(given(*OPENED), FeesChanged(b"", FEES[1:]))


def test_time_alone_changes_nothing() -> None:
    state = given(*FUNDED)
    before = LEDGER.dump(state)
    assert when(state, Tick()) == []
    assert LEDGER.dump(state) == before


def test_cancel_only_halts_every_market_until_each_is_resumed() -> None:
    state = given(*FUNDED)
    resolve = ResolveHalt(SAY, 0, b"h" * 16, HaltAction.CANCEL_ONLY)
    assert when(state, resolve) == [
        MarketHalted(b"", BTCUSDT),
        MarketHalted(b"", ETHUSDT),
        HaltResolved(SAY, b"h" * 16, HaltAction.CANCEL_ONLY),
    ]
    when(state, MarketResumed(b"", ETHUSDT))
    assert not isinstance(when(state, ORDER)[0], OrderAccepted)
    assert isinstance(when(state, replace(ORDER, market_id=ETHUSDT))[0], OrderAccepted)


def test_skip_resolves_and_halts_nothing() -> None:
    state = given(*FUNDED)
    skip = ResolveHalt(SAY, 0, b"h" * 16, HaltAction.SKIP)
    assert when(state, skip) == [HaltResolved(SAY, b"h" * 16, HaltAction.SKIP)]
    assert isinstance(when(state, ORDER)[0], OrderAccepted)


FACT = TradeExecuted(BTCUSDT, 1, 100, 1, BUY, 2, 4, 0)
# fmt: off
SENDERS = [
    # message                                     source      refusal
    (ORDER,                                       "gw",       ""),
    (ORDER,                                       "operator", "PlaceOrder must come from gw"),
    (ORDER,                                       "M0",       "PlaceOrder must come from gw"),
    (ORDER,                                       "",         "PlaceOrder must come from gw"),
    (replace(ORDER, user_id=3),                   "gw",       "user 3 lives in partition 1"),
    (cancel(3, 1, 1, ""),                         "gw",       "user 3 lives in partition 1"),
    (CancelAllOrders(SAY, 0, 3, 1),               "gw",       "user 3 lives in partition 1"),
    (CancelAllOrders(SAY, 0, ANN, 1),             "clock",    "CancelAllOrders must come from gw"),
    (CreditDeposit(SAY, 0, ANN, BTC, 1, "r"),     "operator", ""),
    (CreditDeposit(SAY, 0, ANN, BTC, 1, "r"),     "gw",       "CreditDeposit must come from oper"),
    (CreditDeposit(SAY, 0, 3, BTC, 1, "r"),       "operator", "user 3 lives in partition 1"),
    (DebitWithdrawal(SAY, 0, 3, BTC, 1, "r"),     "operator", "user 3 lives in partition 1"),
    (FACT,                                        "M1",       ""),
    (FACT,                                        "M12",      ""),
    (FACT,                                        "M",        "TradeExecuted must come from M"),
    (FACT,                                        "A0",       "TradeExecuted must come from M"),
    (FACT,                                        "operator", "TradeExecuted must come from M"),
    (UserEnabled(b"", "", 1, 0, ANN),             "A0",       ""),
    (UserEnabled(b"", "", 1, 0, ANN),             "A",        "UserEnabled must come from A"),
    (WithdrawalsHalted(b"", 1, "why"),            "A0",       ""),
    (WithdrawalsHalted(b"", 1, "why"),            "auditor",  "WithdrawalsHalted must come from A"),
    (Tick(),                                      "clock",    ""),
    (Tick(),                                      "gw",       "Tick must come from clock"),
    (genesis(),                                   "operator", "Genesis must be record 0"),
    (RegisterUser(SAY, 0, b"d", 0),               "operator", "a ledger shard takes no RegisterU"),
    (FundingRepeated(SAY, ANN, "r", 1),           "L0",       "a ledger shard takes no FundingRe"),
]
# fmt: on


@pytest.mark.parametrize(("message", "source", "refusal"), SENDERS)
def test_messages_come_from_where_they_may(message: Message, source: str, refusal: str) -> None:
    said = LEDGER.refuse(given(*OPENED), source, message)
    assert said.startswith(refusal) if refusal else said == ""


# fmt: off
FIRSTS = [
    # first message                     refusal
    (genesis(),                         ""),
    (genesis(1),                        ""),
    (genesis(2),                        "Genesis names no shard: partition 2"),
    (replace(genesis(), family="M"),    "Genesis must be of family L, is of M"),
    (ORDER,                             "Genesis must come first, found PlaceOrder"),
]
# fmt: on


@pytest.mark.parametrize(("message", "refusal"), FIRSTS)
def test_genesis_comes_first_and_is_this_shards(message: Message, refusal: str) -> None:
    source = "operator" if isinstance(message, Genesis) else "gw"
    assert LEDGER.refuse(LEDGER.initial(), source, message) == refusal
    assert LEDGER.decide(LEDGER.initial(), genesis()) == (genesis(),)


def test_a_faulted_command_leaves_nothing_open_and_a_fact_may_not_fault() -> None:
    state = given(*FUNDED)
    assert LEDGER.fault(state, ORDER) == ()
    assert LEDGER.fault(state, Tick()) == ()
    for fact in (FACT, UserEnabled(b"", "", 1, 0, ANN), ReferencePriceChanged(1, 1)):
        with pytest.raises(UnrefusableFault, match=type(fact).__name__):
            LEDGER.fault(state, fact)


def test_what_only_answers_changes_nothing() -> None:
    state = given(*FUNDED)
    before = LEDGER.dump(state)
    for event in (
        OrderRejected(SAY, ANN, BTCUSDT, "", OrderReason.MARKET_HALTED),
        CancelRequested(SAY, 1, ANN, BTCUSDT),
        CancelRejected(SAY, ANN, BTCUSDT, 1, "", OrderReason.UNKNOWN_ORDER),
        CancelAllRequested(SAY, ANN, BTCUSDT, [1]),
        CancelAllCompleted(SAY, ANN, BTCUSDT, [1]),
        FundingRepeated(SAY, ANN, "ann-usdt", NOON_US),
        FundingRejected(SAY, ANN, "ann-btc", FundingReason.UNKNOWN_ASSET),
        HaltResolved(SAY, b"h" * 16, HaltAction.SKIP),
        CommandExpired(SAY, 1),
        CommandRepeated(SAY, 1),
        CommandFaulted(SAY, "PlaceOrder", "KeyError"),
    ):
        LEDGER.evolve(state, event)
    assert LEDGER.dump(state) == before


def test_an_event_that_no_ledger_has_is_a_bug() -> None:
    with pytest.raises(AssertionError, match="a ledger has no event UserRegistered"):
        given(*FUNDED, UserRegistered(SAY, "user-4", 1, 5, 4, b"d" * 32, 0))


def test_the_full_check_finds_what_does_not_add_up() -> None:
    state = given(*FUNDED)
    when(state, ORDER)
    state.orders[2].filled_lots = 1
    with pytest.raises(AssertionError, match="L6: held"):
        LEDGER.dump(state)
    state.orders[2].filled_lots = 0
    state.balances._books[USDT][1 << 10] = Holding(1)
    with pytest.raises(AssertionError, match="L1: asset 2 sums to 1"):
        LEDGER.dump(state)
    state.balances._books[USDT][1 << 10].amount = -1
    state.balances._books[USDT][2].amount += 1
    with pytest.raises(AssertionError, match="L4: "):
        LEDGER.dump(state)
