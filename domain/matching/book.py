"""The order book of one market: price-time priority, best price at once, nothing left behind.

A side of the book keeps its price levels by *rank*, the price with the sign that makes the better
price the greater rank. So both sides run the same code: the best level is the last of the sorted
ranks, and a taker meets ranks from there down to its limit's.

The orders at a price are linked to each other, so that one in the middle leaves in a few steps
whatever the length of the queue, and a walk needs no table; compiled, this takes a third less time
than an `OrderedDict` of them. `tests/oracles/naive_book.py` is the obvious form.
"""

from collections.abc import Iterator
from typing import Final

from domain.orders.messages import Side

_BUY: Final = Side.BUY


class RestingOrder:
    """An order that waits on the book; `lots` is what has not traded yet.

    `level` is where it stands, `older` and `newer` are its neighbors there. Whoever leaves is let
    go by its neighbors at once, so that no reference cycle outlives an order.
    """

    __slots__ = ("level", "lots", "newer", "older", "order_id", "price_ticks", "side", "user_id")

    def __init__(
        self, order_id: int, user_id: int, side: Side, price_ticks: int, lots: int
    ) -> None:
        self.order_id = order_id
        self.user_id = user_id
        self.side = side
        self.price_ticks = price_ticks
        self.lots = lots
        self.level: PriceLevel | None = None
        self.older: RestingOrder | None = None
        self.newer: RestingOrder | None = None


class PriceLevel:
    """The orders of one side at one price, and the lots of all of them.

    `oldest` trades first; from there it goes on by `newer`. A level on the book has an order.
    """

    __slots__ = ("lots", "newest", "oldest", "price_ticks")

    def __init__(self, price_ticks: int) -> None:
        self.price_ticks = price_ticks
        self.lots = 0
        self.oldest: RestingOrder | None = None
        self.newest: RestingOrder | None = None

    def orders(self) -> Iterator[RestingOrder]:
        """All orders at this price, oldest first."""
        order = self.oldest
        while order is not None:
            yield order
            order = order.newer

    def append(self, order: RestingOrder) -> None:
        """Put an order behind all others."""
        last = self.newest
        if last is None:
            self.oldest = order
        else:
            last.newer = order
            order.older = last
        self.newest = order
        order.level = self
        self.lots += order.lots

    def unlink(self, order: RestingOrder) -> None:
        """Take an order out from between its neighbors."""
        older, newer = order.older, order.newer
        if older is None:
            self.oldest = newer
        else:
            older.newer = newer
        if newer is None:
            self.newest = older
        else:
            newer.older = older
        order.level = order.older = order.newer = None
        self.lots -= order.lots


class BookSide:
    """One side's price levels: by rank, and the ranks in ascending order, the best one last.

    The rank of a price is `sign` times it.
    """

    __slots__ = ("levels", "ranks", "sign")

    def __init__(self, sign: int) -> None:
        self.sign = sign
        self.ranks: list[int] = []
        self.levels: dict[int, PriceLevel] = {}

    def best(self) -> PriceLevel | None:
        """The level that trades first; None if the side is empty."""
        return self.levels[self.ranks[-1]] if self.ranks else None

    def lots_at(self, price_ticks: int) -> int:
        """The lots of all orders at a price."""
        level = self.levels.get(price_ticks * self.sign)
        return 0 if level is None else level.lots

    def best_first(self) -> list[PriceLevel]:
        """All levels in the order in which they trade."""
        return [self.levels[rank] for rank in reversed(self.ranks)]


class Book:
    """Both sides of a market, and every resting order by id.

    The best price is found at once. Adding and removing cost a search in the sorted ranks if a
    level comes or goes, and nothing that grows with the book if not.
    """

    __slots__ = ("asks", "bids", "orders")

    def __init__(self) -> None:
        self.bids = BookSide(1)
        self.asks = BookSide(-1)
        self.orders: dict[int, RestingOrder] = {}

    def side(self, side: Side) -> BookSide:
        """The levels on which orders of `side` rest."""
        return self.bids if side is _BUY else self.asks

    def makers_for(self, taker_side: Side) -> BookSide:
        """The levels that a taker of `taker_side` trades with."""
        return self.asks if taker_side is _BUY else self.bids

    def would_take(self, taker_side: Side, price_ticks: int) -> bool:
        """Whether an order of this side and limit would trade at once."""
        makers = self.asks if taker_side is _BUY else self.bids
        return bool(makers.ranks) and makers.ranks[-1] >= price_ticks * makers.sign

    def is_crossed(self) -> bool:
        """Whether a bid is as high as an ask, so that two resting orders should have met."""
        bids, asks = self.bids.ranks, self.asks.ranks
        return bool(bids) and bool(asks) and bids[-1] >= -asks[-1]

    def add(self, order: RestingOrder) -> None:
        """Put an order last at its price. Its id must not be on the book, its lots be positive."""
        order_id = order.order_id
        assert order_id not in self.orders, f"E6: order {order_id} is on the book already"
        assert order.lots > 0, f"E3: order {order_id} must rest with lots, had {order.lots}"
        side = self.bids if order.side is _BUY else self.asks
        rank = order.price_ticks * side.sign
        level = side.levels.get(rank)
        if level is None:
            level = side.levels[rank] = PriceLevel(order.price_ticks)
            side.ranks.insert(_place_of(side.ranks, rank), rank)
        level.append(order)
        self.orders[order_id] = order

    def remove(self, order_id: int) -> RestingOrder:
        """Take an order off the book and return it; it must be there."""
        order = self.orders.pop(order_id)
        level = order.level
        assert level is not None, f"E6: order {order_id} stands at no price"
        level.unlink(order)
        if level.oldest is None:
            _drop_level(self.bids if order.side is _BUY else self.asks, level)
        return order

    def fill(self, order_id: int, lots: int) -> int:
        """Trade `lots` of a resting order; returns what it has left and removes it at 0."""
        order = self.orders[order_id]
        left = order.lots - lots
        assert lots > 0 <= left, f"E3: order {order_id} has {order.lots} lots, traded {lots}"
        if left == 0:
            self.remove(order_id)
            return 0
        level = order.level
        assert level is not None, f"E6: order {order_id} stands at no price"
        level.lots -= lots
        order.lots = left
        return left


def _drop_level(side: BookSide, level: PriceLevel) -> None:
    """Forget a level without orders; mostly it is the best one, which stands last."""
    assert level.lots == 0, f"E3: {level.lots} lots are left at {level.price_ticks} with no order"
    rank = level.price_ticks * side.sign
    del side.levels[rank]
    ranks = side.ranks
    if ranks[-1] == rank:
        ranks.pop()
    else:
        del ranks[_place_of(ranks, rank)]


def _place_of(ranks: list[int], rank: int) -> int:
    """How many of the ascending `ranks` are below `rank`: `bisect_left`, which compiles to C."""
    low, high = 0, len(ranks)
    while low < high:
        middle = (low + high) >> 1
        if ranks[middle] < rank:
            low = middle + 1
        else:
            high = middle
    return low
