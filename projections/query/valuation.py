"""What amounts are worth in a reporting asset, at the last prices of the markets between them."""

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import NamedTuple

from domain.money import PLACES
from domain.reference import Market

Convert = Callable[[int], int]


class _Edge(NamedTuple):
    """Who comes to an asset over a market, by which conversion; whether that is halted."""

    comes_from: int
    convert: Convert
    halted: bool


class Valuation:
    """Finds, for each asset, the way to the reporting asset over the fewest markets.

    A halted market's price may be old: the way over the fewest of these comes first, so that one
    counts only where no way over trading markets leads. `priced`: markets with their last prices
    (10^-8 quote per base); those at 0 are left out.
    """

    def __init__(self, reporting_asset: int, priced: Iterable[tuple[Market, int]]) -> None:
        self._edges: dict[int, list[_Edge]] = {}
        for market, price in priced:
            if price > 0:
                self._add(market, price)
        # Each asset's step toward the reporting asset: the next asset, and what becomes of amounts.
        self._steps: dict[int, tuple[int, Convert]] = {}
        self._reporting_asset = reporting_asset
        self._find_steps()

    def value(self, asset_id: int, amount: int) -> int | None:
        """The worth in smallest units of the reporting asset, rounded down; None if no way leads.

        Over several markets it is rounded down at each.
        """
        while asset_id != self._reporting_asset:
            if asset_id not in self._steps:
                return None
            asset_id, convert = self._steps[asset_id]
            amount = convert(amount)
        return amount

    def _add(self, market: Market, price: int) -> None:
        base, quote = market.base, market.quote
        above: int = price * 10**quote.decimals
        below: int = 10 ** (base.decimals + PLACES)
        self._edges.setdefault(quote.asset_id, []).append(
            _Edge(base.asset_id, lambda amount: amount * above // below, market.halted)
        )
        self._edges.setdefault(base.asset_id, []).append(
            _Edge(quote.asset_id, lambda amount: amount * below // above, market.halted)
        )

    def _find_steps(self) -> None:
        """Go away from the reporting asset, along the best ways first."""
        # Halted markets on the way, all of them, and a number that keeps equal ways in their order;
        # the asset that is reached, the one it is reached from, and the conversion to that.
        here, numbers = self._reporting_asset, count(1)
        ways: list[tuple[int, int, int, int, int, Convert]] = [(0, 0, 0, here, here, int)]
        while ways:
            halted, markets, _, asset_id, toward, convert = heappop(ways)
            if asset_id in self._steps:
                continue
            self._steps[asset_id] = toward, convert
            for edge in self._edges.get(asset_id, []):
                onward = (edge.comes_from, asset_id, edge.convert)
                heappush(ways, (halted + edge.halted, markets + 1, next(numbers), *onward))
