"""Commands per second of the order book alone, on a seeded mix with about 3,000 resting orders.

Mix: 49 % limit, 9 % IOC, 39 % cancel, 3 % cancel and new. A command is one call's worth of work at
the book's own interface: plan, fill, add, remove. The list of commands is drawn beforehand.
Run: `python -m tests.benchmarks.bench_book [seed]`.
"""

import platform
import random
import statistics
import sys
from pathlib import Path
from time import perf_counter

from domain.matching.book import Book, RestingOrder
from domain.matching.planning import plan_lots
from domain.orders.messages import Side

COMMANDS = 200_000
RUNS = 5
RESTING = 3_000
MIDDLE_TICKS = 60_000
LIMIT, IOC, CANCEL, REPLACE = range(4)
Command = tuple[int, int, int, Side, int, int]
"""Kind, id of the order to cancel, id of the new order, its side, price in ticks, lots."""


def main() -> None:
    """Draw the mix, run it five times from the same book, print the median and the machine."""
    seed = int(sys.argv[1]) if len(sys.argv) > 1 else 1
    opening, commands = draw(random.Random(seed))
    rates: list[float] = []
    resting = 0
    for _ in range(RUNS):
        book = Book()
        run(book, opening)
        start = perf_counter()
        run(book, commands)
        rates.append(COMMANDS / (perf_counter() - start))
        resting = len(book.orders)
    levels = len(book.bids.ranks) + len(book.asks.ranks)
    print(
        f"book: {statistics.median(rates):,.0f} commands/s, median of {RUNS} runs of {COMMANDS:,}"
    )
    print(f"      from {min(rates):,.0f} to {max(rates):,.0f}; seed {seed}")
    print(f"      {resting:,} resting orders on {levels} levels at the end")
    print(f"      {machine()}")


def run(book: Book, commands: list[Command]) -> None:
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


def draw(rng: random.Random) -> tuple[list[Command], list[Command]]:
    """Commands that fill an empty book, and the mix that keeps it about as full."""
    book = Book()
    alive: list[int] = []
    opening = [_draw_passive(rng, LIMIT, 0, order_id) for order_id in range(1, RESTING + 1)]
    run(book, opening)
    alive.extend(book.orders)
    commands: list[Command] = []
    for order_id in range(RESTING + 1, RESTING + 1 + COMMANDS):
        kind = rng.choices((LIMIT, IOC, CANCEL, REPLACE), weights=(49, 9, 39, 3))[0]
        canceled_id = _draw_alive(rng, book, alive) if kind >= CANCEL else 0
        # Limit orders that trade at once keep the number of resting orders where it is.
        taking = kind == IOC or (kind == LIMIT and len(book.orders) > RESTING)
        drawn = _draw_taking if taking else _draw_passive
        command = drawn(rng, kind, canceled_id, order_id)
        run(book, [command])
        commands.append(command)
        if order_id in book.orders:
            alive.append(order_id)
    return opening, commands


def machine() -> str:
    """Processor, system and Python, in one line."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return f"{model}, {platform.system()} {platform.release()}, Python {platform.python_version()}"


def _draw_passive(rng: random.Random, kind: int, canceled_id: int, order_id: int) -> Command:
    side = rng.choice((Side.BUY, Side.SELL))
    distance = 1 + min(int(rng.expovariate(1 / 40)), 500)
    price_ticks = MIDDLE_TICKS - distance if side is Side.BUY else MIDDLE_TICKS + distance
    return kind, canceled_id, order_id, side, price_ticks, rng.randint(1, 100)


def _draw_taking(rng: random.Random, kind: int, canceled_id: int, order_id: int) -> Command:
    side = rng.choice((Side.BUY, Side.SELL))
    price_ticks = MIDDLE_TICKS + 20 if side is Side.BUY else MIDDLE_TICKS - 20
    return kind, canceled_id, order_id, side, price_ticks, rng.randint(1, 100)


def _draw_alive(rng: random.Random, book: Book, alive: list[int]) -> int:
    """An order that is on the book, at random; those found gone are forgotten."""
    while True:
        index = rng.randrange(len(alive))
        order_id, alive[index] = alive[index], alive[-1]
        alive.pop()
        if order_id in book.orders:
            return order_id


if __name__ == "__main__":
    main()
