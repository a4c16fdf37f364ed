"""What a projector must know of assets and markets to turn lots and ticks into units."""

import json
from collections.abc import Mapping
from typing import NamedTuple

from domain.accounts.messages import AssetListed
from domain.decider import Message
from domain.markets import (
    MarketListed,
    MarketRulesChanged,
    ReferencePriceChanged,
)
from domain.money import PLACES
from projections.changes import Changes
from projections.layout import pack, unpack


class KnownMarket(NamedTuple):
    """Base units per lot, quote units per lot and price step, and the two assets."""

    lot: int
    tick: int
    base_asset: int
    quote_asset: int


class ReferencePrice(NamedTuple):
    """A reference price in ticks and the sequence of the record that told it."""

    price_ticks: int
    cseq: int


class Reference:
    """Decimals of assets, rules of markets and reference prices, as one partition tells them.

    A ledger may be told of a market before its assets, by another channel: `has_decimals`. Matching
    lists a market of known assets only.
    """

    __slots__ = ("_scales", "decimals", "key", "markets", "prices")

    def __init__(self, key: str) -> None:
        self.key = key
        self.decimals: dict[int, int] = {}
        self.markets: dict[int, KnownMarket] = {}
        self.prices: dict[int, ReferencePrice] = {}
        self._scales: dict[int, tuple[int, int]] = {}

    def load(self, cells: Mapping[str, str]) -> None:
        """Know again what `learn` wrote."""
        for name, text in cells.items():
            kind, _, number = name.partition(":")
            if kind == "asset":
                self.decimals[int(number)] = json.loads(text)
            elif kind == "market":
                self.markets[int(number)] = unpack(KnownMarket, text)
            else:
                self.prices[int(number)] = unpack(ReferencePrice, text)

    def learn(self, event: Message, cseq: int, changes: Changes) -> None:
        """Keep what `event` tells of assets and markets, if it does."""
        match event:
            case AssetListed():
                self.decimals[event.asset_id] = event.decimals
                changes.put(self.key, f"asset:{event.asset_id}", str(event.decimals))
            case MarketListed() | MarketRulesChanged():
                rules = event.rules
                market = KnownMarket(rules.lot, rules.tick, rules.base_asset, rules.quote_asset)
                self.markets[event.market_id] = market
                changes.put(self.key, f"market:{event.market_id}", pack(market))
                self._set_price(event.market_id, event.reference_price_ticks, cseq, changes)
            case ReferencePriceChanged():
                self._set_price(event.market_id, event.price_ticks, cseq, changes)
            case _:
                pass

    def has_decimals(self, market_id: int) -> bool:
        """Whether both assets of the market are known; without them it has no prices yet."""
        market = self.markets[market_id]
        return market.base_asset in self.decimals and market.quote_asset in self.decimals

    def price(self, market_id: int, price_ticks: int) -> int:
        """`price_ticks` in 10^-8 quote per base, exact for every market that may be listed."""
        market = self.markets[market_id]
        above, below = self._scale(market_id)
        return price_ticks * market.tick * above // (market.lot * below)

    def price_paid(self, market_id: int, *, quantity: int, quote: int) -> int:
        """The price at which `quantity` base units cost `quote` quote units.

        0 while the market has no decimals: then those amounts are all that is known of it.
        """
        if not self.has_decimals(market_id):
            return 0
        above, below = self._scale(market_id)
        return quote * above // (quantity * below)

    def notional(self, market_id: int, *, price: int, quantity: int) -> int:
        """The quote units that `quantity` base units cost at `price`."""
        above, below = self._scale(market_id)
        return price * quantity * below // above

    def prices_now(self) -> dict[str, tuple[int, int]]:
        """Market id → reference price in 10^-8 quote per base and its sequence.

        A market without decimals is left out.
        """
        return {
            str(market_id): (self.price(market_id, told.price_ticks), told.cseq)
            for market_id, told in self.prices.items()
            if self.has_decimals(market_id)
        }

    def _set_price(self, market_id: int, price_ticks: int, cseq: int, changes: Changes) -> None:
        told = ReferencePrice(price_ticks, cseq)
        self.prices[market_id] = told
        changes.put(self.key, f"price:{market_id}", pack(told))

    def _scale(self, market_id: int) -> tuple[int, int]:
        """Quote units per base unit times above / below is a price in 10^-8 quote per base.

        A market keeps its assets for ever, and they their decimals.
        """
        scale = self._scales.get(market_id)
        if scale is None:
            market = self.markets[market_id]
            above: int = 10 ** (self.decimals[market.base_asset] + PLACES)
            below: int = 10 ** self.decimals[market.quote_asset]
            scale = self._scales[market_id] = (above, below)
        return scale
