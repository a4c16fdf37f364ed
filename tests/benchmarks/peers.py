"""Order books of others, from PyPI, behind the interface that the standard mix needs."""

import importlib
import logging
from importlib.metadata import version
from typing import Any, Protocol

from domain.orders.messages import Side
from tests.benchmarks.book_player import CANCEL, IOC, Command, Fill

PEERS = ("pyorderbook", "lightmatchingengine")


class Peer(Protocol):
    """A book that tells its fills; commands come one by one."""

    def place(self, order_id: int, side: Side, price_ticks: int, lots: int, ioc: bool) -> Any:
        """Match an order and let the rest wait unless `ioc`; what it says of its fills."""

    def cancel(self, order_id: int) -> None:
        """Take a resting order off."""

    def fills(self, told: Any) -> list[Fill]:
        """What `place` said, as ours."""


def open_peer(name: str) -> Peer:
    """A fresh book of that package; `ModuleNotFoundError` if it is not installed."""
    peers: dict[str, type[Any]] = {"pyorderbook": _PyOrderBook, "lightmatchingengine": _Light}
    found: Peer = peers[name]()
    return found


def name_and_version(name: str) -> str:
    """As a method names it."""
    return f"{name} {version(name)}"


def play(peer: Peer, commands: list[Command]) -> list[Any]:
    """Apply the commands; what the peer said of each order, to be read by `fills` afterwards."""
    told: list[Any] = []
    for kind, canceled_id, order_id, side, price_ticks, lots in commands:
        if kind >= CANCEL:
            peer.cancel(canceled_id)
            if kind == CANCEL:
                continue
        told.append(peer.place(order_id, side, price_ticks, lots, kind == IOC))
    return told


class _PyOrderBook:
    """pyorderbook: heaps of price levels, `Decimal` prices, an order's id is a UUID of its own."""

    def __init__(self) -> None:
        handlers = list(logging.getLogger().handlers)
        self._module = importlib.import_module("pyorderbook")
        # It sets up logging for the whole process when it is imported.
        for handler in set(logging.getLogger().handlers) - set(handlers):
            logging.getLogger().removeHandler(handler)
        self._book = self._module.Book()
        self._orders: dict[int, Any] = {}
        self._ids: dict[Any, int] = {}

    def place(self, order_id: int, side: Side, price_ticks: int, lots: int, ioc: bool) -> Any:
        make = self._module.bid if side is Side.BUY else self._module.ask
        order = make("BTCUSDT", price_ticks, lots)
        self._orders[order_id] = order
        self._ids[order.id] = order_id
        told = self._book.match(order)
        if ioc and order.quantity:
            self._book.cancel(order)
        return told

    def cancel(self, order_id: int) -> None:
        self._book.cancel(self._orders[order_id])

    def fills(self, told: Any) -> list[Fill]:
        return [
            (
                self._ids[trade.incoming_order_id],
                self._ids[trade.standing_order_id],
                int(trade.fill_price),
                trade.fill_quantity,
            )
            for trade in told.trades
        ]


class _Light:
    """lightmatchingengine: dicts of lists; the best price is searched among all of them."""

    def __init__(self) -> None:
        module = importlib.import_module("lightmatchingengine.lightmatchingengine")
        self._engine = module.LightMatchingEngine()
        self._theirs: dict[int, int] = {}
        self._ours: dict[int, int] = {}

    def place(self, order_id: int, side: Side, price_ticks: int, lots: int, ioc: bool) -> Any:
        order, trades = self._engine.add_order(
            "BTCUSDT", price_ticks, lots, 1 if side is Side.BUY else 2
        )
        self._theirs[order_id] = order.order_id
        self._ours[order.order_id] = order_id
        if ioc and order.leaves_qty:
            self._engine.cancel_order(order.order_id, "BTCUSDT")
        return order.order_id, trades

    def cancel(self, order_id: int) -> None:
        self._engine.cancel_order(self._theirs[order_id], "BTCUSDT")

    def fills(self, told: Any) -> list[Fill]:
        """It tells of the taker at each price too, which ours does not."""
        taker_id, trades = told
        return [
            (self._ours[taker_id], self._ours[trade.order_id], trade.trade_price, trade.trade_qty)
            for trade in trades
            if trade.order_id != taker_id
        ]
