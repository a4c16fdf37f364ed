"""Watches a ledger shard at work and keeps books of its own from its events (L4–L9, E3–E6)."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from domain.accounts.messages import FeesChanged, FeeTierChanged
from domain.decider import Decider, Message
from domain.fees import FeeTier
from domain.ledger.messages import AccountOpened, DepositCredited, WithdrawalDebited
from domain.orders.messages import (
    CancelRejected,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    Role,
    Side,
)
from domain.protocol import Genesis
from streams.audit.checks import Checks
from streams.audit.order_limits import OrderLimits

PPM = 1_000_000
CANCELS_REMEMBERED = 65_536
Leg = tuple[int, int, int]
"""(market, trade, order): one party's part of a trade."""
Key = tuple[int, int]
"""(user id, asset)."""


@dataclass(slots=True)
class Kept:
    """What the witness remembers of an open order."""

    user_id: int
    market_id: int
    lots: int
    price_ticks: int
    held: int
    filled_lots: int = 0
    filled_quote: int = 0


@dataclass(slots=True)
class LedgerRecord:
    """The witness's own books of one ledger shard, by asset or by (user id, asset)."""

    checks: Checks = field(default_factory=Checks)
    available: Counter[Key] = field(default_factory=Counter)
    held: Counter[Key] = field(default_factory=Counter)
    house: Counter[int] = field(default_factory=Counter)
    clearing: Counter[int] = field(default_factory=Counter)
    deposited: Counter[int] = field(default_factory=Counter)
    withdrawn: Counter[int] = field(default_factory=Counter)
    open: dict[int, Kept] = field(default_factory=dict)
    last_order_id: int = 0
    legs: dict[Leg, FillSettled] = field(default_factory=dict)
    tiers: dict[int, FeeTier] = field(default_factory=dict)
    tier_of: dict[int, int] = field(default_factory=dict)
    refused_cancels: dict[bytes, None] = field(default_factory=dict)
    limits: OrderLimits = field(default_factory=OrderLimits)


class LedgerWitness:
    """A decider that does what the real one does and books every event once more."""

    family = "L"

    def __init__(self, decider: Decider[Any], record: LedgerRecord) -> None:
        self._decider = decider
        self._record = record
        self.initial = decider.initial
        self.refuse = decider.refuse
        self.decide = decider.decide
        self.destinations = decider.destinations
        self.fault = decider.fault
        self.dump = decider.dump
        self.load = decider.load

    def evolve(self, state: Any, event: Message) -> Any:
        """The real change, after the witness's own."""
        self._book(event, state.time_us)
        return self._decider.evolve(state, event)

    def _book(self, event: Message, time_us: int) -> None:
        record = self._record
        if isinstance(event, OrderAccepted):
            self._accept(event, time_us)
        elif isinstance(event, FillSettled):
            self._fill(event)
        elif isinstance(event, OrderClosed):
            self._close(event)
        elif isinstance(event, CancelRejected):
            self._refuse_cancel(event)
        elif isinstance(event, DepositCredited):
            self._expect_positive(event.amount, event)
            record.available[(event.user_id, event.asset_id)] += event.amount
            record.deposited[event.asset_id] += event.amount
        elif isinstance(event, WithdrawalDebited):
            self._expect_positive(event.amount, event)
            self._take(record.available, event.user_id, event.asset_id, event.amount)
            record.withdrawn[event.asset_id] += event.amount
        else:
            self._learn(event)

    def _learn(self, event: Message) -> None:
        record = self._record
        record.limits.learn(event)
        if isinstance(event, (Genesis, FeesChanged)):
            record.tiers = {tier.tier: tier for tier in event.fee_tiers}
        elif isinstance(event, (AccountOpened, FeeTierChanged)):
            record.tier_of[event.user_id] = event.fee_tier

    def _accept(self, event: OrderAccepted, time_us: int) -> None:
        record = self._record
        order_id = event.order_id
        # Ids are counted up, so that a greater one is new.
        new = order_id > record.last_order_id
        record.checks.check("E6", new, f"order {order_id} was accepted twice")
        record.last_order_id = max(order_id, record.last_order_id)
        beyond = record.limits.accept(event, time_us)
        record.checks.check("L9", not beyond, beyond)
        self._expect_positive(event.held_amount, event)
        self._take(record.available, event.user_id, event.held_asset, event.held_amount)
        record.held[(event.user_id, event.held_asset)] += event.held_amount
        record.open[order_id] = Kept(
            event.user_id, event.market_id, event.lots, event.price_ticks, event.held_amount
        )

    def _fill(self, event: FillSettled) -> None:
        record, checks = self._record, self._record.checks
        order = record.open.get(event.order_id)
        checks.check("E3", order is not None, f"a fill of order {event.order_id}, not open")
        leg = (event.market_id, event.trade_id, event.order_id)
        checks.check("E5", leg not in record.legs, f"leg {leg} settled twice")
        record.legs[leg] = event
        for amount in (event.paid_amount, event.received_amount):
            self._expect_positive(amount, event)
        user, paid, received = event.user_id, event.paid_asset, event.received_asset
        self._take(record.held, user, paid, event.paid_amount + event.released_amount)
        record.available[(user, paid)] += event.released_amount
        record.clearing[paid] += event.paid_amount
        record.clearing[received] -= event.received_amount
        record.available[(user, received)] += event.received_amount - event.fee_amount
        record.house[received] += event.fee_amount
        self._look_at_fee(event)
        if order is not None:
            self._look_at_fill(order, event)

    def _look_at_fee(self, event: FillSettled) -> None:
        record = self._record
        tier = record.tiers.get(record.tier_of.get(event.user_id, 0)) or record.tiers[0]
        rate = tier.maker_ppm if event.role == Role.MAKER else tier.taker_ppm
        wanted = (event.received_amount * rate + PPM - 1) // PPM
        record.checks.check(
            "L8",
            event.fee_amount == wanted,
            f"the fee in trade {event.trade_id} of order {event.order_id} must be {wanted}, "
            f"was {event.fee_amount}",
        )

    def _look_at_fill(self, order: Kept, event: FillSettled) -> None:
        checks = self._record.checks
        order.held -= event.paid_amount + event.released_amount
        order.filled_lots += event.lots
        buys = event.side == Side.BUY
        order.filled_quote += event.paid_amount if buys else event.received_amount
        sums = (event.filled_lots, event.filled_quote)
        within = order.filled_lots <= order.lots or not order.lots
        checks.check(
            "E3",
            within and sums == (order.filled_lots, order.filled_quote),
            f"order {event.order_id} of {order.lots} lots says {sums}, "
            f"was filled by {(order.filled_lots, order.filled_quote)}",
        )
        limit, price = order.price_ticks, event.price_ticks
        keeps = price == limit if event.role == Role.MAKER else (price - limit) * _sign(buys) <= 0
        checks.check("E4", keeps, f"order {event.order_id} limited to {limit} traded at {price}")
        checks.check("L6", order.held >= 0, f"order {event.order_id} paid beyond its hold")

    def _close(self, event: OrderClosed) -> None:
        record, checks = self._record, self._record.checks
        order = record.open.pop(event.order_id, None)
        checks.check("E3", order is not None, f"order {event.order_id} closed, was not open")
        if order is not None:
            record.limits.end(order.user_id, order.market_id)
            sums = (order.filled_lots, order.filled_quote, order.held)
            said = (event.filled_lots, event.filled_quote, event.released_amount)
            checks.check(
                "L7", sums == said, f"order {event.order_id} ended with {sums}, said {said}"
            )
        self._take(record.held, event.user_id, event.released_asset, event.released_amount)
        record.available[(event.user_id, event.released_asset)] += event.released_amount

    def _refuse_cancel(self, event: CancelRejected) -> None:
        refused = self._record.refused_cancels
        words = f"cancel {event.command_id.hex()} was refused twice"
        self._record.checks.check("E6", event.command_id not in refused, words)
        refused[event.command_id] = None
        if len(refused) > CANCELS_REMEMBERED:
            del refused[next(iter(refused))]

    def _take(self, accounts: Counter[Key], user_id: int, asset: int, amount: int) -> None:
        accounts[(user_id, asset)] -= amount
        left = accounts[(user_id, asset)]
        self._record.checks.check("L4", left >= 0, f"user {user_id} has {left} of asset {asset}")

    def _expect_positive(self, amount: int, event: Message) -> None:
        # An event costs much to spell out, and nearly all are right.
        words = "" if amount > 0 else f"an entry of {amount} in {event}"
        self._record.checks.check("L5", amount > 0, words)


def _sign(buys: bool) -> int:
    return 1 if buys else -1
