"""Answers to orders and cancels, field by field as Binance's clients read them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from commands.outcomes import Answer
from domain import money
from domain.matching.messages import OrderRested
from domain.orders.messages import (
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderType,
    TimeInForce,
)
from domain.reference import Market, ReferenceData
from infra.http.order_ends import closed_status

ToClientTime = Callable[[int], int]


@dataclass(slots=True, frozen=True)
class Placement:
    """What became of an accepted order so far. `report` is None where nobody waited for it.

    `changed_us`: the log time of its report if that came with fills, else of its acceptance.
    """

    accepted: OrderAccepted
    accepted_us: int
    changed_us: int
    fills: tuple[FillSettled, ...]
    report: OrderRested | OrderClosed | None


def placement(answer: Answer) -> Placement:
    """The answer to a `PlaceOrder` that was accepted."""
    first = answer.seen[0]
    assert isinstance(first.message, OrderAccepted), "an answer begins with the acceptance"
    report = answer.last if isinstance(answer.last, OrderRested | OrderClosed) else None
    fills = tuple([seen.message for seen in answer.seen if isinstance(seen.message, FillSettled)])
    changed_us = answer.seen[-1].time_us if fills else first.time_us
    return Placement(first.message, first.time_us, changed_us, fills, report)


def placed(
    order: Placement,
    response_type: str,
    market: Market,
    reference: ReferenceData,
    to_client: ToClientTime,
) -> dict[str, Any]:
    """ACK, RESULT or FULL of a new order.

    `transactTime` of an ACK is when it was accepted, else when it was last changed.
    """
    accepted, time = order.accepted, to_client(order.accepted_us)
    ack = {
        "symbol": market.symbol,
        "orderId": accepted.order_id,
        "orderListId": -1,
        "clientOrderId": accepted.client_order_id,
        "transactTime": time,
    }
    if response_type == "ACK":
        return ack
    filled_lots = order.fills[-1].filled_lots if order.fills else 0
    filled_quote = order.fills[-1].filled_quote if order.fills else 0
    result = ack | _order_fields(accepted, market, filled_lots, filled_quote)
    result |= {"status": _status(order.report, filled_lots), "workingTime": time}
    result["transactTime"] = to_client(order.changed_us)
    if response_type == "FULL":
        result["fills"] = [_fill(fill, market, reference) for fill in order.fills]
    return result


def canceled(
    closed: OrderClosed, cancel_client_id: str, market: Market, time: int
) -> dict[str, Any]:
    """The answer to a cancel; `time` is the log time of the close, in the client's unit."""
    fields = {
        "symbol": market.symbol,
        "origClientOrderId": closed.client_order_id,
        "orderId": closed.order_id,
        "orderListId": -1,
        "clientOrderId": cancel_client_id,
        "transactTime": time,
    }
    status = {"status": closed_status(closed.reason)}
    return fields | _order_fields(closed, market, closed.filled_lots, closed.filled_quote) | status


def _order_fields(
    order: OrderAccepted | OrderClosed, market: Market, filled_lots: int, filled_quote: int
) -> dict[str, Any]:
    """What all answers say of an order. Its collar price and time in force are nobody's concern."""
    is_market = order.order_type is OrderType.MARKET
    # An order by quote has no quantity of its own: it is what was traded.
    lots = filled_lots if order.quote_amount else order.lots
    time_in_force = TimeInForce.GTC if is_market else order.time_in_force
    quote_decimals = market.quote.decimals
    return {
        "price": _price(0 if is_market else order.price_ticks, market),
        "origQty": _quantity(lots, market),
        "executedQty": _quantity(filled_lots, market),
        "origQuoteOrderQty": money.format_amount(order.quote_amount, quote_decimals),
        "cummulativeQuoteQty": money.format_amount(filled_quote, quote_decimals),
        "timeInForce": time_in_force.name,
        "type": order.order_type.name,
        "side": order.side.name,
        "selfTradePreventionMode": "NONE",
    }


def _status(report: OrderRested | OrderClosed | None, filled_lots: int) -> str:
    if isinstance(report, OrderClosed):
        return closed_status(report.reason)
    return "PARTIALLY_FILLED" if filled_lots else "NEW"


def _fill(fill: FillSettled, market: Market, reference: ReferenceData) -> dict[str, Any]:
    received = reference.assets[fill.received_asset]
    return {
        "price": _price(fill.price_ticks, market),
        "qty": _quantity(fill.lots, market),
        "commission": money.format_amount(fill.fee_amount, received.decimals),
        "commissionAsset": received.code,
        "tradeId": fill.trade_id,
    }


def _price(price_ticks: int, market: Market) -> str:
    rules = market.rules
    return money.ticks_to_price(price_ticks, rules, market.base.decimals, market.quote.decimals)


def _quantity(lots: int, market: Market) -> str:
    return money.lots_to_quantity(lots, market.rules, market.base.decimals)
