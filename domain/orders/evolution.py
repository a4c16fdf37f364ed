"""Evolution: how each event changes a ledger shard's state; the inline invariants stand here."""

from typing import Final

from domain.decider import Message
from domain.ledger.funding import Funding
from domain.ledger.messages import (
    DepositCredited,
    FundingRejected,
    FundingRepeated,
    WithdrawalDebited,
)
from domain.ledger.postings import post
from domain.markets import MarketRules, ReferencePriceChanged
from domain.matching.messages import CancelAllCompleted, OrderRested
from domain.orders.learning import learn
from domain.orders.messages import (
    CancelAllRequested,
    CancelRejected,
    CancelRequested,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderType,
    Side,
    TimeInForce,
)
from domain.orders.settlement import open_order
from domain.orders.state import (
    WINDOW_1D_US,
    WINDOW_10S_US,
    Account,
    LedgerState,
    OpenOrder,
    next_order_id,
)
from domain.protocol import CommandExpired, CommandFaulted, CommandRepeated, HaltResolved

_BUY: Final = Side.BUY
_MARKET: Final = OrderType.MARKET
_GTC: Final = TimeInForce.GTC
_WITHOUT_EFFECT: Final = (
    OrderRejected,
    CancelRequested,
    CancelRejected,
    CancelAllRequested,
    CancelAllCompleted,
    FundingRepeated,
    FundingRejected,
    HaltResolved,
    CommandExpired,
    CommandRepeated,
    CommandFaulted,
)


def evolve(state: LedgerState, event: Message) -> LedgerState:
    """The state after `event`, changed in place: money first, then what is known of orders.

    An invariant that does not hold is an `AssertionError`, and so is an event that no ledger has.
    """
    post(event, state.balances)
    if isinstance(event, FillSettled):
        _fill(state, event)
    elif isinstance(event, OrderAccepted):
        _accept(state, event)
    elif isinstance(event, OrderClosed):
        _close(state, event)
    elif isinstance(event, OrderRested):
        _rest(state, event)
    elif isinstance(event, ReferencePriceChanged):
        state.markets[event.market_id].reference_price_ticks = event.price_ticks
    elif isinstance(event, (DepositCredited, WithdrawalDebited)):
        _use_reference(state, event)
    elif not isinstance(event, _WITHOUT_EFFECT):
        learn(state, event)
    return state


def _fill(state: LedgerState, event: FillSettled) -> None:
    """Move the order on by one trade, and check that its hold is what its remainder needs."""
    order = state.orders[event.order_id]
    order.filled_lots = event.filled_lots
    order.filled_quote = event.filled_quote
    order.held -= event.paid_amount + event.released_amount
    assert order.held == order.needed(), (
        f"L6: order {order.order_id} holds {order.held} and needs {order.needed()}"
    )
    assert 0 <= event.fee_amount <= event.received_amount, (
        f"L8: fee {event.fee_amount} of {event.received_amount} in trade {event.trade_id}"
    )


def _accept(state: LedgerState, event: OrderAccepted) -> None:
    """Open the order under the next id, which nothing else ever had (E6)."""
    expected = next_order_id(state)
    state.orders_accepted += 1
    assert event.order_id == expected, f"E6: the next order id is {expected}, not {event.order_id}"
    order = _opened(event, state.markets[event.market_id].rules, state.time_us)
    assert order.held == order.needed(), (
        f"L6: order {order.order_id} holds {order.held} and needs {order.needed()}"
    )
    account = state.accounts[event.user_id]
    account.window_10s = state.time_us // WINDOW_10S_US
    account.orders_10s = event.order_count_10s
    account.window_1d = state.time_us // WINDOW_1D_US
    account.orders_1d = event.order_count_1d
    open_up(state, account, order)


def _opened(event: OrderAccepted, rules: MarketRules, time_us: int) -> OpenOrder:
    return OpenOrder(
        order_id=event.order_id,
        user_id=event.user_id,
        market_id=event.market_id,
        client_order_id=event.client_order_id,
        side=event.side,
        order_type=event.order_type,
        time_in_force=event.time_in_force,
        price_ticks=event.price_ticks,
        lots=event.lots,
        quote_amount=event.quote_amount,
        lot=rules.lot,
        tick=rules.tick,
        base_asset=rules.base_asset,
        quote_asset=rules.quote_asset,
        held=event.held_amount,
        filled_lots=0,
        filled_quote=0,
        rested=False,
        accepted_time_us=time_us,
        command_id=event.command_id,
    )


def open_up(state: LedgerState, account: Account, order: OpenOrder) -> None:
    """Enter the order among the open ones and where its account finds it."""
    state.orders[order.order_id] = order
    in_market = account.open_by_market.get(order.market_id)
    if in_market is None:
        in_market = account.open_by_market[order.market_id] = {}
    in_market[order.order_id] = None
    if order.client_order_id:
        assert order.client_order_id not in account.open_by_client_id, (
            f"E6: client id {order.client_order_id} is open twice"
        )
        account.open_by_client_id[order.client_order_id] = order.order_id


def _close(state: LedgerState, event: OrderClosed) -> None:
    """Forget the order; its hold has just gone back, all of it (L6)."""
    order = state.orders.pop(event.order_id)
    assert order.held == event.released_amount, (
        f"L6: order {order.order_id} held {order.held} and got back {event.released_amount}"
    )
    account = state.accounts[event.user_id]
    in_market = account.open_by_market[event.market_id]
    del in_market[event.order_id]
    if not in_market:
        del account.open_by_market[event.market_id]
    if order.client_order_id:
        del account.open_by_client_id[order.client_order_id]


def _rest(state: LedgerState, event: OrderRested) -> None:
    """The order waits on the book with all that is not filled; this happens once."""
    order = open_order(state, event.order_id, event.market_id)
    remaining = order.lots - order.filled_lots
    assert event.lots == remaining > 0, (
        f"E3: order {order.order_id} rests with {event.lots} lots, has {remaining} open here"
    )
    assert not order.rested, f"E3: order {order.order_id} rests already"
    assert order.order_type is not _MARKET, f"E3: MARKET order {order.order_id} cannot rest"
    assert order.time_in_force is _GTC, f"E3: order {order.order_id} cannot rest, it is not GTC"
    order.rested = True


def _use_reference(state: LedgerState, event: DepositCredited | WithdrawalDebited) -> None:
    """Only success uses a reference up, and then for ever."""
    assert event.reference not in state.funding_by_reference, f"L5: {event.reference} used twice"
    state.funding_by_reference[event.reference] = Funding(
        deposit=isinstance(event, DepositCredited),
        user_id=event.user_id,
        asset_id=event.asset_id,
        amount=event.amount,
        time_us=state.time_us,
    )
