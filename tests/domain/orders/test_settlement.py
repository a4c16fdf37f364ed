"""What trades, rests and ends on the book do to the money of both parties."""

from dataclasses import replace
from typing import Any

import pytest

from domain.accounts.messages import FeesChanged, FeeTierChanged
from domain.decider import Message, UnrefusableFault
from domain.fees import FeeTier
from domain.ledger.chart import HOUSE, held_account
from domain.ledger.messages import (
    CreditDeposit,
    DepositCredited,
    FundingReason,
    FundingRejected,
)
from domain.markets import MarketRulesChanged
from domain.matching.messages import OrderRested, OrderTerminated, TradeExecuted
from domain.money import MAX_AMOUNT
from domain.orders.messages import (
    CloseReason,
    FillSettled,
    OrderClosed,
    OrderReason,
    OrderRejected,
    OrderType,
    Role,
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
    NOON_US,
    RULES,
    USDT,
    given,
    market,
    place,
    purse,
    when,
)

BUY, SELL = Side.BUY, Side.SELL
ASK, BID = 2, 4
"""Ids of the first and second accepted order."""


def rested(order_id: int, user_id: int, side: Side, price_ticks: int, lots: int) -> OrderRested:
    return OrderRested(COMMAND, order_id, user_id, BTCUSDT, side, price_ticks, lots)


def trade(price_ticks: int, lots: int, maker_keeps: int, **changes: Any) -> TradeExecuted:
    """Order 4 (BUY) takes from order 2 (SELL)."""
    fields = {
        "market_id": BTCUSDT,
        "trade_id": 1,
        "price_ticks": price_ticks,
        "lots": lots,
        "taker_side": BUY,
        "maker_order_id": ASK,
        "taker_order_id": BID,
        "maker_remaining_lots": maker_keeps,
    }
    return TradeExecuted(**{**fields, **changes})


def ended(
    order_id: int, reason: CloseReason, left: int, command_id: bytes = b""
) -> OrderTerminated:
    return OrderTerminated(command_id, order_id, BTCUSDT, reason, left)


def book(*taker_orders: Message) -> Any:
    """Bob offers 20 lots at 100; then the takers' orders are accepted."""
    state = given(*FUNDED)
    when(state, place(BOB, SELL, 20, 100), rested(ASK, BOB, SELL, 100, 20), *taker_orders)
    return state


MAKERS_FILL = FillSettled(
    command_id=b"",
    order_id=ASK,
    user_id=BOB,
    market_id=BTCUSDT,
    trade_id=1,
    client_order_id="",
    side=SELL,
    role=Role.MAKER,
    price_ticks=100,
    lots=10,
    paid_asset=BTC,
    paid_amount=100,
    received_asset=USDT,
    received_amount=3_000,
    fee_amount=0,
    released_amount=0,
    filled_lots=10,
    filled_quote=3_000,
)
TAKERS_FILL = FillSettled(
    command_id=COMMAND,
    order_id=BID,
    user_id=ANN,
    market_id=BTCUSDT,
    trade_id=1,
    client_order_id="a1",
    side=BUY,
    role=Role.TAKER,
    price_ticks=100,
    lots=10,
    paid_asset=USDT,
    paid_amount=3_000,
    received_asset=BTC,
    received_amount=100,
    fee_amount=1,
    released_amount=300,
    filled_lots=10,
    filled_quote=3_000,
)


def test_a_trade_pays_receives_charges_and_releases() -> None:
    state = book(place(ANN, BUY, 10, 110, client_order_id="a1"))
    assert purse(state, ANN) == (0, 0, 96_700, 3_300)

    maker, taker = when(state, trade(100, 10, 10))

    assert (maker, taker) == (MAKERS_FILL, TAKERS_FILL)
    assert purse(state, ANN) == (99, 0, 97_000, 0)
    assert purse(state, BOB) == (9_800, 100, 3_000, 0)
    assert (state.balances.amount(BTC, HOUSE), state.balances.clearing(USDT)) == (1, 0)


# fmt: off
FILLS = [
    # Ann's order                          trade       paid   received  fee  released  still held
    (place(ANN, BUY, 10, 100),             (100, 10),  3_000, 100,      1,   0,        0),
    (place(ANN, BUY, 10, 100),             (100,  4),  1_200,  40,      1,   0,        1_800),
    (place(ANN, BUY, 10, 110),             (100,  4),  1_200,  40,      1,   120,      1_980),
    (market(ANN, BUY, 10),                 (100, 10),  3_000, 100,      1,   150,      0),
    (market(ANN, BUY, quote_amount=3_100), (100, 10),  3_000, 100,      1,   0,        100),
]
# fmt: on


@pytest.mark.parametrize(
    ("order", "at", "paid", "received", "fee", "released", "still_held"), FILLS
)
def test_a_buyer_holds_no_more_than_the_rest_needs(
    order: Any,
    at: tuple[int, int],
    paid: int,
    received: int,
    fee: int,
    released: int,
    still_held: int,
) -> None:
    state = book(order)
    price_ticks, lots = at
    _, fill = when(state, trade(price_ticks, lots, 20 - lots))
    assert isinstance(fill, FillSettled)
    assert (fill.paid_amount, fill.received_amount) == (paid, received)
    assert (fill.fee_amount, fill.released_amount) == (fee, released)
    assert state.balances.amount(USDT, held_account(ANN)) == still_held


def test_what_a_buy_by_quote_saves_goes_back_when_it_ends() -> None:
    state = book(market(ANN, BUY, quote_amount=3_100))
    _, _, closed = when(state, trade(100, 10, 10), ended(BID, CloseReason.FILLED, 0, COMMAND))
    assert isinstance(closed, OrderClosed)
    assert (closed.released_asset, closed.released_amount) == (USDT, 100)
    assert purse(state, ANN) == (99, 0, 97_000, 0)


def test_a_sale_by_quote_gives_back_the_lots_it_did_not_need() -> None:
    state = given(*FUNDED)
    when(state, place(ANN, BUY, 20, 100), rested(2, ANN, BUY, 100, 20))
    when(state, market(BOB, SELL, quote_amount=3_000))
    sold = trade(100, 10, 10, taker_side=SELL, maker_order_id=2, taker_order_id=4)
    _, fill, closed = when(state, sold, ended(4, CloseReason.FILLED, 0, COMMAND))
    assert isinstance(fill, FillSettled)
    assert isinstance(closed, OrderClosed)
    assert (fill.received_amount, fill.fee_amount, fill.released_amount) == (3_000, 2, 0)
    assert (closed.released_asset, closed.released_amount) == (BTC, 10)


def test_the_fee_is_that_of_the_tier_at_settlement_rounded_up() -> None:
    state = book(place(ANN, BUY, 20, 100))
    fills = [
        *when(state, trade(100, 5, 15)),
        *when(state, FeeTierChanged(b"", "user-4", 3, 0, BOB, 0), trade(100, 5, 10, trade_id=2)),
        *when(state, FeesChanged(b"", [FeeTier(0, 0, 999_999)]), trade(100, 5, 5, trade_id=3)),
        *when(state, FeeTierChanged(b"", "user-2", 3, 0, ANN, 7), trade(100, 5, 0, trade_id=4)),
    ]
    fees = [(f.role, f.fee_amount) for f in fills if isinstance(f, FillSettled)]
    maker, taker = Role.MAKER, Role.TAKER
    assert fees == [
        (maker, 0), (taker, 1),
        (maker, 2), (taker, 1),
        (maker, 0), (taker, 50),
        (maker, 0), (taker, 50),
    ]  # fmt: skip


def test_one_shard_settles_its_own_leg_and_clearing_keeps_the_rest() -> None:
    state = book()
    (fill,) = when(state, trade(100, 10, 10, taker_order_id=3))
    assert isinstance(fill, FillSettled)
    assert fill.role is Role.MAKER
    assert (state.balances.clearing(BTC), state.balances.clearing(USDT)) == (100, -3_000)
    LEDGER.dump(state)


def test_a_trade_of_one_user_with_himself_settles_both_orders() -> None:
    state = given(*FUNDED, DepositCredited(b"", BOB, USDT, 5_000, "bob-usdt"))
    when(state, place(BOB, SELL, 20, 100), rested(ASK, BOB, SELL, 100, 20))
    when(state, place(BOB, BUY, 10, 100))
    events = when(state, trade(100, 10, 10), ended(BID, CloseReason.FILLED, 0, COMMAND))
    assert [type(e) for e in events] == [FillSettled, FillSettled, OrderClosed]
    assert purse(state, BOB) == (9_899, 100, 5_000, 0)


def test_an_order_that_rests_says_so_and_an_end_gives_the_hold_back() -> None:
    state = given(*FUNDED)
    report = rested(2, ANN, BUY, 100, 10)
    _, reported, closed = when(
        state,
        place(ANN, BUY, 10, 100, client_order_id="a1"),
        report,
        ended(2, CloseReason.CANCELED, 10, b"cancel"),
    )
    assert reported == report
    assert closed == OrderClosed(
        command_id=b"cancel",
        order_id=2,
        user_id=ANN,
        market_id=BTCUSDT,
        client_order_id="a1",
        side=BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=100,
        lots=10,
        quote_amount=0,
        filled_lots=0,
        filled_quote=0,
        reason=CloseReason.CANCELED,
        released_asset=USDT,
        released_amount=3_000,
        accepted_time_us=NOON_US,
    )
    assert purse(state, ANN) == (0, 0, 100_000, 0)
    assert state.orders == {}
    assert state.accounts[ANN].open_by_client_id == {}
    assert state.accounts[ANN].open_by_market == {}


@pytest.mark.parametrize("reason", [r for r in CloseReason if r is not CloseReason.FILLED])
def test_whatever_ends_an_order_its_hold_goes_back(reason: CloseReason) -> None:
    state = given(*FUNDED)
    _, closed = when(state, place(ANN, BUY, 10, 100), ended(2, reason, 10, COMMAND))
    assert isinstance(closed, OrderClosed)
    assert (closed.reason, closed.released_amount) == (reason, 3_000)


def test_an_order_in_flight_settles_by_the_lot_and_tick_of_its_acceptance() -> None:
    state = book(place(ANN, BUY, 10, 100))
    when(state, MarketRulesChanged(b"", BTCUSDT, 2, replace(RULES, lot=7, tick=11), 100))
    _, fill = when(state, trade(100, 10, 10))
    assert isinstance(fill, FillSettled)
    assert (fill.paid_amount, fill.received_amount) == (3_000, 100)
    LEDGER.dump(state)


# fmt: off
IMPOSSIBLE = [
    # fact                                               invariant
    (trade(100, 10, 10, maker_order_id=8),               "E3: order 8 must be open"),
    (trade(100, 10, 10, taker_order_id=8),               "E3: order 8 must be open"),
    (trade(100, 10, 10, market_id=2),                    "E3: order 2 is not of market 2"),
    (trade(100, 10, 11),                                 "E3: maker 2 must keep 11 lots, had 10"),
    (trade(101, 10, 10),                                 "E4: trade 1 must be at the maker's"),
    (trade(100, 10, 10, taker_side=SELL),                "E4: both sides"),
    (trade(100, 11, 9),                                  "E3: order 4 of 10 lots is filled by 11"),
    (trade(100, 10, 10, maker_order_id=4, taker_order_id=2), "E3: maker 4 is not on the book"),
    (trade(100, 10, 10, maker_order_id=3, taker_order_id=5), "E5: trade 1 is none of this shard's"),
    (trade(100, 10, 10, taker_order_id=2),               "E6: order 2 traded with itself"),
    (ended(8, CloseReason.CANCELED, 1),                  "E3: order 8 must be open"),
    (ended(2, CloseReason.CANCELED, 19),                 "E3: order 2 has 19 lots open on"),
    (ended(2, CloseReason.FILLED, 20),                   "E3: order 2 ended FILLED with 20"),
    (rested(2, BOB, SELL, 100, 20),                      "E3: order 2 rests already"),
    (rested(4, ANN, BUY, 100, 9),                        "E3: order 4 rests with 9 lots"),
]
# fmt: on


@pytest.mark.parametrize(("fact", "invariant"), IMPOSSIBLE)
def test_an_impossible_fact_halts_the_shard(fact: Message, invariant: str) -> None:
    state = book(place(ANN, BUY, 10, 100))
    with pytest.raises(AssertionError, match=invariant):
        when(state, fact)
    with pytest.raises(UnrefusableFault):
        LEDGER.fault(state, fact)


def test_an_order_that_rests_is_nobodys_taker() -> None:
    state = book(place(ANN, BUY, 10, 99), rested(BID, ANN, BUY, 99, 10))
    with pytest.raises(AssertionError, match="E3: taker 4 rests on the book"):
        when(state, trade(100, 10, 10))


# fmt: off
BEYOND = [
    # Ann's order                          trade      invariant
    (place(ANN, BUY, 10, 99),              (100, 10), "E4: trade 1 at 100 is beyond the limit 99"),
    (place(ANN, BUY, 10, 100),             (100, 0),  "E3: trade 1 is of 0 lots"),
    (market(ANN, BUY, quote_amount=2_999), (100, 10), "E3: order 4 of 2999 quote is filled"),
]
# fmt: on


@pytest.mark.parametrize(("order", "at", "invariant"), BEYOND)
def test_a_trade_beyond_what_was_ordered_halts_the_shard(
    order: Any, at: tuple[int, int], invariant: str
) -> None:
    state = book(order)
    with pytest.raises(AssertionError, match=invariant):
        when(state, trade(*at, 20 - at[1]))


def test_the_fee_is_monotonic_in_amount_and_rate() -> None:
    state = book(place(ANN, BUY, 20, 100))
    charged = []
    for number, rate in enumerate((0, 1, 1_000, 100_000, 1_000_000)):
        when(state, FeesChanged(b"", [FeeTier(0, 0, rate)]))
        _, fill = when(state, trade(100, 4, 16 - 4 * number, trade_id=number + 1))
        assert isinstance(fill, FillSettled)
        charged.append(fill.fee_amount)
    assert charged == [0, 1, 1, 4, 40]


def test_orders_that_each_fit_may_take_a_total_beyond_the_largest_amount() -> None:
    """See docs/decisions/0028: the sums stay true, and nothing more of the asset is received."""
    room = MAX_AMOUNT - 10_000 - 99
    state = given(*FUNDED, DepositCredited(b"", BOB, BTC, room, "much"))
    for number in (0, 1):
        when(state, place(ANN, BUY, 9, 100), rested(2 + 2 * number, ANN, BUY, 100, 9))
    for number in (0, 1):
        # The sellers are of another shard.
        orders = {"maker_order_id": 2 + 2 * number, "taker_order_id": 3 + 2 * number}
        when(state, trade(100, 9, 0, trade_id=1 + number, taker_side=SELL, **orders))
    assert state.balances.covered_total(BTC) == MAX_AMOUNT - 99 + 180
    assert set(state.balances.total_by_asset().values()) == {0}
    (order,) = when(state, place(ANN, BUY, 2, 100))
    assert isinstance(order, OrderRejected)
    assert order.reason is OrderReason.AMOUNT_TOO_LARGE
    (funding,) = when(state, CreditDeposit(COMMAND, 0, ANN, BTC, 1, "more"))
    assert isinstance(funding, FundingRejected)
    assert funding.reason is FundingReason.AMOUNT_TOO_LARGE
