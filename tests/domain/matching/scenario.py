"""Tests that read like the trade: a drawn book, an order, the events as lines, the book again.

A drawn book has a line per price, best ask lowest, and at a price the orders as `lots#id`, oldest
first:

    bid     | price | ask
            | 60010 | 3#1
            | 60000 | 5#2 2#3
    4#4     | 59990 |
"""

from domain.decider import Message
from domain.markets import ReferencePriceChanged
from domain.matching.book import BookSide
from domain.matching.messages import (
    BookChanged,
    CancelAllCompleted,
    CancelRefused,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.orders.messages import (
    CancelAllRequested,
    CancelRequested,
    CloseReason,
    OrderAccepted,
    Side,
)
from tests.domain.matching.shard import BUY, SELL, MemoryShard, accepted, owner

CANCEL_ID = b"c" * 16


class Scenario:
    """A market with a book; `when` remembers the events, `then` and `book` compare."""

    def __init__(self, drawn: str) -> None:
        self.shard = MemoryShard()
        self.shard.open_market(reference_price_ticks=60_000)
        self.events: list[Message] = []
        for order in _orders_of(drawn):
            self.shard.tell("L0", order)
        assert self.drawn() == _normal(drawn), "the drawn book is not one that can rest"

    def when(self, *messages: Message) -> "Scenario":
        """Tell the shard what the ledgers say."""
        self.events = []
        for message in messages:
            self.events += self.shard.tell("L0", message)
        return self

    def then(self, lines: str) -> "Scenario":
        """The events are these lines; reference prices are left out."""
        found = [line_of(e) for e in self.events if not isinstance(e, ReferencePriceChanged)]
        assert found == [" ".join(line.split()) for line in lines.strip().splitlines()]
        return self

    def book(self, drawn: str) -> None:
        """The book looks like this now, and so does one that went through a snapshot."""
        assert self.drawn() == _normal(drawn)
        self.shard.reload()
        assert self.drawn() == _normal(drawn)

    def drawn(self) -> list[tuple[str, int, str]]:
        """(bids, price, asks) per price, from the highest down."""
        book = self.shard.state.markets[1].book
        bids, asks = _sides(book.bids), _sides(book.asks)
        prices = sorted({*bids, *asks}, reverse=True)
        return [(bids.get(price, ""), price, asks.get(price, "")) for price in prices]


def given(drawn: str) -> Scenario:
    """A market whose book is as drawn."""
    return Scenario(drawn)


def cancel(order_id: int, user_id: int = 0) -> CancelRequested:
    return CancelRequested(CANCEL_ID, order_id, user_id or owner(order_id), 1)


def cancel_all(*order_ids: int) -> CancelAllRequested:
    return CancelAllRequested(CANCEL_ID, owner(order_ids[0]), 1, list(order_ids))


def line_of(event: Message) -> str:
    """An event as a line of a scenario."""
    match event:
        case TradeExecuted():
            return (
                f"trade {event.trade_id}: {event.lots} @ {event.price_ticks}, maker "
                f"{event.maker_order_id} keeps {event.maker_remaining_lots}"
            )
        case OrderTerminated():
            return f"{event.order_id} {event.reason.name} with {event.remaining_lots}"
        case OrderRested():
            return f"{event.order_id} rests {event.lots} @ {event.price_ticks}"
        case BookChanged():
            side = "bid" if event.side is BUY else "ask"
            return f"{side} {event.price_ticks}: {event.lots}"
        case CancelRefused():
            return f"cancel of {event.order_id} refused"
        case CancelAllCompleted():
            return f"canceled {event.order_ids}"
        case _:
            return type(event).__name__


def reasons(events: list[Message]) -> list[CloseReason]:
    """Why orders ended."""
    return [event.reason for event in events if isinstance(event, OrderTerminated)]


def _sides(side: BookSide) -> dict[int, str]:
    return {
        level.price_ticks: " ".join(f"{o.lots}#{o.order_id}" for o in level.orders())
        for level in side.best_first()
    }


def _normal(drawn: str) -> list[tuple[str, int, str]]:
    rows: list[tuple[str, int, str]] = []
    for line in drawn.strip().splitlines():
        bids, price, asks = (" ".join(cell.split()) for cell in line.split("|"))
        if price != "price":
            rows.append((bids, int(price), asks))
    return rows


def _orders_of(drawn: str) -> list[OrderAccepted]:
    orders: list[OrderAccepted] = []
    for bids, price, asks in _normal(drawn):
        for side, cell in ((BUY, bids), (SELL, asks)):
            orders += [_order_of(side, price, entry) for entry in cell.split()]
    return orders


def _order_of(side: Side, price: int, entry: str) -> OrderAccepted:
    lots, order_id = entry.split("#")
    return accepted(int(order_id), side, lots=int(lots), at=price)
