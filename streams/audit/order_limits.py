"""Counts each account's orders beside a ledger, and holds them against what is in force (L9)."""

from collections import Counter
from dataclasses import dataclass, field

from domain.accounts.messages import LimitsChanged
from domain.decider import Message
from domain.fees import PPM
from domain.markets import (
    MarketListed,
    MarketRules,
    MarketRulesChanged,
    ReferencePriceChanged,
)
from domain.orders.messages import OrderAccepted, OrderType, Side
from domain.protocol import Genesis

SECOND_US = 1_000_000
WINDOW_10S_US = 10 * SECOND_US
WINDOW_1D_US = 86_400 * SECOND_US


@dataclass(slots=True)
class Placed:
    """How many orders an account has placed in a 10 s and in a day of log time, by number."""

    window_10s: int = -1
    in_10s: int = 0
    window_1d: int = -1
    in_1d: int = 0

    def count(self, time_us: int) -> tuple[int, int]:
        """Count one more, placed at this log time; how many there are now in its windows."""
        window_10s, window_1d = time_us // WINDOW_10S_US, time_us // WINDOW_1D_US
        self.in_10s = self.in_10s + 1 if window_10s == self.window_10s else 1
        self.in_1d = self.in_1d + 1 if window_1d == self.window_1d else 1
        self.window_10s, self.window_1d = window_10s, window_1d
        return self.in_10s, self.in_1d


@dataclass(slots=True)
class OrderLimits:
    """Limits and market rules as the shard's events tell them, and what accounts have placed.

    What is in force when an order is accepted counts. Orders that are open when a limit is lowered
    stay, and nothing is said of them: the next one is judged by how many they are.
    """

    per_10s: int = 0
    per_day: int = 0
    rules: dict[int, MarketRules] = field(default_factory=dict)
    reference: dict[int, int] = field(default_factory=dict)
    """The reference price in ticks, by market."""
    placed: dict[int, Placed] = field(default_factory=dict)
    """By user."""
    open: Counter[tuple[int, int]] = field(default_factory=Counter)
    """Accepted orders that have not ended, by (user, market)."""

    def learn(self, event: Message) -> None:
        """Other limits, rules or prices; other events change nothing."""
        if isinstance(event, (Genesis, LimitsChanged)):
            self.per_10s = event.limits.orders_per_10s
            self.per_day = event.limits.orders_per_day
        elif isinstance(event, (MarketListed, MarketRulesChanged)):
            self.rules[event.market_id] = event.rules
            self.reference[event.market_id] = event.reference_price_ticks
        elif isinstance(event, ReferencePriceChanged):
            self.reference[event.market_id] = event.price_ticks

    def accept(self, order: OrderAccepted, time_us: int) -> str:
        """Count an order accepted at this log time; what it breaks in words, or nothing."""
        user = order.user_id
        placed = self.placed.get(user)
        if placed is None:
            placed = self.placed[user] = Placed()
        in_10s, in_1d = placed.count(time_us)
        self.open[user, order.market_id] += 1
        if in_10s > self.per_10s:
            return _beyond(order, f"number {in_10s} in 10 s", self.per_10s)
        if in_1d > self.per_day:
            return _beyond(order, f"number {in_1d} in a day", self.per_day)
        if (order.order_count_10s, order.order_count_1d) != (in_10s, in_1d):
            said = f"{order.order_count_10s} in 10 s and {order.order_count_1d} in a day"
            return f"order {order.order_id} says {said}, is number {in_10s} and {in_1d}"
        return self._beyond_rules(order)

    def end(self, user_id: int, market_id: int) -> None:
        """One of the account's orders in this market has ended."""
        self.open[user_id, market_id] -= 1
        if not self.open[user_id, market_id]:
            del self.open[user_id, market_id]

    def _beyond_rules(self, order: OrderAccepted) -> str:
        market_id = order.market_id
        rules = self.rules.get(market_id)
        if rules is None:
            return f"order {order.order_id} is of market {market_id}, which was never listed"
        are_open = self.open[order.user_id, market_id]
        if are_open > rules.max_open_orders:
            words = f"number {are_open} open in market {market_id}"
            return _beyond(order, words, rules.max_open_orders)
        by_lots = order.lots != 0 or order.quote_amount == 0
        if by_lots and not _allows_lots(order, rules):
            return f"order {order.order_id} of {order.lots} lots is beyond its market's rules"
        if not _allows_price(order, rules, self.reference[market_id]):
            return f"order {order.order_id} at {order.price_ticks} is beyond its market's rules"
        if not _allows_notional(order, rules, self.reference[market_id]):
            return f"order {order.order_id} has a notional beyond its market's rules"
        return ""


def _beyond(order: OrderAccepted, number: str, limit: int) -> str:
    return f"order {order.order_id} of user {order.user_id} is {number}, limit {limit}"


def _allows_lots(order: OrderAccepted, rules: MarketRules) -> bool:
    if not rules.min_lots <= order.lots <= rules.max_lots:
        return False
    of_market = order.order_type == OrderType.MARKET
    return not of_market or rules.market_min_lots <= order.lots <= rules.market_max_lots


def _allows_price(order: OrderAccepted, rules: MarketRules, reference: int) -> bool:
    """The price of a MARKET order is the worst that it may trade at: bounds alone hold for it."""
    price = order.price_ticks
    if not rules.min_price_ticks <= price <= rules.max_price_ticks:
        return False
    if order.order_type == OrderType.MARKET:
        return True
    if order.side == Side.BUY:
        return reference * rules.bid_down_ppm <= price * PPM <= reference * rules.bid_up_ppm
    return reference * rules.ask_down_ppm <= price * PPM <= reference * rules.ask_up_ppm


def _allows_notional(order: OrderAccepted, rules: MarketRules, reference: int) -> bool:
    price = reference if order.order_type == OrderType.MARKET else order.price_ticks
    notional = order.quote_amount or price * order.lots * rules.tick
    return rules.min_notional <= notional <= rules.max_notional
