"""A market's filters, as the public interface publishes them: what an order must keep to."""

from typing import Final

from domain.fees import PPM
from domain.markets import MarketRules
from domain.orders.messages import OrderReason, OrderType, PlaceOrder, Side
from domain.orders.state import Market

_BUY: Final = Side.BUY
_MARKET: Final = OrderType.MARKET


def filter_failure(
    order: PlaceOrder, market: Market, *, price_ticks: int, lots: int
) -> OrderReason | None:
    """The first filter that the order fails, in order of precedence; None if it passes all.

    `price_ticks` is the limit or the collar, `lots` the quantity (0 for BUY by quote).
    """
    rules, reference = market.rules, market.reference_price_ticks
    reason = _bounds_failure(order, rules, price_ticks, lots)
    if reason is not None:
        return reason
    if order.order_type is not _MARKET:
        if _outside_percent_price(order.side, rules, price_ticks, reference):
            return OrderReason.PERCENT_PRICE_BY_SIDE
        notional = price_ticks * lots * rules.tick
    else:
        notional = order.quote_amount or reference * lots * rules.tick
    return _notional_failure(rules, notional)


def fixed_filter_failure(order: PlaceOrder, rules: MarketRules) -> OrderReason | None:
    """The first filter that the order fails at any reference price.

    None if it fails none of them, or if that price decides.
    """
    reason = _bounds_failure(order, rules, order.price_ticks, order.lots)
    if reason is not None or (order.order_type is _MARKET and order.quote_amount == 0):
        return reason
    notional = order.quote_amount or order.price_ticks * order.lots * rules.tick
    return _notional_failure(rules, notional)


def collar_price_ticks(side: Side, market: Market) -> int:
    """The worst price that a MARKET order may trade at: the reference price ± the collar.

    Rounded to a whole tick toward the reference price, and kept inside the price filter.
    """
    rules, reference = market.rules, market.reference_price_ticks
    if side is _BUY:
        price = reference * (PPM + rules.collar_ppm) // PPM
    else:
        price = -(-reference * (PPM - rules.collar_ppm) // PPM)
    return max(rules.min_price_ticks, min(price, rules.max_price_ticks))


def _bounds_failure(
    order: PlaceOrder, rules: MarketRules, price_ticks: int, lots: int
) -> OrderReason | None:
    """What is wrong with price or lots by themselves; lots of 0 are not known if by quote."""
    if order.order_type is not _MARKET:
        if not rules.min_price_ticks <= price_ticks <= rules.max_price_ticks:
            return OrderReason.PRICE_FILTER
        if not rules.min_lots <= lots <= rules.max_lots:
            return OrderReason.LOT_SIZE
    elif lots != 0 or order.quote_amount == 0:
        if not rules.min_lots <= lots <= rules.max_lots:
            return OrderReason.LOT_SIZE
        if not rules.market_min_lots <= lots <= rules.market_max_lots:
            return OrderReason.MARKET_LOT_SIZE
    return None


def _notional_failure(rules: MarketRules, notional: int) -> OrderReason | None:
    inside = rules.min_notional <= notional <= rules.max_notional
    return None if inside else OrderReason.NOTIONAL


def _outside_percent_price(
    side: Side, rules: MarketRules, price_ticks: int, reference_price_ticks: int
) -> bool:
    """Whether a limit is too far from the reference price for its side."""
    if side is _BUY:
        down_ppm, up_ppm = rules.bid_down_ppm, rules.bid_up_ppm
    else:
        down_ppm, up_ppm = rules.ask_down_ppm, rules.ask_up_ppm
    scaled = price_ticks * PPM
    return not reference_price_ticks * down_ppm <= scaled <= reference_price_ticks * up_ppm
