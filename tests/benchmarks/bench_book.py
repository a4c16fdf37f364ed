"""Commands per second of the order book alone.

A command is one call's worth of work at the book's own interface: plan, fill, add, remove.
"""

from collections.abc import Callable

from domain.matching.book import Book
from tests.benchmarks.mix import MIX, draw, play
from tests.benchmarks.report import Effort, Figure, median_of, rates

COMMANDS = 200_000
FLOOR = 500_000


def measure(effort: Effort) -> list[Figure]:
    """The book's rate."""
    count = effort.count(COMMANDS, least=100)
    mix = draw(count)

    def prepare() -> Callable[[], None]:
        book = Book()
        play(book, mix.opening)
        return lambda: play(book, mix.commands)

    method = f"book alone: {count:,} commands drawn beforehand ({MIX}), per second of processor"
    runs = rates(effort, count, prepare)
    return [median_of("book alone", "commands/s", runs, method, floor=FLOOR)]
