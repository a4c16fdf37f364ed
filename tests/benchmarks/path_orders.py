"""Orders as bytes for the full path: a pattern that leaves the book as it found it, repeated.

Half of the orders rest (GTC) and half take (IOC), lot for lot, so that every order is accepted,
held, matched, settled and closed, and however long it runs some 3,000 orders rest. Encoding is done
once; each repetition gets command ids, client order ids and a deadline of its own.
"""

import random
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from librt.strings import BytesWriter

from domain.orders.messages import PlaceOrder, Side, TimeInForce
from schemas.primitives import write_long
from schemas.record import encode_message
from tests.benchmarks.opening import REFERENCE_TICKS, distance_ticks, limit_order

MARKET_ID = 1
RESTING = 3_000
PATTERN = 20_000
SEED = 1
USERS = 1_000
FLOW = (
    f"orders of {USERS:,} users in one market, half of them rest and half take (IOC) what rests, "
    f"1 to 100 lots each; some {RESTING:,} resting; seed {SEED}"
)

_ID = bytes(range(0xE0, 0xF0))
_CLIENT_ID = "~" * 12
_DEADLINE_US = 1 << 50
FIRST_ID = 1 << 64
"""Command ids from here on are orders'; those of operators lie below."""


class Template(NamedTuple):
    """The bytes of an order around its command id, its deadline and its client order id."""

    head: bytes
    middle: bytes
    tail: bytes


class Orders:
    """An endless sequence of orders: first those that fill the book, then the pattern."""

    def __init__(self) -> None:
        rng = random.Random(SEED)
        makers = [(rng.choice((Side.BUY, Side.SELL)), rng.randint(1, 100)) for _ in range(PATTERN)]
        resting = [(Side(number % 2), 50) for number in range(RESTING)]
        self._opening = [_template(_maker(rng, *each)) for each in resting]
        self._pattern = list(_pattern(rng, makers))
        self._sent = 0

    def opening(self, deadline_us: int) -> list[bytes]:
        """The orders that fill the book, each at a price of its own choice."""
        return self._take(iter(self._opening), deadline_us)

    def next(self, count: int, deadline_us: int) -> list[bytes]:
        """The following `count` orders, encoded, to run until `deadline_us`."""
        first = (self._sent - len(self._opening)) % len(self._pattern)
        return self._take(islice(self._from(first), count), deadline_us)

    def _from(self, first: int) -> Iterator[Template]:
        yield from self._pattern[first:]
        while True:
            yield from self._pattern

    def _take(self, templates: Iterator[Template], deadline_us: int) -> list[bytes]:
        deadline = _long(deadline_us)
        number, taken = self._sent, []
        for head, middle, tail in templates:
            number += 1
            command_id = (FIRST_ID + number).to_bytes(16)
            client_id = b"%012d" % number
            taken.append(b"".join((head, command_id, deadline, middle, client_id, tail)))
        self._sent = number
        return taken


def _pattern(rng: random.Random, makers: list[tuple[Side, int]]) -> Iterator[Template]:
    """Makers and the takers of just as many lots, in turn, the takers in another order."""
    takers = [(Side.SELL if side is Side.BUY else Side.BUY, lots) for side, lots in makers]
    rng.shuffle(takers)
    for maker, taker in zip(makers, takers, strict=True):
        yield _template(_maker(rng, *maker))
        yield _template(_taker(rng, *taker))


def _maker(rng: random.Random, side: Side, lots: int) -> PlaceOrder:
    distance = distance_ticks(rng)
    price_ticks = REFERENCE_TICKS - distance if side is Side.BUY else REFERENCE_TICKS + distance
    return _order(rng, side, TimeInForce.GTC, price_ticks, lots)


def _taker(rng: random.Random, side: Side, lots: int) -> PlaceOrder:
    price_ticks = REFERENCE_TICKS + 600 if side is Side.BUY else REFERENCE_TICKS - 600
    return _order(rng, side, TimeInForce.IOC, price_ticks, lots)


def _order(
    rng: random.Random,
    side: Side,
    time_in_force: TimeInForce,
    price_ticks: int,
    lots: int,
) -> PlaceOrder:
    return limit_order(
        command_id=_ID,
        deadline_us=_DEADLINE_US,
        user_id=rng.randrange(USERS) + 1,
        market_id=MARKET_ID,
        client_order_id=_CLIENT_ID,
        side=side,
        time_in_force=time_in_force,
        price_ticks=price_ticks,
        lots=lots,
    )


def _template(order: PlaceOrder) -> Template:
    head, _, rest = encode_message(order).partition(_ID)
    between, _, tail = rest.partition(_CLIENT_ID.encode())
    deadline = _long(_DEADLINE_US)
    assert between.startswith(deadline), "the deadline must follow the command id"
    return Template(head, between.removeprefix(deadline), tail)


def _long(value: int) -> bytes:
    out = BytesWriter()
    write_long(out, value)
    return out.getvalue()
