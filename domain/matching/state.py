"""What a matching shard knows: its markets with their books, the assets, the ledgers' ids."""

from dataclasses import dataclass, field
from typing import Final

from domain.decider import State
from domain.markets import MarketRules
from domain.matching.book import Book
from domain.matching.messages import BookChanged

NEVER_US: Final = 1 << 62
"""A logical time that does not come."""


@dataclass(slots=True)
class Market:
    """A market of this shard.

    `last_price_ticks` is the last trade's price (at first the listing's reference price),
    `told_price_ticks` the reference price that ledgers were told last, and `due_us` the logical
    time from which on they may be told another.
    `awaited` is a level total that was announced and is yet to come true by the order's report
    in the same command; None between commands.
    """

    market_id: int
    symbol: str
    revision: int
    rules: MarketRules
    halted: bool
    trades: int
    book_seq: int
    last_price_ticks: int
    told_price_ticks: int
    due_us: int
    book: Book = field(default_factory=Book)
    awaited: BookChanged | None = None


@dataclass(slots=True)
class MatchingState(State):
    """`ledger_partitions` is 0 until `Genesis`. Markets and assets are never removed.

    Derived, so not in the snapshot: `market_ids` by symbol, `ledgers` (all ledger shards' ids),
    and `next_due_us`, the first logical time at which a held-back reference price is to be told.
    """

    partition: int
    ledger_partitions: int
    matching_partitions: int
    rules_version: int
    assets: dict[int, None]
    markets: dict[int, Market]
    market_ids: dict[str, int]
    ledgers: list[str]
    next_due_us: int

    def next_market_id(self) -> int:
        """The id of the next market: markets are counted from 1, and id mod M is the shard."""
        return (len(self.markets) + 1) * self.matching_partitions + self.partition


def initial() -> MatchingState:
    """The state before `Genesis`."""
    return MatchingState(
        time_us=0,
        partition=0,
        ledger_partitions=0,
        matching_partitions=0,
        rules_version=0,
        assets={},
        markets={},
        market_ids={},
        ledgers=[],
        next_due_us=NEVER_US,
    )
