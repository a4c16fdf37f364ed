"""The sender's orders and fills: open ones from Redis, the past from ClickHouse."""

from collections.abc import Iterable, Sequence
from typing import Any

from domain.accounts.messages import Scope
from domain.orders.state import WINDOW_1D_US, WINDOW_10S_US
from domain.reference import Market
from infra.http import errors
from infra.http.app import Call, Endpoint
from infra.http.parameters import Parameters
from projections.intervals import DAY_US
from projections.layout import (
    CLOSED,
    CLOSED_ORDERS,
    OrderWindows,
    Position,
    StoredOrder,
    account_key,
    closed_key,
    open_key,
    unpack,
)
from projections.query import account_responses as responses
from projections.query.account_history import AccountHistory
from projections.query.freshness import Target
from projections.query.requests import (
    SPAN,
    Span,
    named_order,
    one_market,
    optional_market,
    row_limit,
    time_span,
)
from projections.query.sources import Sources

MOST_ROWS = 1_000
USUAL_ROWS = 500
NO_WINDOWS = OrderWindows(0, 0, 0, 0)


def open_orders_weight(parameters: Parameters) -> int:
    """Weight of the open orders of one market, or of all."""
    return 6 if parameters.has("symbol") else 80


def my_trades_weight(parameters: Parameters) -> int:
    """Weight of the fills of one order, or of all."""
    return 5 if parameters.has("orderId") else 20


class OrderEndpoints:
    """What became of the sender's orders."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._history = AccountHistory(sources.history)

    def endpoints(self) -> list[Endpoint]:
        """The paths; each needs a signature by a key that may read."""
        read = Scope.READ
        one = ("symbol", "orderId", "origClientOrderId")
        many = ("symbol", "orderId", "limit", *SPAN)
        fills = (*many, "fromId")
        return [
            Endpoint("GET", "/api/v3/order", self.order, 4, read, reads=one),
            Endpoint(
                "GET",
                "/api/v3/openOrders",
                self.open_orders,
                open_orders_weight,
                read,
                reads=("symbol",),
            ),
            Endpoint("GET", "/api/v3/allOrders", self.all_orders, 20, read, reads=many),
            Endpoint(
                "GET", "/api/v3/myTrades", self.my_trades, my_trades_weight, read, reads=fills
            ),
            Endpoint("GET", "/api/v3/rateLimit/order", self.order_counts, 40, read, reads=()),
        ]

    async def order(self, call: Call) -> dict[str, Any]:
        """One order; -2013 only once the views have passed the request's arrival.

        Where both ids are sent, it must have both.
        """
        market = one_market(call, self._sources.reference)
        order_id, client_order_id = named_order(call.parameters)
        target = await self._sources.own_writes(call, call.sender.user_id)
        row = await self._find(call, market, target, order_id, client_order_id)
        if row is None:
            # The order may have been accepted since: whoever is told that it does not exist must
            # be able to rely on it.
            later = Target(time_us=call.arrived_us)
            row = await self._find(call, market, later, order_id, client_order_id)
        if row is None or client_order_id not in (None, row.client_order_id):
            raise errors.order_does_not_exist()
        return responses.order(row, market, call.time)

    async def open_orders(self, call: Call) -> list[dict[str, Any]]:
        """What is not closed, of one market or of all, in order of ids."""
        market = optional_market(call, self._sources.reference)
        user_id = call.sender.user_id
        target = await self._sources.own_writes(call, user_id)
        question = ("HVALS", open_key(user_id))
        _, (texts,) = await self._sources.read_account(call, user_id, target, [question])
        rows = sorted(unpack(StoredOrder, text) for text in texts)
        return [
            responses.order(row, self._sources.market(row.market_id), call.time)
            for row in rows
            if market is None or row.market_id == market.market_id
        ]

    async def all_orders(self, call: Call) -> list[dict[str, Any]]:
        """Orders of one market in every state: from an id or a time on, or the most recent."""
        market = one_market(call, self._sources.reference)
        span = time_span(call.parameters, most_us=DAY_US)
        low_id = call.parameters.optional_integer("orderId")
        limit = row_limit(call.parameters, USUAL_ROWS, MOST_ROWS)
        user_id = call.sender.user_id
        recent = await self._recent_orders(call)
        position = call.position
        # History need not stand where Redis does: whatever changed since is among the recent ones.
        needed = Target(cseq=forgotten_until(recent))
        await self._sources.reach_account_table(call, "orders", user_id, needed)
        stored = await self._history.orders(
            user_id, market.market_id, low_id=low_id, span=span, limit=limit
        )
        call.position = position
        mine = [
            row
            for row in recent
            if row.market_id == market.market_id
            and row.order_id >= (low_id or 0)
            and span.contains(row.accepted_us)
        ]
        ascending = low_id is not None or span.ascending
        rows = latest_states([*stored, *mine])
        rows = rows[:limit] if ascending else rows[-limit:]
        return [responses.order(row, market, call.time) for row in rows]

    async def my_trades(self, call: Call) -> list[dict[str, Any]]:
        """Fills of one market: of one order, from an id or a time on, or the most recent."""
        market = one_market(call, self._sources.reference)
        span = time_span(call.parameters, most_us=DAY_US)
        order_id = call.parameters.optional_integer("orderId")
        low_id = call.parameters.optional_integer("fromId")
        if span != Span() and (order_id is not None or low_id is not None):
            raise errors.invalid_combination()
        limit = row_limit(call.parameters, USUAL_ROWS, MOST_ROWS)
        user_id = call.sender.user_id
        target = await self._sources.own_writes(call, user_id)
        await self._sources.reach_account_table(call, "fills", user_id, target)
        rows = await self._history.fills(
            user_id, market.market_id, order_id=order_id, low_id=low_id, span=span, limit=limit
        )
        asset = self._sources.asset
        return [responses.own_trade(row, market, asset(row.fee_asset), call.time) for row in rows]

    async def order_counts(self, call: Call) -> list[dict[str, Any]]:
        """Orders accepted in the log-time windows that run now."""
        user_id = call.sender.user_id
        target = await self._sources.own_writes(call, user_id)
        question = ("HGET", account_key(user_id), "windows")
        position, (text,) = await self._sources.read_account(call, user_id, target, [question])
        windows = unpack(OrderWindows, text) if text else NO_WINDOWS
        counts = running_counts(windows, position)
        limits = self._sources.reference.limits
        return responses.order_counts(limits, count_10s=counts[0], count_1d=counts[1])

    async def _recent_orders(self, call: Call) -> list[StoredOrder]:
        """What Redis keeps: all open orders, and the last that closed."""
        user_id = call.sender.user_id
        target = await self._sources.own_writes(call, user_id)
        questions = [("HVALS", open_key(user_id)), ("HVALS", closed_key(user_id))]
        _, answers = await self._sources.read_account(call, user_id, target, questions)
        return [unpack(StoredOrder, text) for texts in answers for text in texts]

    async def _find(
        self,
        call: Call,
        market: Market,
        target: Target,
        order_id: int | None,
        client_order_id: str | None,
    ) -> StoredOrder | None:
        """An order of the sender, from views that have the target."""
        user_id = call.sender.user_id
        position, answers = await self._sources.read_account(
            call, user_id, target, _questions(user_id, order_id)
        )
        row = _newest(market, answers, order_id, client_order_id)
        if row is not None:
            return row
        # Redis forgets what closed long ago; history has it once it stands where Redis stood.
        at = Target(cseq=position.cseq)
        await self._sources.reach_account_table(call, "orders", user_id, at)
        return await self._history.order(user_id, market.market_id, order_id, client_order_id)


def forgotten_until(recent: Sequence[StoredOrder]) -> int:
    """The sequence after which no change of an order is missing among the recent ones.

    0 while nothing was forgotten; else that of the oldest closing that is still remembered.
    """
    closings = [row.cseq for row in recent if row.state == CLOSED]
    return min(closings) if len(closings) >= CLOSED_ORDERS else 0


def latest_states(rows: Iterable[StoredOrder]) -> list[StoredOrder]:
    """Each order once, in the state that came last, ascending by id."""
    latest: dict[int, StoredOrder] = {}
    for row in rows:
        known = latest.get(row.order_id)
        if known is None or (row.cseq, row.idx) > (known.cseq, known.idx):
            latest[row.order_id] = row
    return sorted(latest.values())


def running_counts(windows: OrderWindows, position: Position) -> tuple[int, int]:
    """Orders of the windows that run at the view's log time: of 10 seconds, and of a day."""
    in_10s = windows.window_10s == position.time_us // WINDOW_10S_US
    in_day = windows.window_1d == position.time_us // WINDOW_1D_US
    return windows.count_10s if in_10s else 0, windows.count_1d if in_day else 0


def _questions(user_id: int, order_id: int | None) -> list[tuple[str, str, *tuple[str, ...]]]:
    keys = open_key(user_id), closed_key(user_id)
    if order_id is not None:
        return [("HMGET", key, str(order_id)) for key in keys]
    return [("HVALS", key) for key in keys]


def _newest(
    market: Market,
    answers: Iterable[Sequence[bytes | None]],
    order_id: int | None,
    client_order_id: str | None,
) -> StoredOrder | None:
    """The order with this id, or the newest with this client order id: an open one goes first.

    Where both are sent, the order id finds it.
    """
    mark = b"" if client_order_id is None else f'"{client_order_id}"'.encode()
    for texts in answers:
        # Most orders are told apart by their text alone, which is cheaper than to unpack them.
        found = [unpack(StoredOrder, t) for t in texts if t and (order_id is not None or mark in t)]
        rows = [row for row in found if row.market_id == market.market_id]
        if order_id is None:
            rows = [row for row in rows if row.client_order_id == client_order_id]
        if rows:
            return max(rows)
    return None
