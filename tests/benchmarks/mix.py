"""The standard mix of commands for one market, drawn from a seed, with some 3,000 resting orders.

49 % limit orders, 9 % IOC, 39 % cancels, 3 % cancel and new. Blocks of `BLOCK` commands belong in
turn to the orders of either of two ledgers, as a matching shard gets them in records.
"""

import random
from dataclasses import dataclass

from domain.matching.book import Book
from domain.orders.messages import Side
from tests.benchmarks.book_player import CANCEL, IOC, LIMIT, REPLACE, Command, play
from tests.benchmarks.opening import REFERENCE_TICKS, distance_ticks

SEED = 1
RESTING = 3_000
BLOCK = 100
LEDGERS = 2
USERS_PER_LEDGER = 500
MIDDLE_TICKS = REFERENCE_TICKS
WEIGHTS = (49, 9, 39, 3)
MIX = (
    "49 % limit, 9 % IOC, 39 % cancel, 3 % cancel and new; some 3,000 resting orders; 1,000 users; "
    "seed 1"
)


@dataclass(slots=True)
class Mix:
    """Commands that fill an empty book, and then those that keep it about as full."""

    opening: list[Command]
    commands: list[Command]


def user_of(order_id: int) -> int:
    """Who placed the order: one of 500 users of each ledger, in turn."""
    return (order_id // LEDGERS % USERS_PER_LEDGER + 1) * LEDGERS + order_id % LEDGERS


def draw(count: int, resting: int = RESTING, seed: int = SEED) -> Mix:
    """The mix with `count` commands."""
    rng = random.Random(seed)
    book = Book()
    opening = [_passive(rng, LIMIT, 0, _order_id(number)) for number in range(resting)]
    play(book, opening)
    alive: list[list[int]] = [[] for _ in range(LEDGERS)]
    for order_id in book.orders:
        alive[order_id % LEDGERS].append(order_id)
    commands: list[Command] = []
    for number in range(len(opening), len(opening) + count):
        kind = rng.choices((LIMIT, IOC, CANCEL, REPLACE), weights=WEIGHTS)[0]
        order_id = _order_id(number)
        own = alive[order_id % LEDGERS]
        canceled_id = _alive(rng, book, own) if kind >= CANCEL else 0
        # Limit orders that trade at once keep the number of resting orders where it is.
        taking = kind == IOC or (kind == LIMIT and len(book.orders) > resting)
        command = (_taking if taking else _passive)(rng, kind, canceled_id, order_id)
        play(book, [command])
        commands.append(command)
        if order_id in book.orders:
            own.append(order_id)
    return Mix(opening, commands)


def _order_id(number: int) -> int:
    return (number + 1) * LEDGERS + number // BLOCK % LEDGERS


def _passive(rng: random.Random, kind: int, canceled_id: int, order_id: int) -> Command:
    side = rng.choice((Side.BUY, Side.SELL))
    distance = distance_ticks(rng)
    price_ticks = MIDDLE_TICKS - distance if side is Side.BUY else MIDDLE_TICKS + distance
    return kind, canceled_id, order_id, side, price_ticks, rng.randint(1, 100)


def _taking(rng: random.Random, kind: int, canceled_id: int, order_id: int) -> Command:
    side = rng.choice((Side.BUY, Side.SELL))
    price_ticks = MIDDLE_TICKS + 20 if side is Side.BUY else MIDDLE_TICKS - 20
    return kind, canceled_id, order_id, side, price_ticks, rng.randint(1, 100)


def _alive(rng: random.Random, book: Book, alive: list[int]) -> int:
    """An order that is on the book, at random; those found gone are forgotten."""
    while True:
        index = rng.randrange(len(alive))
        order_id, alive[index] = alive[index], alive[-1]
        alive.pop()
        if order_id in book.orders:
            return order_id
