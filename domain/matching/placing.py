"""What an accepted order causes on the book: trades, book changes, and its first report."""

from typing import Final

from domain.decider import Message
from domain.matching.messages import BookChanged, OrderRested, OrderTerminated, TradeExecuted
from domain.matching.planning import Meeting, Plan, plan
from domain.matching.state import Market, MatchingState
from domain.orders.messages import CloseReason, OrderAccepted, OrderType, Side, TimeInForce

_BUY: Final = Side.BUY
_SELL: Final = Side.SELL
_LIMIT: Final = OrderType.LIMIT
_LIMIT_MAKER: Final = OrderType.LIMIT_MAKER
_GTC: Final = TimeInForce.GTC
_FOK: Final = TimeInForce.FOK
_FILLED: Final = CloseReason.FILLED


def place(state: MatchingState, order: OrderAccepted) -> list[Message]:
    """Trades with the end of each maker they fill, book changes, then exactly one first report."""
    market = state.markets.get(order.market_id)
    if market is None:
        return [terminated(order, CloseReason.UNKNOWN_MARKET, order.lots)]
    if market.halted:
        return [terminated(order, CloseReason.MARKET_HALTED, order.lots)]
    if market.revision != order.market_revision:
        return [terminated(order, CloseReason.STALE_RULES, order.lots)]
    book = market.book
    assert order.order_id not in book.orders, f"E6: order {order.order_id} is on the book already"
    if order.order_type is _LIMIT_MAKER:
        if book.would_take(order.side, order.price_ticks):
            return [terminated(order, CloseReason.WOULD_TAKE, order.lots)]
        return _rest(market, order, order.lots, market.book_seq + 1)
    return _take(market, order, plan(book, market.rules.tick, order))


def terminated(order: OrderAccepted, reason: CloseReason, remaining_lots: int) -> OrderTerminated:
    """The end of an order that never rested: its first report."""
    return OrderTerminated(
        order.command_id, order.order_id, order.market_id, reason, remaining_lots
    )


def _take(market: Market, order: OrderAccepted, planned: Plan) -> list[Message]:
    """The plan's trades and what becomes of the rest; nothing of both if FOK cannot be filled."""
    if order.time_in_force is _FOK and not planned.complete:
        return [terminated(order, CloseReason.FOK_NOT_FILLABLE, order.lots)]
    events: list[Message] = []
    book_seq = market.book_seq
    if planned.meetings:
        events = _trades(market, order, planned.meetings)
        changes = _level_changes(market, order, planned.meetings)
        events += changes
        book_seq += len(changes)
    if planned.complete:
        events.append(terminated(order, _FILLED, planned.remaining_lots))
    elif order.order_type is _LIMIT and order.time_in_force is _GTC:
        events += _rest(market, order, planned.remaining_lots, book_seq + 1)
    else:
        events.append(terminated(order, CloseReason.NO_LIQUIDITY, planned.remaining_lots))
    return events


def _trades(market: Market, order: OrderAccepted, meetings: list[Meeting]) -> list[Message]:
    """A trade for each meeting, at the maker's price, and the end of the maker if it is filled."""
    events: list[Message] = []
    sign = market.book.makers_for(order.side).sign
    market_id, trade_id = market.market_id, market.trades
    for maker, lots in meetings:
        assert (maker.price_ticks - order.price_ticks) * sign >= 0, (
            f"E4: order {order.order_id} is limited to {order.price_ticks}, met {maker.price_ticks}"
        )
        trade_id += 1
        left = maker.lots - lots
        events.append(
            TradeExecuted(
                market_id,
                trade_id,
                maker.price_ticks,
                lots,
                order.side,
                maker.order_id,
                order.order_id,
                left,
            )
        )
        if left == 0:
            events.append(OrderTerminated(b"", maker.order_id, market_id, _FILLED, 0))
    return events


def _level_changes(
    market: Market, order: OrderAccepted, meetings: list[Meeting]
) -> list[BookChanged]:
    """What each level that the order takes from has left, best price first."""
    makers = market.book.makers_for(order.side)
    left_at: dict[int, int] = {}
    for maker, lots in meetings:
        price_ticks = maker.price_ticks
        left = left_at.get(price_ticks)
        left_at[price_ticks] = (makers.lots_at(price_ticks) if left is None else left) - lots
    side = _SELL if order.side is _BUY else _BUY
    return [
        BookChanged(market.market_id, book_seq, side, price_ticks, left)
        for book_seq, (price_ticks, left) in enumerate(left_at.items(), market.book_seq + 1)
    ]


def _rest(market: Market, order: OrderAccepted, lots: int, book_seq: int) -> list[Message]:
    """The order's own level with `lots` more, then the report that they rest."""
    side, price_ticks = order.side, order.price_ticks
    at_price = market.book.side(side).lots_at(price_ticks) + lots
    return [
        BookChanged(market.market_id, book_seq, side, price_ticks, at_price),
        OrderRested(
            order.command_id,
            order.order_id,
            order.user_id,
            market.market_id,
            side,
            price_ticks,
            lots,
        ),
    ]
