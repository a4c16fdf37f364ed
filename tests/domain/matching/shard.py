"""A matching shard in memory for tests: messages in, events out, every admission rule in force."""

from collections.abc import Iterable

from domain.accounts.messages import AssetListed
from domain.decider import Message
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS
from domain.markets import ListMarket, MarketRules
from domain.matching.decider import MatchingDecider
from domain.orders.messages import OrderAccepted, OrderType, Side, TimeInForce
from domain.protocol import Genesis

LEDGERS = 2
DEADLINE_US = 1 << 60
LIMIT, LIMIT_MAKER, MARKET = OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET
GTC, IOC, FOK = TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK
BUY, SELL = Side.BUY, Side.SELL
USERS = 4


class MemoryShard:
    """One decider and its state; `tell` runs a message as the host would, without the log."""

    def __init__(self, matching_partitions: int = 1, partition: int = 0) -> None:
        self.decider = MatchingDecider()
        self.state = self.decider.initial()
        fees = [FeeTier(0, 1_000, 1_000)]
        genesis = Genesis(
            "test", "M", partition, LEDGERS, matching_partitions, 1, DEFAULT_LIMITS, fees
        )
        self.tell("operator", genesis)

    def tell(self, source: str, message: Message, time_us: int = 0) -> list[Message]:
        """The events of one message at a logical time."""
        refusal = self.decider.refuse(self.state, source, message)
        assert refusal == "", refusal
        self.state.time_us = max(self.state.time_us, time_us)
        events = list(self.decider.decide(self.state, message))
        self.happen(events)
        return events

    def happen(self, events: Iterable[Message]) -> None:
        """Apply events as they are."""
        for event in events:
            self.state = self.decider.evolve(self.state, event)

    def reload(self) -> None:
        """Go through a snapshot: what was is forgotten, what was dumped is loaded."""
        self.state = self.decider.load(self.decider.dump(self.state))

    def open_market(self, symbol: str = "BTCUSDT", reference_price_ticks: int = 100) -> None:
        """List assets 1 and 2 and a market of the two."""
        for asset_id, code in ((1, "BTC"), (2, "USDT")):
            self.tell("A0", AssetListed(b"a" * 16, asset_id, code, code, 8))
        self.tell("operator", list_market(symbol, reference_price_ticks=reference_price_ticks))


def market_rules(**changes: int) -> MarketRules:
    """Rules that let nearly everything through, with `changes`."""
    values = {
        "base_asset": 1,
        "quote_asset": 2,
        "lot": 10,
        "tick": 3,
        "min_price_ticks": 1,
        "max_price_ticks": 1_000_000,
        "min_lots": 1,
        "max_lots": 1_000,
        "market_min_lots": 1,
        "market_max_lots": 1_000,
        "min_notional": 1,
        "max_notional": 1_000_000_000,
        "bid_up_ppm": 5_000_000,
        "bid_down_ppm": 200_000,
        "ask_up_ppm": 5_000_000,
        "ask_down_ppm": 200_000,
        "collar_ppm": 50_000,
        "max_open_orders": 200,
    }
    return MarketRules(**{**values, **changes})


def list_market(
    symbol: str, rules: MarketRules | None = None, reference_price_ticks: int = 100
) -> ListMarket:
    return ListMarket(
        b"l" * 16, DEADLINE_US, symbol, rules or market_rules(), reference_price_ticks
    )


def accepted(
    order_id: int,
    side: Side,
    *,
    lots: int = 0,
    at: int,
    order_type: OrderType = LIMIT,
    time_in_force: TimeInForce = GTC,
    quote_amount: int = 0,
    market_id: int = 1,
    revision: int = 1,
    user_id: int = 0,
) -> OrderAccepted:
    """An accepted order; the user follows from the id unless given."""
    return OrderAccepted(
        command_id=order_id.to_bytes(16, "big"),
        order_id=order_id,
        user_id=user_id or owner(order_id),
        market_id=market_id,
        market_revision=revision,
        client_order_id=f"c{order_id}",
        side=side,
        order_type=order_type,
        time_in_force=time_in_force,
        price_ticks=at,
        lots=lots,
        quote_amount=quote_amount,
        held_asset=2,
        held_amount=1,
        order_count_10s=1,
        order_count_1d=1,
    )


def owner(order_id: int) -> int:
    """The user of an order in tests, whose ledger is the order's."""
    return order_id % USERS + USERS
