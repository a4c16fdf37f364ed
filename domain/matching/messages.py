"""Messages of matching: what happened on the book, and what the ledgers must know of it."""

from dataclasses import dataclass

from domain.decider import Message, Outcome
from domain.orders.messages import CloseReason, Side


@dataclass(slots=True)
class TradeExecuted(Message):
    """Maker and taker met at the maker's price; goes to the ledger shards of both."""

    market_id: int
    trade_id: int
    price_ticks: int
    lots: int
    taker_side: Side
    maker_order_id: int
    taker_order_id: int
    maker_remaining_lots: int


@dataclass(slots=True)
class BookChanged(Message):
    """A price level now holds `lots` in all (0: it is gone); `book_seq` is gapless per market."""

    market_id: int
    book_seq: int
    side: Side
    price_ticks: int
    lots: int


@dataclass(slots=True)
class OrderRested(Outcome):
    """First report: what did not trade (`lots`) waits on the book."""

    order_id: int
    user_id: int
    market_id: int
    side: Side
    price_ticks: int
    lots: int


@dataclass(slots=True)
class OrderTerminated(Outcome):
    """The order ended; `remaining_lots` did not trade. For a cancel, `command_id` is the cancel's.

    It is the order's first report if the order never rested. `command_id` is empty when a resting
    order is filled by others.
    """

    order_id: int
    market_id: int
    reason: CloseReason
    remaining_lots: int


@dataclass(slots=True)
class CancelRefused(Outcome):
    """The order to cancel is not on the book (any more)."""

    order_id: int
    user_id: int
    market_id: int


@dataclass(slots=True)
class CancelAllCompleted(Outcome):
    """Answer to `CancelAllRequested`, after an `OrderTerminated` for each of `order_ids`."""

    user_id: int
    market_id: int
    order_ids: list[int]
