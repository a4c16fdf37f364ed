"""What amounts are worth in a reporting asset, at the last prices of the markets between them."""

from collections import deque
from collections.abc import Callable, Iterable

from domain.money import PLACES
from domain.reference import Market


class Valuation:
    """Finds, for each asset, the way to the reporting asset over the fewest markets.

    `priced`: markets with their last prices (10^-8 quote per base); those at 0 are left out.
    """

    def __init__(self, reporting_asset: int, priced: Iterable[tuple[Market, int]]) -> None:
        self._edges: dict[int, list[tuple[int, Callable[[int], int]]]] = {}
        for market, price in priced:
            if price > 0:
                self._add(market, price)
        # Each asset's step toward the reporting asset: the next asset, and what becomes of amounts.
        self._steps: dict[int, tuple[int, Callable[[int], int]]] = {}
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
        # Seen from the asset that is reached: who comes there, and by which conversion.
        self._edges.setdefault(quote.asset_id, []).append(
            (base.asset_id, lambda amount: amount * above // below)
        )
        self._edges.setdefault(base.asset_id, []).append(
            (quote.asset_id, lambda amount: amount * below // above)
        )

    def _find_steps(self) -> None:
        reached = deque([self._reporting_asset])
        while reached:
            toward = reached.popleft()
            for asset_id, convert in self._edges.get(toward, []):
                if asset_id != self._reporting_asset and asset_id not in self._steps:
                    self._steps[asset_id] = toward, convert
                    reached.append(asset_id)
