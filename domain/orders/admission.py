"""Admission: a wish to trade becomes an accepted order with funds held, or a reasoned refusal."""

from typing import Final

from domain.markets import MarketRules
from domain.money import MAX_AMOUNT
from domain.orders.filters import collar_price_ticks, filter_failure, fixed_filter_failure
from domain.orders.messages import (
    OrderAccepted,
    OrderReason,
    OrderRejected,
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.orders.state import (
    WINDOW_1D_US,
    WINDOW_10S_US,
    Account,
    LedgerState,
    Market,
    next_order_id,
)

_BUY: Final = Side.BUY
_LIMIT: Final = OrderType.LIMIT
_LIMIT_MAKER: Final = OrderType.LIMIT_MAKER
_MARKET: Final = OrderType.MARKET
_GTC: Final = TimeInForce.GTC
_IOC: Final = TimeInForce.IOC
_NO_PREVENTION: Final = SelfTradePrevention.NONE

_MAX_CLIENT_ORDER_ID: Final = 36


def decide_order(state: LedgerState, order: PlaceOrder) -> OrderAccepted | OrderRejected:
    """Accept the order and say what it holds, or refuse it with the first reason that applies."""
    account = state.accounts.get(order.user_id)
    if account is None:
        return _rejected(order, OrderReason.UNKNOWN_ACCOUNT)
    if not account.enabled:
        return _rejected(order, OrderReason.ACCOUNT_DISABLED)
    market = state.markets.get(order.market_id)
    if market is None:
        return _rejected(order, OrderReason.UNKNOWN_MARKET)
    if market.halted:
        return _rejected(order, OrderReason.MARKET_HALTED)
    if order.market_revision != 0 and order.market_revision != market.revision:
        return _rejected(order, OrderReason.STALE_RULES)
    reason = _form_failure(order)
    if reason is not None:
        return _rejected(order, reason)
    price_ticks, lots = order.price_ticks, order.lots
    if order.order_type is _MARKET:
        price_ticks = collar_price_ticks(order.side, market)
        if lots == 0 and order.side is not _BUY:
            lots = _lots_for_quote(order, market, price_ticks)
    reason = filter_failure(order, market, price_ticks=price_ticks, lots=lots)
    if reason is None:
        reason = _amount_failure(state, order, market.rules, price_ticks=price_ticks, lots=lots)
    if reason is None:
        reason = _account_failure(state, order, account, market)
    if reason is not None:
        return _rejected(order, reason)
    return _accept_if_covered(state, order, market, price_ticks=price_ticks, lots=lots)


def foreseen_refusal(
    order: PlaceOrder, rules: MarketRules, *, enabled: bool, halted: bool
) -> OrderReason | None:
    """A reason for which a ledger would refuse the order.

    It holds whatever balances, open orders and the reference price are.

    None leaves the order to what a ledger alone knows: funds, open orders, the reference price.
    """
    if not enabled:
        return OrderReason.ACCOUNT_DISABLED
    if halted:
        return OrderReason.MARKET_HALTED
    reason = _form_failure(order)
    return fixed_filter_failure(order, rules) if reason is None else reason


def _form_failure(order: PlaceOrder) -> OrderReason | None:
    """What is wrong with the order whatever its market: the first reason, up to INVALID_QUANTITY.

    What is not implemented has its own reason: it is never accepted and ignored.
    """
    order_type = order.order_type
    if order_type is not _LIMIT and order_type is not _MARKET and order_type is not _LIMIT_MAKER:
        return OrderReason.ORDER_TYPE_NOT_SUPPORTED
    if order.stop_price_ticks != 0:
        return OrderReason.STOP_PRICE_NOT_SUPPORTED
    if order.iceberg_lots != 0:
        return OrderReason.ICEBERG_NOT_SUPPORTED
    if order.self_trade_prevention is not _NO_PREVENTION:
        return OrderReason.SELF_TRADE_PREVENTION_NOT_SUPPORTED
    if order_type is _MARKET:
        if order.time_in_force is not _IOC:
            return OrderReason.INVALID_TIME_IN_FORCE
    elif order_type is _LIMIT_MAKER and order.time_in_force is not _GTC:
        return OrderReason.INVALID_TIME_IN_FORCE
    client_order_id = order.client_order_id
    if client_order_id and not _is_client_order_id(client_order_id):
        return OrderReason.INVALID_CLIENT_ORDER_ID
    return _number_failure(order)


def _is_client_order_id(text: str) -> bool:
    """Whether `text` is 1 to 36 letters, digits, `_` or `-`, and all ASCII.

    https://developers.binance.com/docs/binance-spot-api-docs: the form of newClientOrderId.
    """
    letters = text.replace("_", "a").replace("-", "a")
    return len(text) <= _MAX_CLIENT_ORDER_ID and text.isascii() and letters.isalnum()


def _number_failure(order: PlaceOrder) -> OrderReason | None:
    """A MARKET order has no price; quantity is lots or, for MARKET only, an amount of quote."""
    by_quote = order.quote_amount != 0
    if order.order_type is _MARKET:
        if order.price_ticks != 0:
            return OrderReason.INVALID_PRICE
    elif order.price_ticks <= 0:
        return OrderReason.INVALID_PRICE
    elif by_quote:
        return OrderReason.INVALID_QUANTITY
    if order.lots < 0 or order.quote_amount < 0 or by_quote == (order.lots != 0):
        return OrderReason.INVALID_QUANTITY
    return None


def _lots_for_quote(order: PlaceOrder, market: Market, price_ticks: int) -> int:
    """The lots whose sale brings the wanted quote amount even at the collar price, rounded up."""
    return -(-order.quote_amount // (price_ticks * market.rules.tick))


def _amount_failure(
    state: LedgerState, order: PlaceOrder, rules: MarketRules, *, price_ticks: int, lots: int
) -> OrderReason | None:
    """Whether base or quote amount, or what is received on top of the shard's total, is too much.

    What is received is reckoned at the order's own price.
    """
    base = lots * rules.lot
    quote = order.quote_amount or price_ticks * lots * rules.tick
    received_asset = rules.base_asset if order.side is _BUY else rules.quote_asset
    received = base if order.side is _BUY else quote
    room = MAX_AMOUNT - state.balances.covered_total(received_asset)
    if base > MAX_AMOUNT or quote > MAX_AMOUNT or received > room:
        return OrderReason.AMOUNT_TOO_LARGE
    return None


def _account_failure(
    state: LedgerState, order: PlaceOrder, account: Account, market: Market
) -> OrderReason | None:
    """What the account's other orders have against this one."""
    if order.client_order_id in account.open_by_client_id:
        return OrderReason.DUPLICATE_CLIENT_ORDER_ID
    open_orders = account.open_by_market.get(order.market_id)
    if open_orders is not None and len(open_orders) >= market.rules.max_open_orders:
        return OrderReason.MAX_NUM_ORDERS
    count_10s, count_1d = order_counts(account, state.time_us)
    if count_10s >= state.limits.orders_per_10s:
        return OrderReason.TOO_MANY_ORDERS_10S
    if count_1d >= state.limits.orders_per_day:
        return OrderReason.TOO_MANY_ORDERS_1D
    return None


def _accept_if_covered(
    state: LedgerState, order: PlaceOrder, market: Market, *, price_ticks: int, lots: int
) -> OrderAccepted | OrderRejected:
    """Accept the order if what it must hold is available."""
    held_asset, held_amount = _hold(order, market.rules, price_ticks=price_ticks, lots=lots)
    if state.balances.available(order.user_id, held_asset) < held_amount:
        return _rejected(order, OrderReason.INSUFFICIENT_FUNDS)
    count_10s, count_1d = order_counts(state.accounts[order.user_id], state.time_us)
    return OrderAccepted(
        command_id=order.command_id,
        order_id=next_order_id(state),
        user_id=order.user_id,
        market_id=order.market_id,
        market_revision=market.revision,
        client_order_id=order.client_order_id,
        side=order.side,
        order_type=order.order_type,
        time_in_force=order.time_in_force,
        price_ticks=price_ticks,
        lots=lots,
        quote_amount=order.quote_amount,
        held_asset=held_asset,
        held_amount=held_amount,
        order_count_10s=count_10s + 1,
        order_count_1d=count_1d + 1,
    )


def _hold(order: PlaceOrder, rules: MarketRules, *, price_ticks: int, lots: int) -> tuple[int, int]:
    """Asset and amount to hold: notional at the limit for BUY, the lots themselves for SELL."""
    if order.side is _BUY:
        return rules.quote_asset, order.quote_amount or price_ticks * lots * rules.tick
    return rules.base_asset, lots * rules.lot


def order_counts(account: Account, time_us: int) -> tuple[int, int]:
    """Orders of the account accepted so far in the 10 s and in the day that `time_us` is in."""
    count_10s = account.orders_10s if account.window_10s == time_us // WINDOW_10S_US else 0
    count_1d = account.orders_1d if account.window_1d == time_us // WINDOW_1D_US else 0
    return count_10s, count_1d


def _rejected(order: PlaceOrder, reason: OrderReason) -> OrderRejected:
    return OrderRejected(
        command_id=order.command_id,
        user_id=order.user_id,
        market_id=order.market_id,
        client_order_id=order.client_order_id,
        reason=reason,
    )
