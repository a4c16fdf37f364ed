"""By which markets an asset is valued: those that trade, and halted ones where none leads."""

from dataclasses import replace

from domain.reference import Asset, Market
from projections.query.valuation import Valuation
from tests.projections.query.world import BTCUSDT_RULES, E8

ASSETS = {code: Asset(number, code, code, 8) for number, code in enumerate("ABCU", 1)}
U = ASSETS["U"].asset_id


def market(number: int, symbol: str, *, halted: bool = False) -> Market:
    """A market whose symbol is its base and its quote, a letter each."""
    base, quote = (ASSETS[code] for code in symbol)
    rules = replace(BTCUSDT_RULES, base_asset=base.asset_id, quote_asset=quote.asset_id)
    return Market(number, symbol, 1, rules, halted, base, quote)


def worth(code: str, *priced: tuple[str, int]) -> int | None:
    """What one of the asset is worth in U; a market whose symbol is in small letters is halted."""
    markets = [
        (market(number, symbol.upper(), halted=symbol.islower()), price * E8)
        for number, (symbol, price) in enumerate(priced, 1)
    ]
    value = Valuation(U, markets).value(ASSETS[code].asset_id, E8)
    return None if value is None else value // E8


def test_the_listing_that_replaced_a_halted_one_counts():
    assert worth("A", ("au", 10), ("AU", 20)) == 20
    assert worth("A", ("AU", 20), ("au", 10)) == 20
    assert worth("U", ("au", 10)) == 1


def test_a_way_over_another_asset_comes_before_a_halted_market():
    assert worth("A", ("au", 10), ("AB", 3), ("BU", 7)) == 21
    assert worth("A", ("AU", 10), ("AB", 3), ("BU", 7)) == 10


def test_a_halted_market_counts_where_no_other_way_leads():
    assert worth("A", ("au", 10)) == 10
    assert worth("A", ("ab", 3), ("BU", 7)) == 21
    assert worth("A", ("AB", 3), ("bu", 7)) == 21
    assert worth("A", ("au", 10), ("AU", 0)) == 10, "what replaced it did not trade yet"
    assert worth("A", ("BU", 7)) is None


def test_of_halted_markets_as_few_as_possible_count():
    assert worth("A", ("ab", 3), ("bu", 7), ("AC", 2), ("CB", 2)) == 28
    assert worth("A", ("au", 10), ("AB", 3), ("bu", 7)) == 10
