"""The views of one user: balances, open and closed orders, order windows and risk."""

from collections.abc import Mapping

from domain.ledger.chart import available_account
from domain.orders.messages import OrderAccepted
from domain.orders.state import WINDOW_1D_US, WINDOW_10S_US
from projections.changes import Cells, Changes
from projections.intervals import MINUTE_US
from projections.layout import (
    CLOSED,
    CLOSED_ORDERS,
    DAY_MINUTES,
    Balance,
    OrderWindows,
    StoredOrder,
    UserRisk,
    account_key,
    balances_key,
    closed_key,
    open_key,
    pack,
    unpack,
    volume_key,
)
from projections.reference import Reference
from projections.stored_orders import open_notional


class UserViews:
    """Folds what happened to one user; `flush` writes what it comes to."""

    __slots__ = (
        "_available",
        "_changed_assets",
        "_changed_orders",
        "_closed",
        "_minute",
        "_moved_us",
        "_new_orders",
        "_orders_asked",
        "_reference",
        "_volume",
        "_volume_24h",
        "active_minute",
        "balances",
        "open",
        "user_id",
    )

    def __init__(self, user_id: int, reference: Reference) -> None:
        self.user_id = user_id
        self._available = available_account(user_id)
        self.active_minute = 0
        self.balances: dict[int, list[int]] = {}
        self.open: dict[int, StoredOrder] = {}
        self._closed: list[int] = []
        self._changed_assets: set[int] = set()
        self._changed_orders: set[int] = set()
        # Opened since the last flush: no cell of theirs is stored anywhere yet.
        self._new_orders: set[int] = set()
        self._minute = 0
        self._moved_us = 0
        # Orders accepted and cancels asked for, in this log minute and in the one before.
        self._orders_asked = [0, 0, 0, 0]
        self._volume: dict[int, dict[int, int]] = {}
        self._volume_24h: dict[int, int] = {}
        self._reference = reference

    def load(self, cells: Cells) -> None:
        """Go on from what `flush` wrote."""
        for asset, text in cells.get(balances_key(self.user_id), {}).items():
            self.balances[int(asset)] = list(unpack(Balance, text))
        for text in cells.get(open_key(self.user_id), {}).values():
            order = unpack(StoredOrder, text)
            self.open[order.order_id] = order
        closed = [unpack(StoredOrder, t) for t in cells.get(closed_key(self.user_id), {}).values()]
        closed.sort(key=lambda order: (order.cseq, order.idx))
        self._closed = [order.order_id for order in closed]
        for name, amount in cells.get(volume_key(self.user_id), {}).items():
            minute, _, asset = name.partition(":")
            self._count_volume(int(minute), int(asset), int(amount))
        account = cells.get(account_key(self.user_id), {})
        self.active_minute = int(account.get("active_minute", 0))
        if "risk" in account:
            risk = unpack(UserRisk, account["risk"])
            self._minute = risk.minute
            self._orders_asked = list(risk[4:8])

    def move(self, asset: int, account: int, amount: int, time_us: int) -> None:
        """Add `amount` (negative for a debit) to one of the user's two accounts of an asset."""
        self._moved_us = time_us
        balance = self.balances.setdefault(asset, [0, 0])
        balance[0 if account == self._available else 1] += amount
        self._changed_assets.add(asset)

    def count_order(self, event: OrderAccepted, time_us: int, changes: Changes) -> None:
        """Count an accepted order in its windows and its log minute."""
        self._turn(time_us // MINUTE_US)
        self._orders_asked[0] += 1
        windows = OrderWindows(
            window_10s=time_us // WINDOW_10S_US,
            count_10s=event.order_count_10s,
            window_1d=time_us // WINDOW_1D_US,
            count_1d=event.order_count_1d,
        )
        changes.put(account_key(self.user_id), "windows", pack(windows))

    def count_cancel(self, time_us: int) -> None:
        """Count a cancel that was asked for in its log minute."""
        self._turn(time_us // MINUTE_US)
        self._orders_asked[1] += 1

    def count_trade(self, quote_asset: int, quote: int, time_us: int, changes: Changes) -> None:
        """Count a fill's quote units in its log minute."""
        minute = time_us // MINUTE_US
        total = self._count_volume(minute, quote_asset, quote)
        changes.put(volume_key(self.user_id), f"{minute}:{quote_asset}", str(total))

    def keep(self, order: StoredOrder, changes: Changes) -> None:
        """Keep an order as it stands now, among the open ones or the last closed ones."""
        order_id = order.order_id
        self._changed_orders.add(order_id)
        if order.state != CLOSED:
            if order_id not in self.open:
                self._new_orders.add(order_id)
            self.open[order_id] = order
            return
        self.open.pop(order_id, None)
        changes.put(closed_key(self.user_id), str(order_id), pack(order))
        self._closed.append(order.order_id)
        if len(self._closed) > CLOSED_ORDERS:
            changes.drop(closed_key(self.user_id), str(self._closed.pop(0)))

    def forget_volume(self, minute: int, changes: Changes) -> None:
        """Forget the trades of a log minute that is a day old."""
        for asset, amount in self._volume.pop(minute, {}).items():
            self._volume_24h[asset] -= amount
            changes.drop(volume_key(self.user_id), f"{minute}:{asset}")

    def volume_minutes(self) -> list[int]:
        """The log minutes in which the user traded during the last day."""
        return list(self._volume)

    def risk(self, time_us: int) -> UserRisk:
        """What the user stands to lose as of `time_us`, which must not lie before the last call."""
        self._turn(time_us // MINUTE_US)
        notional: dict[int, int] = {}
        for order in self.open.values():
            quote_asset = self._reference.markets[order.market_id].quote_asset
            rest = open_notional(order, self._reference)
            notional[quote_asset] = notional.get(quote_asset, 0) + rest
        exposure = {asset: available + held for asset, (available, held) in self.balances.items()}
        orders, cancels, orders_before, cancels_before = self._orders_asked
        return UserRisk(
            time_us=time_us,
            exposure=_not_zero(exposure),
            open_notional=_not_zero(notional),
            minute=self._minute,
            orders_this_minute=orders,
            cancels_this_minute=cancels,
            orders_last_minute=orders_before,
            cancels_last_minute=cancels_before,
            volume_24h=_not_zero(self._volume_24h),
        )

    def flush(self, time_us: int, changes: Changes) -> None:
        """Write balances and open orders that changed, and the risk as of `time_us`."""
        for asset in self._changed_assets:
            balance = self.balances[asset]
            changes.put(balances_key(self.user_id), str(asset), pack(Balance(*balance)))
        if self._changed_assets:
            changes.put(account_key(self.user_id), "updated_us", str(self._moved_us))
            self._changed_assets.clear()
        self._flush_orders(changes)
        key = account_key(self.user_id)
        changes.put(key, "active_minute", str(self.active_minute))
        changes.put(key, "risk", pack(self.risk(time_us)))

    def _flush_orders(self, changes: Changes) -> None:
        for order_id in self._changed_orders:
            order = self.open.get(order_id)
            if order is not None:
                changes.put(open_key(self.user_id), str(order_id), pack(order))
            elif order_id not in self._new_orders:
                changes.drop(open_key(self.user_id), str(order_id))
        self._changed_orders.clear()
        self._new_orders.clear()

    def _turn(self, minute: int) -> None:
        if minute == self._minute:
            return
        last = self._orders_asked[:2] if minute == self._minute + 1 else [0, 0]
        self._orders_asked = [0, 0, *last]
        self._minute = minute

    def _count_volume(self, minute: int, asset: int, quote: int) -> int:
        in_minute = self._volume.setdefault(minute, {})
        in_minute[asset] = in_minute.get(asset, 0) + quote
        self._volume_24h[asset] = self._volume_24h.get(asset, 0) + quote
        return in_minute[asset]


def oldest_kept(minute: int) -> int:
    """The first log minute of the day that ends with `minute`."""
    return minute - DAY_MINUTES + 1


def _not_zero(amounts: Mapping[int, int]) -> dict[str, int]:
    return {str(asset): amount for asset, amount in sorted(amounts.items()) if amount}
