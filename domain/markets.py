"""Markets: their rules (integers only), their life as messages, and the filters' raw material."""

from dataclasses import dataclass
from enum import IntEnum

from domain.decider import Command, Message, Outcome


@dataclass(slots=True)
class MarketRules:
    """What an order of the market must keep to.

    `lot` is base units per lot, `tick` quote units per lot per price step: quantity is counted in
    lots, price in ticks, and notional = price_ticks * lots * tick, exact, in quote units.
    Bid and ask bounds are multipliers of the reference price in ppm (1_000_000 is that price);
    `collar_ppm` is a deviation from it.
    """

    base_asset: int
    quote_asset: int
    lot: int
    tick: int
    min_price_ticks: int
    max_price_ticks: int
    min_lots: int
    max_lots: int
    market_min_lots: int
    market_max_lots: int
    min_notional: int
    max_notional: int
    bid_up_ppm: int
    bid_down_ppm: int
    ask_up_ppm: int
    ask_down_ppm: int
    collar_ppm: int
    max_open_orders: int


class MarketReason(IntEnum):
    """Why a market command was refused, the first that applies."""

    UNKNOWN_MARKET = 0
    UNKNOWN_ASSET = 1
    SYMBOL_TAKEN = 2
    INVALID_SYMBOL = 3
    INVALID_RULES = 4
    INVALID_REFERENCE_PRICE = 5
    MARKET_NOT_HALTED = 6
    MARKET_NOT_EMPTY = 7
    ALREADY_HALTED = 8
    NOT_HALTED = 9


@dataclass(slots=True)
class ListMarket(Command):
    """Open a market; its shard is digest(symbol) mod M."""

    symbol: str
    rules: MarketRules
    reference_price_ticks: int


@dataclass(slots=True)
class ChangeMarketRules(Command):
    """Replace a market's rules. Lot and tick change only while halted with an empty book.

    `reference_price_ticks` is the reference price in the new ticks; 0 keeps the present one.
    """

    market_id: int
    rules: MarketRules
    reference_price_ticks: int


@dataclass(slots=True)
class HaltMarket(Command):
    """Let the market cancel only."""

    market_id: int


@dataclass(slots=True)
class ResumeMarket(Command):
    """Let a halted market trade again."""

    market_id: int


@dataclass(slots=True)
class MarketListed(Outcome):
    """A market exists and trades; `revision` counts the changes of its lot and tick, from 1."""

    market_id: int
    symbol: str
    revision: int
    rules: MarketRules
    reference_price_ticks: int


@dataclass(slots=True)
class MarketRulesChanged(Outcome):
    """The market has new rules."""

    market_id: int
    revision: int
    rules: MarketRules
    reference_price_ticks: int


@dataclass(slots=True)
class MarketHalted(Outcome):
    """The market cancels only."""

    market_id: int


@dataclass(slots=True)
class MarketResumed(Outcome):
    """The market trades again."""

    market_id: int


@dataclass(slots=True)
class MarketCommandRejected(Outcome):
    """A market command had no effect, and why."""

    reason: MarketReason


@dataclass(slots=True)
class ReferencePriceChanged(Message):
    """The last trade's price, told to ledgers at most once a second of logical time."""

    market_id: int
    price_ticks: int
