"""What an order would trade, found by a walk over the book that changes nothing."""

from collections.abc import Iterator

from domain.matching.book import Book, BookSide, RestingOrder
from domain.orders.messages import OrderAccepted, Side

Meeting = tuple[RestingOrder, int]
"""A maker, and how many of its lots the taker trades."""


class Plan:
    """The trades an order would make, in their order.

    `remaining_lots` is what would be left of its lots (0 for BUY by quote). `complete` says that
    the order would have nothing left to do: all lots traded, or, by quote, some traded and not one
    more fits into the quote amount. What trades nothing is never complete.
    """

    __slots__ = ("complete", "meetings", "remaining_lots")

    def __init__(self, meetings: list[Meeting], remaining_lots: int, complete: bool) -> None:
        self.meetings = meetings
        self.remaining_lots = remaining_lots
        self.complete = complete


def plan(book: Book, tick: int, order: OrderAccepted) -> Plan:
    """The trades of `order`, best price first and oldest order first; `tick` is the market's."""
    if order.quote_amount:
        return _plan_by_quote(book, tick, order)
    meetings = plan_lots(book, order.side, order.price_ticks, order.lots)
    remaining = order.lots
    for _, lots in meetings:
        remaining -= lots
    assert remaining >= 0, f"E3: order {order.order_id} would trade {-remaining} lots too many"
    return Plan(meetings, remaining, remaining == 0)


def plan_lots(book: Book, taker_side: Side, price_ticks: int, lots: int) -> list[Meeting]:
    """Whom a taker of `lots` meets at `price_ticks` or better."""
    makers = book.makers_for(taker_side)
    limit = price_ticks * makers.sign
    meetings: list[Meeting] = []
    for rank in reversed(makers.ranks):
        if rank < limit:
            break
        maker = makers.levels[rank].oldest
        while maker is not None:
            if lots <= maker.lots:
                meetings.append((maker, lots))
                return meetings
            meetings.append((maker, maker.lots))
            lots -= maker.lots
            maker = maker.newer
    return meetings


def _plan_by_quote(book: Book, tick: int, order: OrderAccepted) -> Plan:
    """Whole lots at makers' prices until the next one would exceed the quote amount.

    The next maker's price decides, never one behind it: nobody is passed over. A SELL has its
    own bound in lots besides; a BUY has none.
    """
    makers = book.makers_for(order.side)
    bounded = order.lots > 0
    quote_left, lots_left = order.quote_amount, order.lots
    meetings: list[Meeting] = []
    for maker in _makers_within(makers, order.price_ticks):
        lots = min(maker.lots, quote_left // (maker.price_ticks * tick))
        if bounded:
            lots = min(lots, lots_left)
        if lots:
            meetings.append((maker, lots))
            quote_left -= lots * maker.price_ticks * tick
        if bounded:
            lots_left -= lots
        if lots < maker.lots:
            return Plan(meetings, lots_left, bool(meetings))
    complete = quote_left == 0 or (bounded and lots_left == 0)
    return Plan(meetings, lots_left, complete)


def _makers_within(makers: BookSide, price_ticks: int) -> Iterator[RestingOrder]:
    """The makers at `price_ticks` or better, in the order in which they trade."""
    limit = price_ticks * makers.sign
    for rank in reversed(makers.ranks):
        if rank < limit:
            return
        yield from makers.levels[rank].orders()
