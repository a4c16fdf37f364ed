"""What cancels cause: each is answered exactly once, halted market or not."""

from collections.abc import Iterable

from domain.decider import Message
from domain.matching.book import Book, RestingOrder
from domain.matching.messages import (
    BookChanged,
    CancelAllCompleted,
    CancelRefused,
    OrderTerminated,
)
from domain.matching.state import Market, MatchingState
from domain.orders.messages import CancelAllRequested, CancelRequested, CloseReason, Side


def cancel(state: MatchingState, request: CancelRequested) -> list[Message]:
    """The level without the order, then its end as the answer; or that it is not on the book."""
    market = state.markets.get(request.market_id)
    order = None if market is None else _own_order(market.book, request.order_id, request.user_id)
    if market is None or order is None:
        return [refused(request)]
    level = order.level
    assert level is not None, f"E6: order {order.order_id} stands at no price"
    lots = level.lots - order.lots
    return [
        BookChanged(market.market_id, market.book_seq + 1, order.side, order.price_ticks, lots),
        _canceled(market, order, request.command_id),
    ]


def cancel_all(state: MatchingState, request: CancelAllRequested) -> list[Message]:
    """The end of each named order that is on the book, the levels they left, then the answer."""
    market = state.markets.get(request.market_id)
    if market is None:
        return [completed(request, [])]
    orders: dict[int, RestingOrder] = {}
    for order_id in request.order_ids:
        order = _own_order(market.book, order_id, request.user_id)
        if order is not None:
            orders[order_id] = order
    events: list[Message] = [
        _canceled(market, order, request.command_id) for order in orders.values()
    ]
    events += _level_changes(market, orders.values())
    events.append(completed(request, list(orders)))
    return events


def refused(request: CancelRequested) -> CancelRefused:
    """The answer to a cancel that found nothing."""
    return CancelRefused(request.command_id, request.order_id, request.user_id, request.market_id)


def completed(request: CancelAllRequested, order_ids: list[int]) -> CancelAllCompleted:
    """The answer to a cancel-all that ended `order_ids`."""
    return CancelAllCompleted(request.command_id, request.user_id, request.market_id, order_ids)


def _own_order(book: Book, order_id: int, user_id: int) -> RestingOrder | None:
    order = book.orders.get(order_id)
    return order if order is not None and order.user_id == user_id else None


def _canceled(market: Market, order: RestingOrder, command_id: bytes) -> OrderTerminated:
    return OrderTerminated(
        command_id, order.order_id, market.market_id, CloseReason.CANCELED, order.lots
    )


def _level_changes(market: Market, removed: Iterable[RestingOrder]) -> list[BookChanged]:
    """What each level that loses orders has left, in the order in which they are met."""
    left_at: dict[tuple[Side, int], int] = {}
    for order in removed:
        key = (order.side, order.price_ticks)
        left = left_at.get(key)
        if left is None:
            left = market.book.side(order.side).lots_at(order.price_ticks)
        left_at[key] = left - order.lots
    return [
        BookChanged(market.market_id, book_seq, side, price_ticks, left)
        for book_seq, ((side, price_ticks), left) in enumerate(left_at.items(), market.book_seq + 1)
    ]
