"""What answers told of orders' ends and fills, beside what the log says of them.

An answer comes with the report of matching, as its ledger has settled it: what an order took until
then is all that it ever takes, and an order that did not come to rest has ended with it. Answers
that tell less (`ACK`, or a double of a test) are not asked.
"""

from collections.abc import Iterable, Mapping
from fractions import Fraction
from typing import NamedTuple

from domain.decider import Message
from domain.orders.messages import FillSettled, Role
from infra.demo.seed import MARKETS
from tests.faults.load import BNBUSDT, Sent
from tests.integration.trader import units

LOT_UNITS = {
    each["symbol"]: int(Fraction(each["quantityStep"]) * 10**8) for each in (*MARKETS, BNBUSDT)
}
"""What a lot of each market is in units of 10^-8."""

STATUSES = {
    "FILLED": "FILLED",
    "CANCELED": "CANCELED",
    "NO_LIQUIDITY": "EXPIRED",
    "FOK_NOT_FILLABLE": "EXPIRED",
}
"""How an answer calls the end of an order, by the reason in the log; others are errors."""

RESTS = {"NEW", "PARTIALLY_FILLED"}
MAY_REST = {"rested", "FILLED", "CANCELED"}
"""What the log may say in the end of an order that came to rest."""

Ends = Mapping[int, tuple[str, int, int]]
"""By order, as `naive_views.orders` tells them: state, filled lots, filled quote."""


class Taken(NamedTuple):
    """What an order took as it was placed: fills, lots, quote."""

    fills: int = 0
    lots: int = 0
    quote: int = 0


def taken(events: Iterable[tuple[int, Message]]) -> Mapping[int, Taken]:
    """What each order took; one that took nothing is missing."""
    found: dict[int, Taken] = {}
    for _, event in events:
        if isinstance(event, FillSettled) and event.role is Role.TAKER:
            fills = found.get(event.order_id, Taken()).fills + 1
            found[event.order_id] = Taken(fills, event.filled_lots, event.filled_quote)
    return found


def placed_otherwise(name: str, sent: Sent, ends: Ends, took: Mapping[int, Taken]) -> Iterable[str]:
    """How an acknowledged order differs in the log from what its client was told."""
    told = sent.result
    if "status" not in told:
        return
    state, lots, quote = ends[told["orderId"]]
    at_once = took.get(told["orderId"], Taken())
    yield from _filled_otherwise(name, sent, at_once.lots, at_once.quote)
    if "fills" in told and len(told["fills"]) != at_once.fills:
        yield f"{name} was told {len(told['fills'])} fills, the log has {at_once.fills}"
    if told["status"] not in RESTS:
        if told["status"] != STATUSES.get(state) or (lots, quote) != at_once[1:]:
            yield f"{name} was told {told['status']}, in the log it is {(state, lots, quote)}"
    elif state not in MAY_REST or (told["status"] == "NEW") is bool(at_once.lots):
        yield f"{name} was told {told['status']}, in the log it is {(state, lots, quote)}"


def canceled_otherwise(name: str, sent: Sent, ends: Ends) -> Iterable[str]:
    """How the order of an acknowledged cancel ended, if not as its client was told."""
    if "status" not in sent.result:
        return
    state, lots, quote = ends.get(sent.order_id, ("unknown", 0, 0))
    if sent.result["status"] != STATUSES.get(state):
        yield f"{name} was told {sent.result['status']}, in the log its order is {state}"
    else:
        yield from _filled_otherwise(name, sent, lots, quote)


def _filled_otherwise(name: str, sent: Sent, lots: int, quote: int) -> Iterable[str]:
    told = tuple(units(sent.result[field]) for field in ("executedQty", "cummulativeQuoteQty"))
    wanted = (lots * LOT_UNITS[sent.symbol], quote)
    if told != wanted:
        yield f"{name} was told {told} executed and paid for, the log has {wanted}"
