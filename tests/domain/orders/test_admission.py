"""Which orders are accepted, what they hold, and the reason of each refusal."""

from dataclasses import replace
from typing import Any

import pytest

from domain.accounts.messages import LimitsChanged, UserDisabled
from domain.ledger.chart import held_account
from domain.ledger.messages import DepositCredited
from domain.markets import MarketHalted, MarketRulesChanged, ReferencePriceChanged
from domain.money import MAX_AMOUNT
from domain.orders.admission import foreseen_refusal
from domain.orders.messages import (
    OrderAccepted,
    OrderReason,
    OrderRejected,
    OrderType,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from tests.domain.orders.tables import (
    ANN,
    BOB,
    BTC,
    BTCUSDT,
    COMMAND,
    FUNDED,
    LEDGER,
    LIMITS,
    NOON_US,
    OPENED,
    RULES,
    USDT,
    given,
    market,
    place,
    purse,
    when,
)

BUY, SELL = Side.BUY, Side.SELL
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
R = OrderReason

# The reference price is 100: BUY may bid 20..150, SELL may ask 80..500; the collar is 95..105.
# fmt: off
ACCEPTED = [
    # order                                            price  lots  quote  held       of
    (place(ANN, BUY, 10, 100),                         100,   10,      0,  3_000,     USDT),
    (place(ANN, BUY, 10, 100, time_in_force=IOC),      100,   10,      0,  3_000,     USDT),
    (place(ANN, BUY, 10, 100, time_in_force=FOK),      100,   10,      0,  3_000,     USDT),
    (place(BOB, SELL, 10, 100),                        100,   10,      0,    100,     BTC),
    (place(BOB, SELL, 2, 100,
           order_type=OrderType.LIMIT_MAKER),          100,    2,      0,     20,     BTC),
    (place(ANN, BUY, 2, 150),                          150,    2,      0,    900,     USDT),
    (place(BOB, SELL, 10, 80),                          80,   10,      0,    100,     BTC),
    (market(ANN, BUY, 10),                             105,   10,      0,  3_150,     USDT),
    (market(BOB, SELL, 10),                             95,   10,      0,    100,     BTC),
    (market(ANN, BUY, quote_amount=3_000),             105,    0,  3_000,  3_000,     USDT),
    (market(BOB, SELL, quote_amount=3_000),             95,   11,  3_000,    110,     BTC),
    (market(BOB, SELL, quote_amount=2_850),             95,   10,  2_850,    100,     BTC),
]
# fmt: on


@pytest.mark.parametrize(("order", "price", "lots", "quote", "held", "asset"), ACCEPTED)
def test_an_accepted_order_says_what_it_holds(
    order: Any, price: int, lots: int, quote: int, held: int, asset: int
) -> None:
    state = given(*FUNDED)

    (event,) = when(state, order)

    assert event == OrderAccepted(
        command_id=COMMAND,
        order_id=2,
        user_id=order.user_id,
        market_id=BTCUSDT,
        market_revision=1,
        client_order_id="",
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        price_ticks=price,
        lots=lots,
        quote_amount=quote,
        held_asset=asset,
        held_amount=held,
        order_count_10s=1,
        order_count_1d=1,
    )
    assert state.balances.amount(asset, held_account(order.user_id)) == held
    assert LEDGER.destinations(state, event) == ("M1",)


GOOD = place(ANN, BUY, 10, 100)
AT_MARKET = market(ANN, BUY, 10)
# fmt: off
REFUSED = [
    # changes of a good order                                   reason
    (GOOD,      {"user_id": 6},                                 R.UNKNOWN_ACCOUNT),
    (GOOD,      {"market_id": 3},                               R.UNKNOWN_MARKET),
    (GOOD,      {"order_type": OrderType.STOP_LOSS},            R.ORDER_TYPE_NOT_SUPPORTED),
    (GOOD,      {"order_type": OrderType.STOP_LOSS_LIMIT},      R.ORDER_TYPE_NOT_SUPPORTED),
    (GOOD,      {"order_type": OrderType.TAKE_PROFIT},          R.ORDER_TYPE_NOT_SUPPORTED),
    (GOOD,      {"order_type": OrderType.TAKE_PROFIT_LIMIT},    R.ORDER_TYPE_NOT_SUPPORTED),
    (GOOD,      {"stop_price_ticks": 1},                        R.STOP_PRICE_NOT_SUPPORTED),
    (GOOD,      {"iceberg_lots": 1},                            R.ICEBERG_NOT_SUPPORTED),
    (GOOD,      {"self_trade_prevention": SelfTradePrevention.EXPIRE_BOTH},
                                                       R.SELF_TRADE_PREVENTION_NOT_SUPPORTED),
    (AT_MARKET, {"time_in_force": GTC},                         R.INVALID_TIME_IN_FORCE),
    (AT_MARKET, {"time_in_force": FOK},                         R.INVALID_TIME_IN_FORCE),
    (GOOD,      {"order_type": OrderType.LIMIT_MAKER, "time_in_force": IOC},
                                                                R.INVALID_TIME_IN_FORCE),
    (GOOD,      {"client_order_id": "no spaces"},               R.INVALID_CLIENT_ORDER_ID),
    (GOOD,      {"client_order_id": "x" * 37},                  R.INVALID_CLIENT_ORDER_ID),
    (GOOD,      {"client_order_id": "line\n"},                  R.INVALID_CLIENT_ORDER_ID),
    (GOOD,      {"client_order_id": "é"},                       R.INVALID_CLIENT_ORDER_ID),
    (GOOD,      {"price_ticks": 0},                             R.INVALID_PRICE),
    (GOOD,      {"price_ticks": -100},                          R.INVALID_PRICE),
    (AT_MARKET, {"price_ticks": 100},                           R.INVALID_PRICE),
    (GOOD,      {"lots": 0},                                    R.INVALID_QUANTITY),
    (GOOD,      {"lots": -10},                                  R.INVALID_QUANTITY),
    (GOOD,      {"lots": 0, "quote_amount": 3_000},             R.INVALID_QUANTITY),
    (AT_MARKET, {"quote_amount": 3_000},                        R.INVALID_QUANTITY),
    (AT_MARKET, {"lots": 0, "quote_amount": -3_000},            R.INVALID_QUANTITY),
    (GOOD,      {"price_ticks": 9},                             R.PRICE_FILTER),
    (GOOD,      {"price_ticks": 10_001},                        R.PRICE_FILTER),
    (GOOD,      {"lots": 1},                                    R.LOT_SIZE),
    (GOOD,      {"lots": 1_001},                                R.LOT_SIZE),
    (AT_MARKET, {"lots": 1},                                    R.LOT_SIZE),
    (AT_MARKET, {"lots": 2},                                    R.MARKET_LOT_SIZE),
    (AT_MARKET, {"lots": 501},                                  R.MARKET_LOT_SIZE),
    (AT_MARKET, {"side": SELL, "lots": 0, "quote_amount": 570}, R.MARKET_LOT_SIZE),
    (GOOD,      {"price_ticks": 151},                           R.PERCENT_PRICE_BY_SIDE),
    (GOOD,      {"price_ticks": 19},                            R.PERCENT_PRICE_BY_SIDE),
    (GOOD,      {"side": SELL, "price_ticks": 79},              R.PERCENT_PRICE_BY_SIDE),
    (GOOD,      {"side": SELL, "price_ticks": 501},             R.PERCENT_PRICE_BY_SIDE),
    (GOOD,      {"lots": 2, "price_ticks": 99},                 R.NOTIONAL),
    (AT_MARKET, {"lots": 0, "quote_amount": 599},               R.NOTIONAL),
    (GOOD,      {"lots": 400},                                  R.INSUFFICIENT_FUNDS),
    (GOOD,      {"side": SELL},                                 R.INSUFFICIENT_FUNDS),
]
# fmt: on


@pytest.mark.parametrize(("good", "changes", "reason"), REFUSED)
def test_a_refusal_names_the_first_reason_and_changes_nothing(
    good: Any, changes: dict[str, Any], reason: OrderReason
) -> None:
    state = given(*FUNDED)
    before = LEDGER.dump(state)
    order = replace(good, **changes)

    (event,) = when(state, order)

    assert event == OrderRejected(
        COMMAND, order.user_id, order.market_id, order.client_order_id, reason
    )
    assert LEDGER.dump(state) == before
    assert LEDGER.destinations(state, event) == ()


def refusal(state: Any, order: Any) -> OrderReason:
    (event,) = when(state, order)
    assert isinstance(event, OrderRejected)
    return event.reason


LEDGERS_ALONE = {R.UNKNOWN_ACCOUNT, R.UNKNOWN_MARKET, R.INSUFFICIENT_FUNDS}
"""What cannot be told of an order and its market's rules alone."""


@pytest.mark.parametrize(("good", "changes", "reason"), REFUSED)
def test_what_is_foreseen_of_an_order_is_what_the_ledger_says(
    good: Any, changes: dict[str, Any], reason: OrderReason
) -> None:
    order = replace(good, **changes)
    foreseen = foreseen_refusal(order, RULES, enabled=True, halted=False)
    at_the_collar = order.side is SELL and order.quote_amount > 0
    if reason is R.PERCENT_PRICE_BY_SIDE or at_the_collar:
        # The reference price decides, before the notional is looked at.
        assert foreseen in (None, R.NOTIONAL)
    else:
        assert foreseen is (None if reason in LEDGERS_ALONE else reason)


def test_users_and_markets_that_are_shut_are_foreseen_in_the_ledgers_order() -> None:
    bad = replace(GOOD, lots=1)
    assert foreseen_refusal(bad, RULES, enabled=False, halted=True) is R.ACCOUNT_DISABLED
    assert foreseen_refusal(bad, RULES, enabled=True, halted=True) is R.MARKET_HALTED


def test_a_disabled_account_places_nothing() -> None:
    state = given(*FUNDED, UserDisabled(b"", "user-2", 2, 0, ANN))
    assert refusal(state, GOOD) is R.ACCOUNT_DISABLED


def test_a_halted_market_takes_nothing() -> None:
    state = given(*FUNDED, MarketHalted(b"", BTCUSDT))
    assert refusal(state, GOOD) is R.MARKET_HALTED


def test_an_order_counted_in_other_rules_is_refused() -> None:
    """What was 0.1 in the old lot must not become 1 in the new one."""
    recounted = replace(RULES, lot=10 * RULES.lot)
    state = given(*FUNDED, MarketRulesChanged(b"", BTCUSDT, 2, recounted, 100))
    assert refusal(state, replace(GOOD, market_revision=1)) is R.STALE_RULES
    assert refusal(state, replace(GOOD, market_revision=3)) is R.STALE_RULES
    for revision in (0, 2):
        (event,) = when(state, replace(GOOD, market_revision=revision))
        assert not (isinstance(event, OrderRejected) and event.reason is R.STALE_RULES)


def test_filters_follow_the_reference_price() -> None:
    state = given(*FUNDED, ReferencePriceChanged(BTCUSDT, 60))
    assert refusal(state, GOOD) is R.PERCENT_PRICE_BY_SIDE
    (event,) = when(state, market(ANN, BUY, 20))
    assert isinstance(event, OrderAccepted)
    assert event.price_ticks == 63


def test_the_collar_stays_inside_the_price_filter_and_never_rounds_past_the_reference() -> None:
    rules = replace(RULES, min_price_ticks=98, max_price_ticks=103, collar_ppm=25_500)
    # 100 + 2.55 down to 102, 100 - 2.55 up to 98; a wider collar ends at the filter.
    for collar_ppm, highest, lowest in ((25_500, 102, 98), (90_000, 103, 98), (9_000, 100, 100)):
        changed = MarketRulesChanged(b"", BTCUSDT, 1, replace(rules, collar_ppm=collar_ppm), 100)
        state = given(*FUNDED, changed)
        buy, sell = when(state, market(ANN, BUY, 10), market(BOB, SELL, 10))
        assert isinstance(buy, OrderAccepted)
        assert isinstance(sell, OrderAccepted)
        assert (buy.price_ticks, sell.price_ticks) == (highest, lowest)


def test_the_notional_of_a_market_order_is_reckoned_at_the_reference_price() -> None:
    rules = replace(RULES, min_notional=3_000, max_notional=3_000)
    state = given(*FUNDED, MarketRulesChanged(b"", BTCUSDT, 1, rules, 100))
    assert isinstance(when(state, market(ANN, BUY, 10))[0], OrderAccepted)
    assert refusal(state, market(ANN, BUY, 11)) is R.NOTIONAL
    state = given(*FUNDED, MarketRulesChanged(b"", BTCUSDT, 1, rules, 60))
    assert refusal(state, market(ANN, BUY, 10)) is R.NOTIONAL


def test_new_orders_carry_the_revision_of_the_rules_in_force() -> None:
    state = given(*FUNDED, MarketRulesChanged(b"", BTCUSDT, 2, replace(RULES, tick=6), 100))
    (event,) = when(state, GOOD)
    assert isinstance(event, OrderAccepted)
    assert (event.market_revision, event.held_amount) == (2, 6_000)


def test_a_client_id_is_unique_among_open_orders_but_may_be_left_out() -> None:
    state = given(*FUNDED)
    first = replace(GOOD, client_order_id="mine")
    assert isinstance(when(state, first)[0], OrderAccepted)
    assert refusal(state, first) is R.DUPLICATE_CLIENT_ORDER_ID
    assert isinstance(when(state, GOOD)[0], OrderAccepted)
    assert isinstance(when(state, GOOD)[0], OrderAccepted)
    assert isinstance(when(state, replace(first, user_id=BOB, side=SELL))[0], OrderAccepted)


def test_open_orders_are_counted_by_market() -> None:
    state = given(*FUNDED)
    accepted = when(state, *[GOOD] * RULES.max_open_orders)
    assert {type(event) for event in accepted} == {OrderAccepted}
    assert refusal(state, GOOD) is R.MAX_NUM_ORDERS
    assert isinstance(when(state, replace(GOOD, market_id=2))[0], OrderAccepted)


@pytest.mark.parametrize(
    ("limits", "reason", "window_us"),
    [
        (replace(LIMITS, orders_per_10s=2), R.TOO_MANY_ORDERS_10S, 10_000_000),
        (replace(LIMITS, orders_per_day=2), R.TOO_MANY_ORDERS_1D, 86_400_000_000),
    ],
)
def test_order_rates_are_counted_in_fixed_windows_of_log_time(
    limits: Any, reason: OrderReason, window_us: int
) -> None:
    last_of_window = NOON_US - NOON_US % window_us + window_us - 1
    state = given(*FUNDED, LimitsChanged(b"", limits), time_us=last_of_window)

    assert refusal(state, replace(GOOD, lots=1)) is R.LOT_SIZE
    first, second = when(state, GOOD, GOOD)
    assert isinstance(first, OrderAccepted)
    assert isinstance(second, OrderAccepted)
    assert (second.order_count_10s, second.order_count_1d) == (2, 2)
    assert refusal(state, GOOD) is reason
    assert refusal(state, replace(GOOD, user_id=BOB, side=SELL, lots=1)) is R.LOT_SIZE

    state.time_us += 1
    (third,) = when(state, GOOD)
    assert isinstance(third, OrderAccepted)
    assert third.order_count_10s == 1


def test_what_is_received_may_not_take_the_shard_beyond_the_largest_amount() -> None:
    state = given(*FUNDED, DepositCredited(b"", BOB, BTC, MAX_AMOUNT - 10_000 - 99, "much"))
    assert refusal(state, GOOD) is R.AMOUNT_TOO_LARGE
    (event,) = when(state, replace(GOOD, lots=9))
    assert isinstance(event, OrderAccepted)


def test_amounts_beyond_the_largest_are_refused() -> None:
    wide = replace(RULES, max_lots=1 << 62, market_max_lots=1 << 62, max_notional=1 << 80)
    state = given(*FUNDED, MarketRulesChanged(b"", BTCUSDT, 1, wide, 100))
    for order in (replace(GOOD, lots=1 << 59), replace(GOOD, side=SELL, lots=1 << 59)):
        assert refusal(state, order) is R.AMOUNT_TOO_LARGE
    assert refusal(state, market(ANN, BUY, quote_amount=MAX_AMOUNT + 1)) is R.AMOUNT_TOO_LARGE
    assert refusal(state, market(ANN, BUY, quote_amount=MAX_AMOUNT)) is R.INSUFFICIENT_FUNDS


def test_a_hold_moves_from_available_to_held_to_the_last_unit() -> None:
    state = given(*OPENED, DepositCredited(b"", ANN, USDT, 3_000, "just enough"))
    assert isinstance(when(state, GOOD)[0], OrderAccepted)
    assert purse(state, ANN) == (0, 0, 0, 3_000)
    assert refusal(state, GOOD) is R.INSUFFICIENT_FUNDS


def test_order_ids_count_up_in_steps_of_the_partitions() -> None:
    state = given(*FUNDED)
    events = when(state, GOOD, replace(GOOD, lots=1), GOOD, GOOD)
    assert [e.order_id for e in events if isinstance(e, OrderAccepted)] == [2, 4, 6]
