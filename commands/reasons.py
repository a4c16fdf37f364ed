"""What a client is told for every reason to refuse: the numbered error of each."""

from domain.limits import Limits
from domain.orders.messages import OrderReason
from infra.http import errors
from infra.http.errors import ApiError
from infra.http.limits import ORDER_COUNT_1D, ORDER_COUNT_10S
from infra.http.order_ends import MARKET_CLOSED, STALE_RULES
from infra.http.parameters import CLIENT_ORDER_ID

NO_STOP_LOSS = "Stop loss orders are not supported for this symbol."
NO_ICEBERG = "Iceberg orders are not supported for this symbol."
NO_SELF_TRADE_PREVENTION = "This symbol does not allow the specified self-trade prevention mode."
_DISABLED = "This action is disabled on this account."

_REFUSED_ORDERS: dict[OrderReason, str] = {
    OrderReason.UNKNOWN_ACCOUNT: _DISABLED,
    OrderReason.ACCOUNT_DISABLED: _DISABLED,
    OrderReason.MARKET_HALTED: MARKET_CLOSED,
    OrderReason.ORDER_TYPE_NOT_SUPPORTED: "Order type is not supported for this symbol.",
    OrderReason.STOP_PRICE_NOT_SUPPORTED: NO_STOP_LOSS,
    OrderReason.ICEBERG_NOT_SUPPORTED: NO_ICEBERG,
    OrderReason.SELF_TRADE_PREVENTION_NOT_SUPPORTED: NO_SELF_TRADE_PREVENTION,
    OrderReason.STALE_RULES: STALE_RULES,
    OrderReason.AMOUNT_TOO_LARGE: "Order amount is too large.",
    OrderReason.DUPLICATE_CLIENT_ORDER_ID: "Duplicate order sent.",
    OrderReason.INSUFFICIENT_FUNDS: "Account has insufficient balance for requested action.",
}

_FILTERS = {
    OrderReason.PRICE_FILTER: "PRICE_FILTER",
    OrderReason.LOT_SIZE: "LOT_SIZE",
    OrderReason.MARKET_LOT_SIZE: "MARKET_LOT_SIZE",
    OrderReason.PERCENT_PRICE_BY_SIDE: "PERCENT_PRICE_BY_SIDE",
    OrderReason.NOTIONAL: "NOTIONAL",
    OrderReason.MAX_NUM_ORDERS: "MAX_NUM_ORDERS",
}

SECOND_US = 1_000_000
DAY_S = 24 * 60 * 60


def order_error(reason: OrderReason, limits: Limits, time_us: int) -> ApiError:
    """The error for an order that the ledger refused at log time `time_us`."""
    if reason in _REFUSED_ORDERS:
        return errors.order_refused(_REFUSED_ORDERS[reason])
    if reason in _FILTERS:
        return errors.filter_failure(_FILTERS[reason])
    match reason:
        case OrderReason.UNKNOWN_MARKET:
            return errors.invalid_symbol()
        case OrderReason.INVALID_TIME_IN_FORCE:
            return errors.invalid_time_in_force()
        case OrderReason.INVALID_CLIENT_ORDER_ID:
            return errors.illegal_characters("newClientOrderId", CLIENT_ORDER_ID)
        case OrderReason.INVALID_PRICE:
            return invalid_price()
        case OrderReason.INVALID_QUANTITY:
            return invalid_quantity()
        case OrderReason.TOO_MANY_ORDERS_10S:
            rest_s = 10 - time_us // SECOND_US % 10
            return errors.too_many_orders(limits.orders_per_10s, "10 SECOND", rest_s)
        case OrderReason.TOO_MANY_ORDERS_1D:
            rest_s = DAY_S - time_us // SECOND_US % DAY_S
            return errors.too_many_orders(limits.orders_per_day, "1 DAY", rest_s)
        case _:
            return errors.order_refused("Unknown order sent.")


def used_up(reason: OrderReason, limits: Limits) -> dict[str, str]:
    """The order count that a refusal tells, as a header: a window that is full has its limit."""
    match reason:
        case OrderReason.TOO_MANY_ORDERS_10S:
            return {ORDER_COUNT_10S: str(limits.orders_per_10s)}
        case OrderReason.TOO_MANY_ORDERS_1D:
            return {ORDER_COUNT_1D: str(limits.orders_per_day)}
        case _:
            return {}


def invalid_price() -> ApiError:
    """A price of zero."""
    return ApiError(400, -1013, "Invalid price.")


def invalid_quantity() -> ApiError:
    """A quantity of zero."""
    return ApiError(400, -1013, "Invalid quantity.")
