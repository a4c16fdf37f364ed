"""Amounts, prices and quantities as text: exact, or refused with a sentence."""

from dataclasses import replace
from fractions import Fraction

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.markets import MarketRules
from domain.money import (
    MAX_AMOUNT,
    MalformedAmount,
    NumberRefused,
    OffStep,
    TooLarge,
    TooPrecise,
    format_amount,
    is_writable,
    lots_to_quantity,
    parse_amount,
    price_to_ticks,
    quantity_to_lots,
    steps_to_lot_and_tick,
    ticks_to_price,
)

# 0.001 BTC a lot and 0.01 USDT a tick, both assets with 8 decimals.
BTCUSDT = MarketRules(
    base_asset=1,
    quote_asset=2,
    lot=100_000,
    tick=1_000,
    min_price_ticks=1,
    max_price_ticks=10**9,
    min_lots=1,
    max_lots=10**9,
    market_min_lots=1,
    market_max_lots=10**9,
    min_notional=0,
    max_notional=MAX_AMOUNT,
    bid_up_ppm=5_000_000,
    bid_down_ppm=200_000,
    ask_up_ppm=5_000_000,
    ask_down_ppm=200_000,
    collar_ppm=50_000,
    max_open_orders=200,
)


@pytest.mark.parametrize(
    ("text", "decimals", "units"),
    [
        ("0", 8, 0),
        ("0.0", 8, 0),
        ("1", 8, 100_000_000),
        ("1.0", 8, 100_000_000),
        ("0.5", 8, 50_000_000),
        ("0.00000001", 8, 1),
        ("0.000000010000", 8, 1),
        ("10", 0, 10),
        ("10.000", 0, 10),
        ("1.000000000000000001", 18, 10**18 + 1),
        ("46116860184.27387904", 8, MAX_AMOUNT),
        ("0.00000000000000000000000000000000000000", 8, 0),
    ],
)
def test_plain_numbers_are_read_exactly(text, decimals, units):
    assert parse_amount(text, decimals) == units


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ("", MalformedAmount, "was empty"),
        ("NaN", MalformedAmount, "a plain decimal number is wanted, was 'NaN'"),
        ("Infinity", MalformedAmount, "a plain decimal number is wanted"),
        ("-Infinity", MalformedAmount, "without a sign"),
        ("1e5", MalformedAmount, "a plain decimal number is wanted, was '1e5'"),
        ("1E-5", MalformedAmount, "a plain decimal number"),
        ("0x10", MalformedAmount, "a plain decimal number"),
        ("1_000", MalformedAmount, "a plain decimal number"),
        ("1,5", MalformedAmount, "a plain decimal number"),
        ("1.2.3", MalformedAmount, "a plain decimal number"),
        ("1.-2", MalformedAmount, "a plain decimal number"),
        (" 1", MalformedAmount, "a plain decimal number is wanted, was ' 1'"),
        ("1 ", MalformedAmount, "a plain decimal number"),
        ("1\n", MalformedAmount, "a plain decimal number"),
        ("1\x00", MalformedAmount, "a plain decimal number"),
        ("١", MalformedAmount, "only the digits 0 to 9"),
        ("²", MalformedAmount, "only the digits 0 to 9"),
        ("-0", MalformedAmount, "without a sign is wanted, was '-0'"),
        ("-1", MalformedAmount, "without a sign"),
        ("+1", MalformedAmount, "without a sign"),
        (".5", MalformedAmount, "both sides of the point"),
        ("1.", MalformedAmount, "both sides of the point"),
        (".", MalformedAmount, "both sides of the point"),
        ("01", MalformedAmount, "without leading zeros"),
        ("00.1", MalformedAmount, "without leading zeros"),
        ("0.123456789", TooPrecise, "at most 8 decimals are wanted, was '0.123456789'"),
        ("0.1234567890123456789", TooPrecise, "at most 8 decimals"),
        ("0." + "1" * 39, MalformedAmount, "at most 40 characters are wanted, were 41"),
        ("9" * 5_000, MalformedAmount, "at most 40 characters are wanted, were 5000"),
        ("46116860184.27387905", TooLarge, f"at most {MAX_AMOUNT} units"),
        ("9" * 40, TooLarge, f"at most {MAX_AMOUNT} units"),
    ],
)
def test_anything_else_is_refused_with_a_sentence(text, kind, sentence):
    with pytest.raises(kind) as refusal:
        parse_amount(text, 8)
    assert sentence in str(refusal.value)
    assert isinstance(refusal.value, NumberRefused)


@pytest.mark.parametrize(
    ("units", "decimals", "places", "text"),
    [
        (0, 8, 8, "0.00000000"),
        (1, 8, 8, "0.00000001"),
        (-1, 8, 8, "-0.00000001"),
        (-150_000_000, 8, 8, "-1.50000000"),
        (5, 0, 8, "5.00000000"),
        (5, 0, 0, "5"),
        (123, 2, 8, "1.23000000"),
        (10**18, 18, 8, "1.00000000"),
        (10**18 + 1, 18, 8, "1.000000000000000001"),
        (120, 2, 0, "1.2"),
        (100, 2, 0, "1"),
        (MAX_AMOUNT, 8, 8, "46116860184.27387904"),
    ],
)
def test_amounts_are_written_exactly(units, decimals, places, text):
    assert format_amount(units, decimals, places) == text


@given(units=st.integers(0, MAX_AMOUNT), decimals=st.integers(0, 18), places=st.integers(0, 18))
def test_an_amount_survives_being_written_and_read(units, decimals, places):
    text = format_amount(units, decimals, places)
    assert parse_amount(text, decimals) == units
    assert Fraction(text) == Fraction(units, 10**decimals)
    assert len(text.partition(".")[2]) >= places


@given(
    text=st.from_regex(r"(0|[1-9][0-9]{0,20})(\.[0-9]{1,18})?", fullmatch=True),
    decimals=st.integers(0, 18),
)
def test_reading_agrees_with_fractions(text, decimals):
    exact = Fraction(text) * 10**decimals
    if exact.denominator != 1:
        with pytest.raises(TooPrecise):
            parse_amount(text, decimals)
    elif exact > MAX_AMOUNT:
        with pytest.raises(TooLarge):
            parse_amount(text, decimals)
    else:
        assert parse_amount(text, decimals) == exact


@given(text=st.text(max_size=50))
def test_any_text_is_a_number_or_refused(text):
    try:
        units = parse_amount(text, 8)
    except NumberRefused:
        return
    assert set(text) <= set("0123456789.")
    assert units == Fraction(text) * 10**8


def test_prices_and_quantities_of_a_market():
    assert price_to_ticks("60000.01", BTCUSDT, 8, 8) == 6_000_001
    assert ticks_to_price(6_000_001, BTCUSDT, 8, 8) == "60000.01000000"
    assert quantity_to_lots("1.5", BTCUSDT, 8) == 1_500
    assert lots_to_quantity(1_500, BTCUSDT, 8) == "1.50000000"
    assert price_to_ticks("0", BTCUSDT, 8, 8) == 0


def test_off_step_prices_and_quantities_name_the_step():
    with pytest.raises(OffStep, match=r"a price in steps of 0\.01000000 is wanted, was '1\.001'"):
        price_to_ticks("1.001", BTCUSDT, 8, 8)
    with pytest.raises(OffStep, match=r"a quantity in steps of 0\.00100000 is wanted"):
        quantity_to_lots("0.0015", BTCUSDT, 8)


def test_more_than_8_decimals_are_too_precise_whatever_the_asset_has():
    with pytest.raises(TooPrecise, match="at most 8 decimals"):
        price_to_ticks("1.000000001", BTCUSDT, 18, 18)
    with pytest.raises(TooPrecise, match="at most 8 decimals"):
        quantity_to_lots("1.000000001", BTCUSDT, 18)
    assert quantity_to_lots("1.0010000000", BTCUSDT, 8) == 1_001


def test_prices_and_quantities_beyond_the_largest_amount_are_refused():
    with pytest.raises(TooLarge):
        price_to_ticks("9" * 30, BTCUSDT, 8, 8)
    with pytest.raises(TooLarge):
        quantity_to_lots("9" * 30, BTCUSDT, 8)


decimals_of_assets = st.integers(0, 18)
steps = st.builds(
    lambda digits, scale: format_amount(digits, scale, 0), st.integers(1, 999), st.integers(0, 8)
)


@given(
    quantity_step=steps,
    price_step=steps,
    base_decimals=decimals_of_assets,
    quote_decimals=decimals_of_assets,
    count=st.integers(0, 10**6),
)
def test_steps_become_a_lot_and_a_tick_or_are_refused(
    quantity_step, price_step, base_decimals, quote_decimals, count
):
    exact_lot = Fraction(quantity_step) * 10**base_decimals
    exact_tick = Fraction(quantity_step) * Fraction(price_step) * 10**quote_decimals
    assume(exact_lot <= MAX_AMOUNT)
    assume(exact_tick <= MAX_AMOUNT)
    arguments = {
        "quantity_step": quantity_step,
        "price_step": price_step,
        "base_decimals": base_decimals,
        "quote_decimals": quote_decimals,
    }
    if exact_lot.denominator != 1 or exact_tick.denominator != 1:
        with pytest.raises(OffStep, match="whole"):
            steps_to_lot_and_tick(**arguments)
        return
    lot, tick = steps_to_lot_and_tick(**arguments)
    assert (lot, tick) == (exact_lot, exact_tick)
    rules = replace(BTCUSDT, lot=lot, tick=tick)
    assert is_writable(rules, base_decimals, quote_decimals)
    price = ticks_to_price(count, rules, base_decimals, quote_decimals)
    assert Fraction(price) == count * Fraction(price_step)
    assert price_to_ticks(price, rules, base_decimals, quote_decimals) == count
    quantity = lots_to_quantity(count, rules, base_decimals)
    assert Fraction(quantity) == count * Fraction(quantity_step)
    assert quantity_to_lots(quantity, rules, base_decimals) == count


def test_a_listing_whose_product_is_no_integer_is_refused():
    with pytest.raises(OffStep, match="must come to whole quote units"):
        steps_to_lot_and_tick(
            quantity_step="0.001", price_step="0.001", base_decimals=8, quote_decimals=4
        )
    with pytest.raises(OffStep, match="whole base units"):
        steps_to_lot_and_tick(
            quantity_step="0.001", price_step="1", base_decimals=2, quote_decimals=8
        )
    with pytest.raises(OffStep, match="above 0"):
        steps_to_lot_and_tick(quantity_step="0", price_step="1", base_decimals=2, quote_decimals=8)


def test_rules_that_8_decimals_cannot_say_are_told_apart():
    thirds = replace(BTCUSDT, lot=300_000)
    assert not is_writable(thirds, 8, 8)
    with pytest.raises(OffStep, match="a price of at most 8 decimals is wanted, was 1 ticks"):
        ticks_to_price(1, thirds, 8, 8)
    assert not is_writable(replace(BTCUSDT, lot=1), 18, 8)
    assert not is_writable(replace(BTCUSDT, lot=0), 8, 8)
    assert not is_writable(replace(BTCUSDT, tick=0), 8, 8)
    assert is_writable(BTCUSDT, 8, 8)
