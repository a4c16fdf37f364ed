"""Amounts as text: the one strict decimal grammar in, exact digits out, and the steps of a market.

Everything is integer arithmetic: text that does not say exactly a number of smallest units, of lots
or of ticks is refused with a sentence, and nothing is ever rounded.
"""

from typing import Final

from domain.markets import MarketRules

MAX_AMOUNT: Final = 1 << 62
"""No amount or notional that comes in goes beyond this, nor does an order that is alone with what
its shard has. A total may, by what fills later (docs/decisions/0028): balances have any length."""

MAX_TEXT: Final = 40
"""Characters of the longest number that is read."""

PLACES: Final = 8
"""Decimals with which prices and quantities are written, and the most with which they are read."""


class NumberRefused(ValueError):
    """A number in a text cannot be used; the message is a sentence that says why."""


class MalformedAmount(NumberRefused):
    """The text is no plain decimal number such as `0.5`."""


class TooPrecise(NumberRefused):
    """The number has more decimals than can be told apart."""


class OffStep(NumberRefused):
    """The number is no multiple of the step that its market or asset has."""


class TooLarge(NumberRefused):
    """The number is beyond `MAX_AMOUNT` smallest units, lots or ticks."""


def parse_amount(text: str, decimals: int) -> int:
    """The amount that `text` says, in smallest units of 10^-`decimals`; never negative.

    Raises `MalformedAmount`, `TooPrecise` (zeros beyond the precision are fine) or `TooLarge`.
    """
    digits, scale = _significant(text)
    if scale > decimals:
        raise TooPrecise(f"at most {decimals} decimals are wanted, was {text!r}")
    return _bounded(digits * 10 ** (decimals - scale), text)


def format_amount(units: int, decimals: int, places: int = PLACES) -> str:
    """`units` of 10^-`decimals` as a decimal number with `places` decimals, exact.

    More decimals are written where `places` are too few to say the amount.
    """
    sign = "-" if units < 0 else ""
    digits = str(abs(units)).rjust(decimals + 1, "0")
    whole, fraction = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
    while len(fraction) > places and fraction[-1] == "0":
        fraction = fraction[:-1]
    fraction = fraction.ljust(places, "0")
    return f"{sign}{whole}.{fraction}" if fraction else sign + whole


def price_to_ticks(text: str, rules: MarketRules, base_decimals: int, quote_decimals: int) -> int:
    """The price in `text`, quote per base, as a number of the market's ticks.

    Raises `MalformedAmount`, `TooPrecise` (more than 8 decimals), `OffStep` or `TooLarge`.
    """
    digits, scale = _writable(text)
    ticks, rest = divmod(
        digits * rules.lot * 10**quote_decimals, 10**scale * rules.tick * 10**base_decimals
    )
    if rest:
        step = ticks_to_price(1, rules, base_decimals, quote_decimals)
        raise OffStep(f"a price in steps of {step} is wanted, was {text!r}")
    return _bounded(ticks, text)


def ticks_to_price(
    price_ticks: int, rules: MarketRules, base_decimals: int, quote_decimals: int
) -> str:
    """The price of `price_ticks`, quote per base, with 8 decimals.

    Raises `OffStep` if 8 decimals cannot say it: see `is_writable`.
    """
    units, rest = divmod(
        price_ticks * rules.tick * 10 ** (base_decimals + PLACES), rules.lot * 10**quote_decimals
    )
    if rest:
        raise OffStep(f"a price of at most {PLACES} decimals is wanted, was {price_ticks} ticks")
    return format_amount(units, PLACES)


def quantity_to_lots(text: str, rules: MarketRules, base_decimals: int) -> int:
    """The quantity in `text`, in base, as a number of the market's lots.

    Raises `MalformedAmount`, `TooPrecise` (more than 8 decimals), `OffStep` or `TooLarge`.
    """
    digits, scale = _writable(text)
    lots, rest = divmod(digits * 10**base_decimals, 10**scale * rules.lot)
    if rest:
        step = lots_to_quantity(1, rules, base_decimals)
        raise OffStep(f"a quantity in steps of {step} is wanted, was {text!r}")
    return _bounded(lots, text)


def lots_to_quantity(lots: int, rules: MarketRules, base_decimals: int) -> str:
    """The quantity of `lots`, in base, exact, with 8 decimals or as many more as it needs."""
    return format_amount(lots * rules.lot, base_decimals)


def is_writable(rules: MarketRules, base_decimals: int, quote_decimals: int) -> bool:
    """Whether 8 decimals say every price and quantity of a market with these rules exactly."""
    if rules.lot < 1 or rules.tick < 1:
        return False
    price_rest: int = rules.tick * 10 ** (base_decimals + PLACES) % (rules.lot * 10**quote_decimals)
    quantity_rest: int = rules.lot * 10**PLACES % 10**base_decimals
    return price_rest == 0 and quantity_rest == 0


def steps_to_lot_and_tick(
    *, quantity_step: str, price_step: str, base_decimals: int, quote_decimals: int
) -> tuple[int, int]:
    """A market's lot (base units) and tick (quote units per lot and price step) from human steps.

    Raises `OffStep` if a step is 0 or does not come to a whole number of units, and like
    `price_to_ticks` for the numbers themselves.
    """
    quantity, quantity_scale = _writable(quantity_step)
    price, price_scale = _writable(price_step)
    if quantity == 0 or price == 0:
        raise OffStep(f"steps above 0 are wanted, were {quantity_step!r} and {price_step!r}")
    lot, rest = divmod(quantity * 10**base_decimals, 10**quantity_scale)
    if rest:
        raise OffStep(f"a quantity step of whole base units is wanted, was {quantity_step!r}")
    tick, rest = divmod(quantity * price * 10**quote_decimals, 10 ** (quantity_scale + price_scale))
    if rest:
        raise OffStep(
            "quantity step times price step must come to whole quote units, "
            f"were {quantity_step!r} and {price_step!r}"
        )
    return _bounded(lot, quantity_step), _bounded(tick, price_step)


def _writable(text: str) -> tuple[int, int]:
    """The number in `text` as (n, s), meaning n / 10^s, with s at most 8."""
    digits, scale = _significant(text)
    if scale > PLACES:
        raise TooPrecise(f"at most {PLACES} decimals are wanted, was {text!r}")
    return digits, scale


def _significant(text: str) -> tuple[int, int]:
    """The number in `text` as (n, s), meaning n / 10^s, without zeros at its end."""
    _check_grammar(text)
    whole, _, fraction = text.partition(".")
    fraction = fraction.rstrip("0")
    return int(whole + fraction), len(fraction)


def _check_grammar(text: str) -> None:
    """Raise `MalformedAmount` unless `text` is digits, with a point between digits if any."""
    if not text:
        raise MalformedAmount("a decimal number is wanted, was empty")
    if len(text) > MAX_TEXT:
        raise MalformedAmount(f"at most {MAX_TEXT} characters are wanted, were {len(text)}")
    if not text.isascii():
        raise MalformedAmount(f"only the digits 0 to 9 are wanted, was {text!r}")
    if text[0] in "+-":
        raise MalformedAmount(f"a number without a sign is wanted, was {text!r}")
    whole, point, fraction = text.partition(".")
    if point and not (whole and fraction):
        raise MalformedAmount(f"digits on both sides of the point are wanted, was {text!r}")
    if not (whole + fraction).isdigit():
        raise MalformedAmount(f"a plain decimal number is wanted, was {text!r}")
    if len(whole) > 1 and whole[0] == "0":
        raise MalformedAmount(f"a number without leading zeros is wanted, was {text!r}")


def _bounded(value: int, text: str) -> int:
    if value > MAX_AMOUNT:
        raise TooLarge(f"at most {MAX_AMOUNT} units are wanted, {text!r} is {value}")
    return value
