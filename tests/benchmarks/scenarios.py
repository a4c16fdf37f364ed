"""Five hard days for one book, each drawn from a seed: its opening, and the commands to measure."""

import random
from collections.abc import Callable
from typing import NamedTuple

from domain.matching.book import Book
from domain.orders.messages import Side
from tests.benchmarks.book_player import CANCEL, IOC, LIMIT, Command, play
from tests.benchmarks.mix import MIDDLE_TICKS, SEED, Mix
from tests.benchmarks.opening import distance_ticks

BUY, SELL = Side.BUY, Side.SELL
DEEP_ORDERS, DEEP_TICKS = 30_000, 10_000
QUEUE_ORDERS = 100_000


class Scenario(NamedTuple):
    """How it is drawn, given how many commands, and what happens in it."""

    draw: Callable[[int], Mix]
    what: str


class _Draft:
    """Commands so far, on a book that says which orders are alive."""

    def __init__(self) -> None:
        self.rng = random.Random(SEED)
        self.commands: list[Command] = []
        self._book = Book()
        self._alive: list[int] = []
        self._ids = 0

    def place(self, side: Side, price_ticks: int, lots: int, kind: int = LIMIT) -> None:
        self._ids += 1
        self._do((kind, 0, self._ids, side, price_ticks, lots))
        if self._ids in self._book.orders:
            self._alive.append(self._ids)

    def cancel(self) -> None:
        """One of the resting orders at random; those found gone are forgotten."""
        while self._alive:
            index = self.rng.randrange(len(self._alive))
            order_id, self._alive[index] = self._alive[index], self._alive[-1]
            self._alive.pop()
            if order_id in self._book.orders:
                self._do((CANCEL, order_id, 0, BUY, 0, 0))
                return

    def passive(self, middle: int, distance: int) -> None:
        side = self.rng.choice((BUY, SELL))
        self.place(side, middle - distance if side is BUY else middle + distance, self.lots())

    def lots(self) -> int:
        return self.rng.randint(1, 100)

    def mix_from(self, opening: int) -> Mix:
        return Mix(self.commands[:opening], self.commands[opening:])

    def resting(self) -> int:
        return len(self._book.orders)

    def _do(self, command: Command) -> None:
        self.commands.append(command)
        play(self._book, [command])


def _opened(orders: int = 3_000) -> _Draft:
    draft = _Draft()
    for _ in range(orders):
        draft.passive(MIDDLE_TICKS, distance_ticks(draft.rng))
    return draft


def _normal(count: int) -> Mix:
    draft = _opened()
    opening, middle = len(draft.commands), MIDDLE_TICKS
    while len(draft.commands) < opening + count:
        if draft.rng.random() < 0.02:
            middle += draft.rng.choice((-1, 1))
        _trade(draft, middle)
    return draft.mix_from(opening)


def _trade(draft: _Draft, middle: int) -> None:
    """One command of a calm day; the number of resting orders stays about where it is."""
    drawn = draft.rng.random()
    if drawn < 0.40:
        draft.cancel()
    elif drawn < 0.91 and draft.resting() < 3_100:
        draft.passive(middle, distance_ticks(draft.rng))
    else:
        side = draft.rng.choice((BUY, SELL))
        draft.place(side, middle + 20 if side is BUY else middle - 20, draft.lots(), IOC)


def _flash_crash(count: int) -> Mix:
    """A quarter calm, a quarter falling by a fifth, a quarter back up, a quarter calm."""
    draft = _opened()
    opening, middle = len(draft.commands), MIDDLE_TICKS
    fall = MIDDLE_TICKS // 5
    while (done := len(draft.commands) - opening) < count:
        part = 4 * done / count
        middle = MIDDLE_TICKS - int(fall * max(0.0, 1.0 - abs(part - 2.0)))
        falling, rising = 1 <= part < 2, 2 <= part < 3
        if (falling or rising) and draft.rng.random() < 0.3:
            side = SELL if falling else BUY
            price_ticks = middle - 300 if falling else middle + 300
            draft.place(side, price_ticks, draft.rng.randint(500, 3_000), IOC)
        else:
            _trade(draft, middle)
    return draft.mix_from(opening)


def _one_sided_sweep(count: int) -> Mix:
    """Buyers take some ten orders at once again and again, sellers fill up above them."""
    draft = _opened()
    opening = len(draft.commands)
    while len(draft.commands) < opening + count:
        if draft.rng.random() < 0.09:
            draft.place(BUY, MIDDLE_TICKS + 500, draft.rng.randint(200, 800), IOC)
        else:
            draft.place(SELL, MIDDLE_TICKS + distance_ticks(draft.rng), draft.lots())
    return draft.mix_from(opening)


def _deep_book(count: int) -> Mix:
    """Thirty thousand orders on ten thousand prices; nine of ten commands are far from the top."""
    draft = _Draft()
    for _ in range(DEEP_ORDERS):
        draft.passive(MIDDLE_TICKS, draft.rng.randint(1, DEEP_TICKS // 2))
    opening = len(draft.commands)
    while len(draft.commands) < opening + count:
        drawn = draft.rng.random()
        if drawn < 0.45:
            draft.cancel()
        elif drawn < 0.90:
            draft.passive(MIDDLE_TICKS, draft.rng.randint(1, DEEP_TICKS // 2))
        else:
            side = draft.rng.choice((BUY, SELL))
            limit = MIDDLE_TICKS + 20 if side is BUY else MIDDLE_TICKS - 20
            draft.place(side, limit, draft.lots(), IOC)
    return draft.mix_from(opening)


def _long_queue(count: int) -> Mix:
    """A hundred thousand orders at one price: some join, some leave the middle, some are taken."""
    draft = _Draft()
    for _ in range(QUEUE_ORDERS):
        draft.place(BUY, MIDDLE_TICKS, draft.lots())
    opening = len(draft.commands)
    while len(draft.commands) < opening + count:
        drawn = draft.rng.random()
        if drawn < 0.4:
            draft.cancel()
        elif drawn < 0.8:
            draft.place(BUY, MIDDLE_TICKS, draft.lots())
        else:
            draft.place(SELL, MIDDLE_TICKS, draft.lots(), IOC)
    return draft.mix_from(opening)


SCENARIOS: dict[str, Scenario] = {
    "normal": Scenario(_normal, "3,000 resting, the middle wanders"),
    "flash crash": Scenario(_flash_crash, "down by a fifth and up, sweeps of 500 to 3,000 lots"),
    "one-sided sweep": Scenario(_one_sided_sweep, "buyers take some ten orders at once"),
    "deep book": Scenario(_deep_book, "30,000 orders on 10,000 prices, far adds and cancels"),
    "one long queue": Scenario(_long_queue, "100,000 orders at one price"),
}
