"""Plays commands on a book: fast, one by one under the clock, or with its fills told.

Typed as strictly as the core, so that it may be compiled with it: an interpreted loop around a
compiled book would measure the loop.
"""

from hashlib import blake2b
from time import perf_counter_ns

from domain.matching.book import Book, RestingOrder
from domain.matching.planning import plan_lots
from domain.orders.messages import Side

LIMIT, IOC, CANCEL, REPLACE = range(4)

Command = tuple[int, int, int, Side, int, int]
"""Kind, id of the order to cancel, id of the new order, its side, price in ticks, lots."""

Fill = tuple[int, int, int, int]
"""Taker's order id, maker's, price in ticks, lots."""


def play(book: Book, commands: list[Command]) -> None:
    """Apply the commands to the book."""
    for kind, canceled_id, order_id, side, price_ticks, lots in commands:
        if kind >= CANCEL:
            book.remove(canceled_id)
            if kind == CANCEL:
                continue
        for maker, traded in plan_lots(book, side, price_ticks, lots):
            book.fill(maker.order_id, traded)
            lots -= traded
        if lots and kind != IOC:
            book.add(RestingOrder(order_id, 1, side, price_ticks, lots))


def play_timed(book: Book, commands: list[Command]) -> list[int]:
    """As `play`; nanoseconds of each command, the clock's own cost included."""
    spent: list[int] = []
    for command in commands:
        one = [command]
        before = perf_counter_ns()
        play(book, one)
        spent.append(perf_counter_ns() - before)
    return spent


def play_told(book: Book, commands: list[Command]) -> list[Fill]:
    """As `play`; every fill in its order."""
    fills: list[Fill] = []
    for command in commands:
        kind, _, order_id, side, price_ticks, lots = command
        if kind != CANCEL:
            if kind == REPLACE:
                book.remove(command[1])
                command = (LIMIT, 0, order_id, side, price_ticks, lots)
            for maker, traded in plan_lots(book, side, price_ticks, lots):
                fills.append((order_id, maker.order_id, maker.price_ticks, traded))
        play(book, [command])
    return fills


def digest(fills: list[Fill]) -> str:
    """Sixteen hex digits that stand for these fills in this order."""
    text = "\n".join(",".join(map(str, fill)) for fill in fills)
    return blake2b(text.encode(), digest_size=8).hexdigest()
