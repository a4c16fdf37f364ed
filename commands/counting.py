"""In which lots and ticks an order is counted: its market's, or those of before they changed."""

from fractions import Fraction

from commands.outcomes import Answer
from domain.orders.messages import (
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    OrderType,
    PlaceOrder,
)
from domain.reference import Market, ReferenceData
from infra.http import errors

REPEATED_US = 180_000_000
"""Longer than any command is remembered that came before: 60 s past a deadline a minute later."""


def former_markets(reference: ReferenceData, symbol: str, now_us: int) -> list[Market]:
    """The market in each former lot and tick in which a repeated order may have run."""
    market = reference.market(symbol)
    return [] if market is None else market.counted_since(now_us - REPEATED_US)


def market_of(order: PlaceOrder | OrderAccepted, reference: ReferenceData) -> Market:
    """The order's market, in the lot and tick in which the order is counted.

    Raises -1007 if they are not known here, or no more: in others all its numbers would be wrong.
    """
    market = reference.markets[order.market_id].counted_by(order.market_revision)
    if market is None:
        raise errors.outcome_unknown()
    return market


def market_of_canceled(closed: OrderClosed, answer: Answer, reference: ReferenceData) -> Market:
    """The same of an order that a cancel has ended: it does not tell its revision.

    What is canceled now is of now, since lot and tick change in an empty market only. What was
    canceled before tells when it was accepted: nothing was, around each change.
    """
    market = reference.markets[closed.market_id]
    return market.counted_at(closed.accepted_time_us) if answer.repeated else market


def is_same_order(order: PlaceOrder, answer: Answer, reference: ReferenceData) -> bool:
    """Whether the order that ran was the same, as far as its outcome tells; raises as above."""
    first = answer.seen[0].message
    if isinstance(first, OrderRejected):
        return (first.market_id, first.client_order_id) == (order.market_id, order.client_order_id)
    assert isinstance(first, OrderAccepted), "an order's outcome begins with its acceptance"
    if not _is_alike(order, first):
        return False
    is_market, by_quote = order.order_type is OrderType.MARKET, order.quote_amount != 0
    price, quantity = _numbers(order, reference)
    first_price, first_quantity = _numbers(first, reference)
    # The collar of a MARKET order and the lots of one by quote are the ledger's.
    return (is_market or price == first_price) and (by_quote or quantity == first_quantity)


def _is_alike(order: PlaceOrder, first: OrderAccepted) -> bool:
    """Whether all is the same that is not counted in lots and ticks."""
    return (
        (first.market_id, first.client_order_id, first.side, first.order_type)
        == (order.market_id, order.client_order_id, order.side, order.order_type)
        and first.time_in_force is order.time_in_force
        and first.quote_amount == order.quote_amount
    )


def _numbers(order: PlaceOrder | OrderAccepted, reference: ReferenceData) -> tuple[Fraction, int]:
    """Price, in quote units per base unit, and quantity, in base units."""
    rules = market_of(order, reference).rules
    return Fraction(order.price_ticks * rules.tick, rules.lot), order.lots * rules.lot
