"""The state of a ledger shard: accounts, open orders, markets as last heard of, and the books."""

from dataclasses import dataclass, field
from typing import Final

from domain.decider import State
from domain.fees import FeeTier
from domain.ledger.balances import Balances
from domain.ledger.funding import Funding
from domain.limits import DEFAULT_LIMITS, Limits
from domain.markets import MarketRules
from domain.orders.messages import OrderType, Side, TimeInForce

WINDOW_10S_US: Final = 10_000_000
WINDOW_1D_US: Final = 86_400_000_000


@dataclass(slots=True)
class Market:
    """A market as this shard last heard of it from its matching shard."""

    market_id: int
    revision: int
    rules: MarketRules
    reference_price_ticks: int
    halted: bool


@dataclass(slots=True)
class OpenOrder:
    """An accepted order that has not ended. `held` is what is left of its hold.

    It keeps lot, tick and assets of its market at acceptance; `lots` is 0 for BUY by quote.
    """

    order_id: int
    user_id: int
    market_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    lots: int
    quote_amount: int
    lot: int
    tick: int
    base_asset: int
    quote_asset: int
    held: int
    filled_lots: int
    filled_quote: int
    rested: bool
    accepted_time_us: int
    command_id: bytes

    @property
    def held_asset(self) -> int:
        """The asset that the order pays with."""
        return self.quote_asset if self.side is Side.BUY else self.base_asset

    def needed(self) -> int:
        """What the part not yet filled needs in the worst case: what `held` must be (L6)."""
        if self.side is Side.SELL:
            return (self.lots - self.filled_lots) * self.lot
        if self.quote_amount:
            return self.quote_amount - self.filled_quote
        return (self.lots - self.filled_lots) * self.price_ticks * self.tick


@dataclass(slots=True)
class Account:
    """A user in this shard. The windows are fixed buckets of log time, counting accepted orders.

    `open_by_market` has the ids of open orders in ascending order, `open_by_client_id` those that
    were given a client id.
    """

    user_id: int
    enabled: bool
    fee_tier: int
    window_10s: int
    orders_10s: int
    window_1d: int
    orders_1d: int
    open_by_market: dict[int, dict[int, None]] = field(default_factory=dict)
    open_by_client_id: dict[str, int] = field(default_factory=dict)


@dataclass(slots=True)
class LedgerState(State):
    """All that a ledger shard knows. `ledger_partitions` 0 means: before genesis.

    Derived, so not in the snapshot: `matchers`, the ids of all matching shards.
    """

    partition: int = 0
    ledger_partitions: int = 0
    matching_partitions: int = 0
    rules_version: int = 0
    limits: Limits = field(default_factory=lambda: DEFAULT_LIMITS)
    fee_tiers: dict[int, FeeTier] = field(default_factory=dict)
    assets: dict[int, int] = field(default_factory=dict)
    markets: dict[int, Market] = field(default_factory=dict)
    accounts: dict[int, Account] = field(default_factory=dict)
    orders: dict[int, OpenOrder] = field(default_factory=dict)
    orders_accepted: int = 0
    balances: Balances = field(default_factory=Balances)
    funding_by_reference: dict[str, Funding] = field(default_factory=dict)
    halted_withdrawals: dict[int, None] = field(default_factory=dict)
    matchers: list[str] = field(default_factory=list)


def next_order_id(state: LedgerState) -> int:
    """The id of the next accepted order: counter * P + partition, the counter from 1."""
    return (state.orders_accepted + 1) * state.ledger_partitions + state.partition
