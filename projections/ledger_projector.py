"""Folds one partition of `ledger.ev` into the private views of its users."""

import json
from collections.abc import Sequence

from domain.decider import Message
from domain.ledger.chart import LOWEST_USER_ACCOUNT, owner_of
from domain.ledger.messages import AccountOpened
from domain.ledger.postings import postings
from domain.matching.messages import OrderRested
from domain.orders.messages import (
    CancelAllRequested,
    CancelRequested,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    Side,
)
from projections.changes import Cells, Changes, PlacedRecord, position_behind
from projections.intervals import MINUTE_US
from projections.layout import (
    LEDGER_EVENTS,
    NOWHERE,
    Position,
    StoredOrder,
    pack,
    reference_key,
)
from projections.reference import Reference
from projections.stored_orders import (
    accepted_order,
    closed_order,
    filled_order,
    order_row,
    rested_order,
)
from projections.user_views import UserViews, oldest_kept

_CANCELS = (CancelRequested, CancelAllRequested)


class LedgerProjector:
    """Balances, orders, fills, ledger entries and user risk of the users of one ledger shard."""

    topic = LEDGER_EVENTS

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.position = NOWHERE
        self._reference = Reference(reference_key(self.topic, partition))
        self._users: dict[int, UserViews] = {}
        self._changed: set[int] = set()
        self._minute = -1
        self._active: dict[int, int] = {}
        self._traders: dict[int, set[int]] = {}

    def load(self, position: Position, cells: Cells) -> None:
        """Stand where the cells say; to be called once, on a new projector."""
        self.position = position
        self._reference.load(cells.get(self._reference.key, {}))
        self._minute = position.time_us // MINUTE_US
        for key in cells:
            if key.startswith("account:"):
                user_id = int(key.removeprefix("account:"))
                views = self._users[user_id] = UserViews(user_id, self._reference)
                views.load(cells)
                if views.active_minute >= self._minute - 2:
                    self._active[user_id] = views.active_minute
                for minute in views.volume_minutes():
                    self._traders.setdefault(minute, set()).add(user_id)

    def apply(self, records: Sequence[PlacedRecord]) -> Changes:
        """What the records change. They must follow `position` without a gap."""
        changes = Changes(after=self.position)
        for placed in records:
            position = position_behind(self.position, placed)
            self._turn(position, changes)
            for idx, message in enumerate(placed.record.messages):
                self._fold(message, idx, position, changes)
            self.position = position
        for user_id in sorted(self._changed):
            self._users[user_id].flush(self.position.time_us, changes)
        self._changed.clear()
        changes.upto = self.position
        return changes

    def _fold(self, message: Message, idx: int, position: Position, changes: Changes) -> None:
        self._post(message, idx, position, changes)
        if isinstance(message, OrderAccepted):
            user = self._touch(message.user_id)
            user.count_order(message, position.time_us, changes)
            self._keep(accepted_order(message, idx, position, self._reference), changes)
        elif isinstance(message, FillSettled):
            self._fill(message, idx, position, changes)
        elif isinstance(message, OrderRested):
            order = self._touch(message.user_id).open[message.order_id]
            self._keep(rested_order(order, idx, position), changes)
        elif isinstance(message, OrderClosed):
            order = self._touch(message.user_id).open[message.order_id]
            self._keep(closed_order(order, message, idx, position), changes)
        elif isinstance(message, _CANCELS):
            self._touch(message.user_id).count_cancel(position.time_us)
        elif isinstance(message, AccountOpened):
            self._touch(message.user_id)
        else:
            self._reference.learn(message, position.cseq, changes)

    def _post(self, message: Message, idx: int, position: Position, changes: Changes) -> None:
        """Move balances by the event's transfers, each of which is a ledger entry."""
        transfers = postings(message)
        if not transfers:
            return
        cseq, time_us = position.cseq, position.time_us
        source = (
            type(message).__name__,
            str(getattr(message, "reference", "")),
            int(getattr(message, "order_id", 0)),
            int(getattr(message, "market_id", 0)),
        )
        user: UserViews | None = None
        for leg, (asset, debit, credit, amount) in enumerate(transfers):
            user_id = 0
            for account, signed in ((debit, -amount), (credit, amount)):
                if account >= LOWEST_USER_ACCOUNT:
                    user_id = owner_of(account)
                    if user is None or user.user_id != user_id:
                        user = self._touch(user_id)
                    user.move(asset, account, signed, time_us)
            at = (self.partition, cseq, idx, leg, time_us)
            row = (*at, user_id, asset, debit, credit, amount, *source)
            changes.add("ledger_entries", row)

    def _fill(self, event: FillSettled, idx: int, position: Position, changes: Changes) -> None:
        user = self._touch(event.user_id)
        buys = event.side is Side.BUY
        base = event.received_amount if buys else event.paid_amount
        quote = event.paid_amount if buys else event.received_amount
        quote_asset = event.paid_asset if buys else event.received_asset
        order = filled_order(user.open[event.order_id], event, idx, position)
        self._keep(order, changes)
        user.count_trade(quote_asset, quote, position.time_us, changes)
        self._traders.setdefault(self._minute, set()).add(event.user_id)
        price = self._reference.price_paid(event.market_id, quantity=base, quote=quote)
        at = (self.partition, position.cseq, idx, position.time_us)
        whose = (event.user_id, event.market_id, event.trade_id, event.order_id)
        facts = (event.client_order_id, int(event.side), int(event.role), price, base, quote)
        changes.add("fills", (*at, *whose, *facts, event.received_asset, event.fee_amount))

    def _keep(self, order: StoredOrder, changes: Changes) -> None:
        self._users[order.user_id].keep(order, changes)
        changes.add("orders", order_row(self.partition, order))

    def _touch(self, user_id: int) -> UserViews:
        """The user's views, which something happens to now."""
        self._changed.add(user_id)
        self._active[user_id] = self._minute
        user = self._users.get(user_id)
        if user is None:
            user = self._users[user_id] = UserViews(user_id, self._reference)
        user.active_minute = self._minute
        return user

    def _turn(self, position: Position, changes: Changes) -> None:
        """Begin a log minute if this record does: sample who was active, forget what is old."""
        minute = position.time_us // MINUTE_US
        if minute == self._minute:
            return
        self._sample(position, changes)
        first = oldest_kept(minute)
        for old in [number for number in self._traders if number < first]:
            for user_id in sorted(self._traders.pop(old)):
                self._users[user_id].forget_volume(old, changes)
                self._changed.add(user_id)
        # Counts of orders and cancels last for two minutes; then nothing is left to be told.
        for user_id in [u for u, active in self._active.items() if active < minute - 2]:
            del self._active[user_id]
            self._changed.add(user_id)
        self._changed.update(self._active)
        self._minute = minute

    def _sample(self, position: Position, changes: Changes) -> None:
        """A risk sample of each user who was active in the log minute that ends."""
        active = sorted(u for u, minute in self._active.items() if minute == self._minute)
        if not active:
            return
        prices = json.dumps(self._reference.prices_now(), separators=(",", ":"))
        at = (self.partition, position.cseq, -1, position.time_us, self._minute)
        for user_id in active:
            risk = pack(self._users[user_id].risk((self._minute + 1) * MINUTE_US - 1))
            changes.add("risk_samples", (*at, "user", user_id, risk, prices))
