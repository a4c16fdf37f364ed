"""The rules of money, of limits and of the book once more: lines that share none with the product.

Each shard's own events are followed one by one. Whatever breaks a rule is told, whether or not the
product has an assertion for it.
"""

from collections import Counter
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from typing import TypeVar

from domain.accounts.messages import (
    FeesChanged,
    FeeTierChanged,
    LimitsChanged,
    UserDisabled,
    UserEnabled,
)
from domain.decider import Message
from domain.fees import FeeTier
from domain.ledger.messages import AccountOpened, DepositCredited, WithdrawalDebited
from domain.limits import Limits
from domain.markets import (
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRules,
    MarketRulesChanged,
    ReferencePriceChanged,
)
from domain.matching.messages import OrderRested, OrderTerminated, TradeExecuted
from domain.orders.messages import (
    CloseReason,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderType,
    Role,
    Side,
    TimeInForce,
)
from domain.protocol import Genesis

Account = tuple[int, str, int]
"""(asset, kind, user): kinds are free, held, house, clearing and external; user 0 for the last."""

Followed = TypeVar("Followed", "LedgerRules", "BookRules")


def copied(rules: Followed) -> Followed:
    """The same, to go on with by itself; orders in it are shared."""
    return type(rules)(**{name: copy(value) for name, value in vars(rules).items()})


@dataclass
class Order:
    """An accepted order as its ledger must see it."""

    accepted: OrderAccepted
    rules: MarketRules
    held: int
    filled_lots: int = 0
    filled_quote: int = 0


@dataclass
class LedgerRules:
    """What a ledger shard may do: its books by its own events."""

    books: Counter[Account] = field(default_factory=Counter)
    tiers: dict[int, FeeTier] = field(default_factory=dict)
    tier_of: dict[int, int] = field(default_factory=dict)
    disabled: set[int] = field(default_factory=set)
    markets: dict[int, MarketRules] = field(default_factory=dict)
    halted: set[int] = field(default_factory=set)
    orders: dict[int, Order] = field(default_factory=dict)
    client_ids: set[tuple[int, str]] = field(default_factory=set)
    references: set[str] = field(default_factory=set)
    limits: Limits | None = None
    reference_prices: dict[int, int] = field(default_factory=dict)
    placed: Counter[tuple[int, int, int]] = field(default_factory=Counter)
    """Accepted orders by user, length of a window and its number since the beginning of time."""

    def apply(self, event: Message, time_us: int) -> Iterator[str]:
        """Follow one event of this log time; what it breaks."""
        if isinstance(event, OrderAccepted):
            yield from self._count(event, time_us)
            yield from self._filter(event)
            yield from self._accept(event)
        elif isinstance(event, FillSettled) and event.order_id in self.orders:
            yield from self._fill(event, self.orders[event.order_id])
        elif isinstance(event, OrderClosed) and event.order_id in self.orders:
            yield from self._close(event, self.orders.pop(event.order_id))
        elif isinstance(event, OrderRested) and event.order_id in self.orders:
            yield from self._rest(self.orders[event.order_id].accepted)
        elif isinstance(event, DepositCredited | WithdrawalDebited):
            yield from self._fund(event)
        else:
            self._learn(event)

    def _accept(self, event: OrderAccepted) -> Iterator[str]:
        rules = self.markets[event.market_id]
        buys = event.side is Side.BUY
        wanted = event.lots * rules.lot
        if buys:
            wanted = event.quote_amount or event.price_ticks * event.lots * rules.tick
        asset = rules.quote_asset if buys else rules.base_asset
        if (event.held_asset, event.held_amount) != (asset, wanted):
            yield f"L6: order {event.order_id} holds {event.held_amount}, not {wanted}"
        if event.user_id in self.disabled:
            yield f"C2: user {event.user_id} is disabled and trades"
        if event.market_id in self.halted:
            yield f"C2: market {event.market_id} is halted and takes order {event.order_id}"
        client_id = event.user_id, event.client_order_id
        if event.client_order_id and client_id in self.client_ids:
            yield f"E6: client id {event.client_order_id} is open twice"
        self.client_ids.add(client_id)
        self.orders[event.order_id] = Order(event, rules, wanted)
        self._move(asset, ("free", event.user_id), ("held", event.user_id), wanted)

    def _count(self, event: OrderAccepted, time_us: int) -> Iterator[str]:
        """How many orders the account has placed and has open, this one among them."""
        user, market, name = event.user_id, event.market_id, f"L9: order {event.order_id}"
        assert self.limits is not None
        windows = (
            (10_000_000, self.limits.orders_per_10s, event.order_count_10s),
            (86_400_000_000, self.limits.orders_per_day, event.order_count_1d),
        )
        for length_us, most, told in windows:
            window = user, length_us, time_us // length_us
            self.placed[window] += 1
            number = self.placed[window]
            if number > most:
                yield f"{name} is user {user}'s number {number} in a window, {most} are allowed"
            if number != told:
                yield f"{name} is user {user}'s number {number} in a window, not {told}"
        others = [order.accepted for order in self.orders.values()]
        waiting = 1 + sum((each.user_id, each.market_id) == (user, market) for each in others)
        most = self.markets[market].max_open_orders
        if waiting > most:
            yield f"{name} is user {user}'s number {waiting} open at once, {most} are allowed"

    def _filter(self, event: OrderAccepted) -> Iterator[str]:
        """What the market says of price, lots and notional, one order by itself."""
        rules, reference = self.markets[event.market_id], self.reference_prices[event.market_id]
        at_market, price = event.order_type is OrderType.MARKET, event.price_ticks
        value = (reference if at_market else price) * event.lots * rules.tick
        bounds = {
            "price": (rules.min_price_ticks, price, rules.max_price_ticks),
            "notional": (rules.min_notional, event.quote_amount or value, rules.max_notional),
        }
        if event.lots or not event.quote_amount:
            bounds["lots"] = rules.min_lots, event.lots, rules.max_lots
            if at_market:
                bounds["lots at market"] = rules.market_min_lots, event.lots, rules.market_max_lots
        if not at_market:
            down, up = rules.ask_down_ppm, rules.ask_up_ppm
            if event.side is Side.BUY:
                down, up = rules.bid_down_ppm, rules.bid_up_ppm
            bounds["price in ppm"] = reference * down, price * 1_000_000, reference * up
        for what, (least, found, most) in bounds.items():
            if not least <= found <= most:
                yield f"L9: order {event.order_id} has {what} {found}, not {least} to {most}"

    def _fill(self, event: FillSettled, order: Order) -> Iterator[str]:
        rules, accepted, user = order.rules, order.accepted, event.user_id
        quote = event.price_ticks * event.lots * rules.tick
        base = event.lots * rules.lot
        buys = accepted.side is Side.BUY
        paid, received = (quote, base) if buys else (base, quote)
        tier = self.tiers.get(self.tier_of[user], self.tiers[0])
        rate = tier.maker_ppm if event.role is Role.MAKER else tier.taker_ppm
        fee = -(-received * rate // 1_000_000)
        better = (accepted.price_ticks - event.price_ticks) * event.lots * rules.tick
        released = better if buys and not accepted.quote_amount else 0
        told = event.paid_amount, event.received_amount, event.released_amount
        if told != (paid, received, released):
            yield f"L5: trade {event.trade_id} moves {told}, not {(paid, received, released)}"
        if event.fee_amount != fee:
            yield f"L8: trade {event.trade_id} costs {event.fee_amount}, not {fee}"
        if event.role is Role.TAKER and accepted.order_type is OrderType.LIMIT_MAKER:
            yield f"E4: LIMIT_MAKER order {event.order_id} took"
        order.filled_lots += event.lots
        order.filled_quote += quote
        order.held -= paid + released
        self._settle(user, rules, buys=buys, paid=paid, received=received, fee=fee)
        self._move(accepted.held_asset, ("held", user), ("free", user), released)

    def _settle(
        self, user: int, rules: MarketRules, *, buys: bool, paid: int, received: int, fee: int
    ) -> None:
        gives, takes = rules.quote_asset, rules.base_asset
        if not buys:
            gives, takes = takes, gives
        self._move(gives, ("held", user), ("clearing", 0), paid)
        self._move(takes, ("clearing", 0), ("free", user), received)
        self._move(takes, ("free", user), ("house", 0), fee)

    def _close(self, event: OrderClosed, order: Order) -> Iterator[str]:
        accepted, filled = order.accepted, order.filled_lots
        self.client_ids.discard((accepted.user_id, accepted.client_order_id))
        self._move(
            accepted.held_asset, ("held", event.user_id), ("free", event.user_id), order.held
        )
        by_lots = accepted.quote_amount == 0
        if event.reason is CloseReason.FILLED and by_lots and filled != accepted.lots:
            yield f"E3: order {event.order_id} ends filled with {filled} of {accepted.lots} lots"
        if accepted.time_in_force is TimeInForce.FOK and filled not in (0, accepted.lots):
            yield f"E3: FOK order {event.order_id} is filled by {filled} of {accepted.lots} lots"
        waits = accepted.time_in_force is TimeInForce.GTC
        if waits and event.reason is CloseReason.NO_LIQUIDITY:
            yield f"E3: GTC order {event.order_id} does not wait on the book"

    def _rest(self, accepted: OrderAccepted) -> Iterator[str]:
        if accepted.time_in_force is not TimeInForce.GTC:
            yield f"E3: order {accepted.order_id} rests, which is {accepted.time_in_force.name}"

    def _fund(self, event: DepositCredited | WithdrawalDebited) -> Iterator[str]:
        if event.reference in self.references:
            yield f"L5: reference {event.reference} is used twice"
        self.references.add(event.reference)
        outside, user = ("external", 0), ("free", event.user_id)
        if isinstance(event, DepositCredited):
            self._move(event.asset_id, outside, user, event.amount)
            return
        self._move(event.asset_id, user, outside, event.amount)
        if event.user_id in self.disabled:
            yield f"C2: user {event.user_id} is disabled and withdraws"

    def _move(
        self, asset: int, giver: tuple[str, int], taker: tuple[str, int], amount: int
    ) -> None:
        self.books[(asset, *giver)] -= amount
        self.books[(asset, *taker)] += amount

    def _learn(self, event: Message) -> None:
        match event:
            case Genesis():
                self.tiers = {tier.tier: tier for tier in event.fee_tiers}
                self.limits = event.limits
            case FeesChanged():
                self.tiers = {tier.tier: tier for tier in event.fee_tiers}
            case LimitsChanged():
                self.limits = event.limits
            case AccountOpened() | FeeTierChanged():
                self.tier_of[event.user_id] = event.fee_tier
            case UserDisabled():
                self.disabled.add(event.user_id)
            case UserEnabled():
                self.disabled.discard(event.user_id)
            case MarketListed() | MarketRulesChanged():
                self.markets[event.market_id] = event.rules
                self.reference_prices[event.market_id] = event.reference_price_ticks
            case ReferencePriceChanged():
                self.reference_prices[event.market_id] = event.price_ticks
            case MarketHalted():
                self.halted.add(event.market_id)
            case MarketResumed():
                self.halted.discard(event.market_id)
            case _:
                pass


@dataclass
class BookRules:
    """What a matching shard may do: price, then time, by its own events."""

    resting: dict[int, tuple[int, Side, int, int]] = field(default_factory=dict)
    """(market, side, price, lots) by order id, in the order in which they came to rest."""
    halted: set[int] = field(default_factory=set)

    def apply(self, event: Message) -> Iterator[str]:
        """Follow one event; what it breaks."""
        if isinstance(event, TradeExecuted):
            yield from self._trade(event)
        elif isinstance(event, OrderRested):
            yield from self._rest(event)
        elif isinstance(event, OrderTerminated):
            known = self.resting.pop(event.order_id, None)
            if (known is not None) != (event.reason is CloseReason.CANCELED):
                yield f"E3: order {event.order_id} ends {event.reason.name}, on the book: {known}"
        elif isinstance(event, MarketHalted):
            self.halted.add(event.market_id)
        elif isinstance(event, MarketResumed):
            self.halted.discard(event.market_id)

    def _trade(self, event: TradeExecuted) -> Iterator[str]:
        if event.market_id in self.halted:
            yield f"C2: market {event.market_id} is halted and has trade {event.trade_id}"
        first = self._first(event.market_id, event.taker_side)
        if first != event.maker_order_id:
            yield f"E2: order {first} is first, trade {event.trade_id} is {event.maker_order_id}'s"
            return
        market, side, price_ticks, lots = self.resting[first]
        left = lots - event.lots
        if price_ticks != event.price_ticks:
            yield f"E4: trade {event.trade_id} at {event.price_ticks}, its maker at {price_ticks}"
        if left != event.maker_remaining_lots or left < 0:
            yield f"E3: order {first} has {left} lots left, not {event.maker_remaining_lots}"
        self.resting[first] = market, side, price_ticks, left
        if left == 0:
            del self.resting[first]

    def _rest(self, event: OrderRested) -> Iterator[str]:
        market_id, side = event.market_id, event.side
        facing = self._first(market_id, side)
        if facing is not None:
            price = self.resting[facing][2]
            if event.price_ticks >= price if side is Side.BUY else event.price_ticks <= price:
                yield f"E1: order {event.order_id} rests against order {facing}"
        self.resting[event.order_id] = market_id, side, event.price_ticks, event.lots

    def _first(self, market_id: int, taker_side: Side) -> int | None:
        """The order that a taker of this side must meet first."""
        sign = 1 if taker_side is Side.BUY else -1
        makers = [
            (sign * price_ticks, place, order_id)
            for place, (order_id, (market, side, price_ticks, _)) in enumerate(self.resting.items())
            if market == market_id and side is not taker_side
        ]
        return min(makers)[2] if makers else None
