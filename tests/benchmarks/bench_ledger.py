"""How many orders a second one ledger shard admits and settles.

Two users of one shard trade with each other: a SELL
rests, a BUY takes it, the book reports. An order counts when it is closed. Each message goes
through refuse, decide, evolve and destinations, as the host drives them.
"""

from collections.abc import Callable
from time import process_time

from domain.accounts.messages import LimitsChanged
from domain.decider import Message
from domain.ledger.messages import DepositCredited
from domain.limits import Limits
from domain.matching.messages import OrderRested, OrderTerminated, TradeExecuted
from domain.orders.messages import CloseReason, PlaceOrder, Side
from domain.orders.state import LedgerState
from tests.benchmarks.report import Effort, Figure, median_of, rates, when_compiled
from tests.domain.orders.tables import ANN, BOB, BTC, LEDGER, OPENED, USDT, given, place

ROUNDS = 10_000
FLOOR = 120_000
NO_LIMITS = Limits(1 << 40, 1 << 40, 1, 1)


def measure(effort: Effort) -> list[Figure]:
    """Orders per second, and microseconds by kind of message."""
    rounds = effort.count(ROUNDS, least=10)
    messages = script(rounds)

    def prepare() -> Callable[[], None]:
        state = shard()
        return lambda: run(state, messages, rounds)

    method = (
        f"ledger alone: {2 * rounds:,} orders of two users of one shard, each SELL rests and the "
        "next BUY takes it; each message through refuse, decide, evolve and destinations, without "
        "codec or log; per second of processor"
    )
    orders = rates(effort, 2 * rounds, prepare)
    floor = when_compiled(FLOOR)
    figures = [median_of("ledger alone", "orders/s", orders, method, floor=floor)]
    by_kind = [run_by_kind(shard(), messages) for _ in range(effort.runs)]
    for kind in by_kind[0]:
        spent = [times[kind] for times in by_kind]
        name = f"ledger, one {kind}"
        figures.append(median_of(name, "us", spent, method, least_is_best=True))
    return figures


def shard() -> LedgerState:
    """A shard whose two users are rich and unlimited."""
    return given(
        *OPENED,
        LimitsChanged(b"", NO_LIMITS),
        DepositCredited(b"", ANN, USDT, 1 << 60, "ann"),
        DepositCredited(b"", BOB, BTC, 1 << 60, "bob"),
    )


def script(rounds: int) -> list[tuple[str, Message]]:
    """What the shard hears in `rounds` meetings of two orders, with the sources."""
    messages: list[tuple[str, Message]] = []
    for number in range(1, rounds + 1):
        ask, bid = 4 * number - 2, 4 * number
        messages += [
            ("gw", _named(BOB, Side.SELL, 100, ask)),
            ("M1", OrderRested(b"", ask, BOB, 1, Side.SELL, 100, 10)),
            ("gw", _named(ANN, Side.BUY, 105, bid)),
            ("M1", TradeExecuted(1, number, 100, 10, Side.BUY, ask, bid, 0)),
            ("M1", OrderTerminated(b"", ask, 1, CloseReason.FILLED, 0)),
            ("M1", OrderTerminated(b"", bid, 1, CloseReason.FILLED, 0)),
        ]
    return messages


def _named(user_id: int, side: Side, price_ticks: int, order_id: int) -> PlaceOrder:
    return place(user_id, side, 10, price_ticks, client_order_id=f"order-{order_id}")


def run(state: LedgerState, messages: list[tuple[str, Message]], rounds: int) -> None:
    """Give the shard all of `messages`, and see that it closed the orders."""
    for source, message in messages:
        _step(state, source, message)
    assert (state.orders_accepted, len(state.orders)) == (2 * rounds, 0)


def run_by_kind(state: LedgerState, messages: list[tuple[str, Message]]) -> dict[str, float]:
    """Microseconds per message, by its type, the clock's own cost included."""
    spent: dict[str, float] = {}
    counts: dict[str, int] = {}
    for source, message in messages:
        start = process_time()
        _step(state, source, message)
        kind = type(message).__name__
        spent[kind] = spent.get(kind, 0.0) + process_time() - start
        counts[kind] = counts.get(kind, 0) + 1
    return {kind: spent[kind] / counts[kind] * 1e6 for kind in spent}


def _step(state: LedgerState, source: str, message: Message) -> None:
    refusal = LEDGER.refuse(state, source, message)
    assert not refusal, refusal
    for event in LEDGER.decide(state, message):
        LEDGER.evolve(state, event)
        LEDGER.destinations(state, event)
