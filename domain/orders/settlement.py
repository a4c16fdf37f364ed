"""Settlement: what a trade or an end on the book means for the orders of this shard.

Facts from matching are never refused; an impossible one is an assertion, and the shard halts.
"""

from typing import Final

from domain.fees import fee
from domain.matching.messages import OrderTerminated, TradeExecuted
from domain.orders.messages import CloseReason, FillSettled, OrderClosed, Role, Side
from domain.orders.state import LedgerState, OpenOrder

_BUY: Final = Side.BUY
_MAKER: Final = Role.MAKER
_TAKER: Final = Role.TAKER
_FILLED: Final = CloseReason.FILLED


def settle_trade(state: LedgerState, trade: TradeExecuted) -> tuple[FillSettled, ...]:
    """The fill of each party whose order lives in this shard, the maker's first."""
    partitions, partition = state.ledger_partitions, state.partition
    maker_here = trade.maker_order_id % partitions == partition
    taker_here = trade.taker_order_id % partitions == partition
    assert trade.maker_order_id != trade.taker_order_id, (
        f"E6: order {trade.maker_order_id} traded with itself in trade {trade.trade_id}"
    )
    if maker_here and taker_here:
        return (_maker_fill(state, trade), _taker_fill(state, trade))
    assert maker_here or taker_here, f"E5: trade {trade.trade_id} is none of this shard's"
    return (_maker_fill(state, trade) if maker_here else _taker_fill(state, trade),)


def _maker_fill(state: LedgerState, trade: TradeExecuted) -> FillSettled:
    order = open_order(state, trade.maker_order_id, trade.market_id)
    remaining = order.lots - order.filled_lots - trade.lots
    assert order.rested, f"E3: maker {order.order_id} is not on the book"
    assert order.side is not trade.taker_side, f"E4: both sides bought in {trade.trade_id}"
    assert remaining == trade.maker_remaining_lots, (
        f"E3: maker {order.order_id} must keep {trade.maker_remaining_lots} lots, had {remaining}"
    )
    assert order.price_ticks == trade.price_ticks, (
        f"E4: trade {trade.trade_id} must be at the maker's price {order.price_ticks}, "
        f"was at {trade.price_ticks}"
    )
    return _fill(state, trade, order, _MAKER)


def _taker_fill(state: LedgerState, trade: TradeExecuted) -> FillSettled:
    order = open_order(state, trade.taker_order_id, trade.market_id)
    assert not order.rested, f"E3: taker {order.order_id} rests on the book"
    assert order.side is trade.taker_side, f"E4: order {order.order_id} is on the other side"
    return _fill(state, trade, order, _TAKER)


def open_order(state: LedgerState, order_id: int, market_id: int) -> OpenOrder:
    """The open order that a fact is about; there must be one, and of that market (E3)."""
    order = state.orders.get(order_id)
    assert order is not None, f"E3: order {order_id} must be open"
    assert order.market_id == market_id, f"E3: order {order_id} is not of market {market_id}"
    return order


def _fill(state: LedgerState, trade: TradeExecuted, order: OpenOrder, role: Role) -> FillSettled:
    """One order's view of the trade: what it pays, receives, is charged and gets back."""
    quote = trade.price_ticks * trade.lots * order.tick
    base = trade.lots * order.lot
    filled_lots, filled_quote = order.filled_lots + trade.lots, order.filled_quote + quote
    _check_possible(trade, order, filled_lots=filled_lots, filled_quote=filled_quote)
    buys = order.side is _BUY
    received = base if buys else quote
    return FillSettled(
        command_id=b"" if role is _MAKER else order.command_id,
        order_id=order.order_id,
        user_id=order.user_id,
        market_id=order.market_id,
        trade_id=trade.trade_id,
        client_order_id=order.client_order_id,
        side=order.side,
        role=role,
        price_ticks=trade.price_ticks,
        lots=trade.lots,
        paid_asset=order.quote_asset if buys else order.base_asset,
        paid_amount=quote if buys else base,
        received_asset=order.base_asset if buys else order.quote_asset,
        received_amount=received,
        fee_amount=fee(received, fee_rate_ppm(state, order.user_id, role)),
        released_amount=_price_improvement(order, trade),
        filled_lots=filled_lots,
        filled_quote=filled_quote,
    )


def _check_possible(
    trade: TradeExecuted, order: OpenOrder, *, filled_lots: int, filled_quote: int
) -> None:
    """The price keeps to the order's limit (E4), and no more is filled than was ordered (E3)."""
    price_ticks, limit = trade.price_ticks, order.price_ticks
    within_limit = price_ticks <= limit if order.side is _BUY else price_ticks >= limit
    assert within_limit, (
        f"E4: trade {trade.trade_id} at {price_ticks} is beyond the limit {limit} "
        f"of order {order.order_id}"
    )
    assert trade.lots > 0, f"E3: trade {trade.trade_id} is of {trade.lots} lots"
    assert filled_lots <= order.lots or order.lots == 0, (
        f"E3: order {order.order_id} of {order.lots} lots is filled by {filled_lots}"
    )
    assert filled_quote <= order.quote_amount or order.quote_amount == 0, (
        f"E3: order {order.order_id} of {order.quote_amount} quote is filled by {filled_quote}"
    )


def _price_improvement(order: OpenOrder, trade: TradeExecuted) -> int:
    """What a BUY by quantity held beyond the trade's price, in quote units.

    A BUY by quote keeps what it saves: it may buy more with it.
    """
    if order.side is not _BUY or order.quote_amount != 0:
        return 0
    return (order.price_ticks - trade.price_ticks) * trade.lots * order.tick


def fee_rate_ppm(state: LedgerState, user_id: int, role: Role) -> int:
    """The rate the user pays now. A tier that the schedule does not have pays tier 0's.

    Tiers and users come over different channels, so that a user can be ahead of the schedule.
    """
    tier = state.fee_tiers.get(state.accounts[user_id].fee_tier)
    if tier is None:
        tier = state.fee_tiers[0]
    return tier.maker_ppm if role is _MAKER else tier.taker_ppm


def close_order(state: LedgerState, ended: OrderTerminated) -> OrderClosed:
    """The end of an order, which gives back what is left of its hold."""
    order = open_order(state, ended.order_id, ended.market_id)
    if order.quote_amount == 0:
        remaining = order.lots - order.filled_lots
        assert remaining == ended.remaining_lots, (
            f"E3: order {order.order_id} has {ended.remaining_lots} lots open on the book, "
            f"{remaining} here"
        )
        assert (remaining == 0) == (ended.reason is _FILLED), (
            f"E3: order {order.order_id} ended {ended.reason.name} with {remaining} lots open"
        )
    return OrderClosed(
        command_id=ended.command_id,
        order_id=order.order_id,
        user_id=order.user_id,
        market_id=order.market_id,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        price_ticks=order.price_ticks,
        lots=order.lots,
        quote_amount=order.quote_amount,
        filled_lots=order.filled_lots,
        filled_quote=order.filled_quote,
        reason=ended.reason,
        released_asset=order.held_asset,
        released_amount=order.held,
        accepted_time_us=order.accepted_time_us,
    )
