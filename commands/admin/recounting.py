"""A market's bounds in other lots and ticks, where these can say them."""

from dataclasses import replace

from commands.admin.fields import Fields
from domain.markets import MarketRules
from domain.money import MAX_AMOUNT
from infra.http.errors import ApiError

PRICES = {"min_price_ticks": "minPrice", "max_price_ticks": "maxPrice"}
"""What counts in ticks, by the field that says it."""

LOTS = {
    "min_lots": "minQuantity",
    "max_lots": "maxQuantity",
    "market_min_lots": "marketMinQuantity",
    "market_max_lots": "marketMaxQuantity",
}
"""What counts in lots, likewise."""

_PLAIN = {"market_min_lots": "min_lots", "market_max_lots": "max_lots"}
"""Bounds of MARKET orders, and the bounds of all orders that they have without one of their own."""


def recounted(fields: Fields, rules: MarketRules, *, lot: int, tick: int) -> MarketRules:
    """`rules` in another `lot` or `tick`: prices and quantities are the same in human numbers.

    A bound of which the new steps are no divisor is 0, and must come from the fields, as must the
    reference price, of which matching alone knows the present one. Raises -1102 with all that are
    missing.
    """
    new = replace(rules, lot=lot, tick=tick)
    prices = {name: _price_ticks(getattr(rules, name), rules, new) for name in PRICES}
    lots = {name: _lots(getattr(rules, name), rules, new) for name in LOTS}
    new = replace(new, **prices, **lots)
    wanted = [
        field
        for name, field in (PRICES | LOTS).items()
        if getattr(new, name) == 0 and not _follows(rules, name)
    ]
    missing = [
        field for field in ("referencePrice", *wanted) if fields.optional_text(field) is None
    ]
    if missing:
        listed = ", ".join(missing)
        raise ApiError(400, -1102, f"Other steps need these fields anew: {listed}.")
    return new


def _price_ticks(price_ticks: int, old: MarketRules, new: MarketRules) -> int:
    return _whole(price_ticks * old.tick * new.lot, old.lot * new.tick)


def _lots(lots: int, old: MarketRules, new: MarketRules) -> int:
    return _whole(lots * old.lot, new.lot)


def _whole(units: int, step: int) -> int:
    """How many steps `units` are; 0 if that is no whole number, or one that is too large."""
    steps, rest = divmod(units, step)
    return 0 if rest or steps > MAX_AMOUNT else steps


def _follows(rules: MarketRules, name: str) -> bool:
    """Whether the bound is one of MARKET orders that goes with the bound of all orders."""
    plain = _PLAIN.get(name)
    return plain is not None and bool(getattr(rules, name) == getattr(rules, plain))
