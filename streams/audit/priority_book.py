"""An order book of its own, to predict every trade: sorted lists, nothing shared with matching.

Each side is one sorted list of (price, best first; arrival; order id). The head of the list is
who trades next, which is price-time priority and no more.
"""

from bisect import bisect_left, insort
from dataclasses import dataclass, field

from domain.orders.messages import (
    CloseReason,
    OrderAccepted,
    OrderType,
    Side,
    TimeInForce,
)

Entry = tuple[int, int, int]
"""(price, negative for bids; arrival; order id): the smallest trades first."""


@dataclass(slots=True)
class Waiting:
    """An order on the book."""

    order_id: int
    user_id: int
    side: Side
    price_ticks: int
    lots: int
    arrival: int

    def entry(self) -> Entry:
        """Its place in the queue of its side."""
        price = -self.price_ticks if self.side == Side.BUY else self.price_ticks
        return (price, self.arrival, self.order_id)


@dataclass(slots=True)
class Outcome:
    """What must come of an order: (maker, price, lots, what the maker keeps), and its report.

    `reason` None: `lots_left` rest on the book.
    """

    trades: list[tuple[int, int, int, int]]
    reason: CloseReason | None
    lots_left: int


@dataclass(slots=True)
class PriorityBook:
    """The book of one market."""

    tick: int
    revision: int
    halted: bool = False
    arrivals: int = 0
    waiting: dict[int, Waiting] = field(default_factory=dict)
    bids: list[Entry] = field(default_factory=list)
    asks: list[Entry] = field(default_factory=list)

    def place(self, wish: OrderAccepted) -> Outcome:
        """Trade and rest as the order must, and say what came of it."""
        if self.halted:
            return Outcome([], CloseReason.MARKET_HALTED, wish.lots)
        if wish.market_revision != self.revision:
            return Outcome([], CloseReason.STALE_RULES, wish.lots)
        trades, lots_left, satisfied = self._meet(wish)
        if wish.order_type == OrderType.LIMIT_MAKER and self._would_take(wish):
            return Outcome([], CloseReason.WOULD_TAKE, wish.lots)
        if wish.time_in_force == TimeInForce.FOK and not satisfied:
            return Outcome([], CloseReason.FOK_NOT_FILLABLE, wish.lots)
        for maker_id, _, _, kept in trades:
            self.waiting[maker_id].lots = kept
            if kept == 0:
                self.remove(maker_id)
        if satisfied:
            return Outcome(trades, CloseReason.FILLED, lots_left)
        if wish.order_type == OrderType.MARKET or wish.time_in_force != TimeInForce.GTC:
            return Outcome(trades, CloseReason.NO_LIQUIDITY, lots_left)
        self._rest(wish, lots_left)
        return Outcome(trades, None, lots_left)

    def owned(self, order_id: int, user_id: int) -> Waiting | None:
        """The order if it is on the book and the user's."""
        order = self.waiting.get(order_id)
        return order if order is not None and order.user_id == user_id else None

    def remove(self, order_id: int) -> Waiting:
        """Take the order off the book."""
        order = self.waiting.pop(order_id)
        side = self.bids if order.side == Side.BUY else self.asks
        entry = order.entry()
        at = bisect_left(side, entry)
        assert side[at] == entry
        del side[at]
        return order

    def crossed(self) -> bool:
        """Whether the best bid is at or above the best ask."""
        return bool(self.bids) and bool(self.asks) and -self.bids[0][0] >= self.asks[0][0]

    def _others(self, wish: OrderAccepted) -> list[Entry]:
        return self.asks if wish.side == Side.BUY else self.bids

    def _limit(self, wish: OrderAccepted) -> int:
        return wish.price_ticks if wish.side == Side.BUY else -wish.price_ticks

    def _would_take(self, wish: OrderAccepted) -> bool:
        others = self._others(wish)
        return bool(others) and others[0][0] <= self._limit(wish)

    def _meet(self, wish: OrderAccepted) -> tuple[list[tuple[int, int, int, int]], int, bool]:
        """The trades in turn, the lots left, and whether the wish wants no more."""
        by_quote = wish.quote_amount > 0
        lots_left, quote_left = wish.lots, wish.quote_amount
        unbounded = wish.lots == 0
        trades = []
        limit = self._limit(wish)
        for price, _, maker_id in self._others(wish):
            if price > limit or (not unbounded and lots_left == 0):
                break
            maker = self.waiting[maker_id]
            cost = maker.price_ticks * self.tick
            lots = maker.lots if unbounded else min(maker.lots, lots_left)
            if by_quote:
                lots = min(lots, quote_left // cost)
                quote_left -= lots * cost
            if lots:
                trades.append((maker_id, maker.price_ticks, lots, maker.lots - lots))
            lots_left -= 0 if unbounded else lots
            if lots < maker.lots:
                return trades, lots_left, bool(trades)
        done = (not unbounded and lots_left == 0) or (by_quote and quote_left == 0)
        return trades, lots_left, done

    def _rest(self, wish: OrderAccepted, lots: int) -> None:
        self.arrivals += 1
        order = Waiting(
            wish.order_id, wish.user_id, wish.side, wish.price_ticks, lots, self.arrivals
        )
        self.waiting[wish.order_id] = order
        insort(self.bids if wish.side == Side.BUY else self.asks, order.entry())
