"""Messages of orders in the ledger: wishes of traders, acceptance, settlement and closing."""

from dataclasses import dataclass
from enum import IntEnum

from domain.decider import Command, Outcome


class Side(IntEnum):
    """Which way an order trades the base asset."""

    BUY = 0
    SELL = 1


class OrderType(IntEnum):
    """Order types of the public interface; those after MARKET are refused for now."""

    LIMIT = 0
    LIMIT_MAKER = 1
    MARKET = 2
    STOP_LOSS = 3
    STOP_LOSS_LIMIT = 4
    TAKE_PROFIT = 5
    TAKE_PROFIT_LIMIT = 6


class TimeInForce(IntEnum):
    """How long the part that does not trade at once may wait."""

    GTC = 0
    IOC = 1
    FOK = 2


class SelfTradePrevention(IntEnum):
    """Self-trade prevention modes of the public interface; only NONE is implemented."""

    NONE = 0
    EXPIRE_TAKER = 1
    EXPIRE_MAKER = 2
    EXPIRE_BOTH = 3


class Role(IntEnum):
    """Which part an order had in a trade."""

    MAKER = 0
    TAKER = 1


class OrderReason(IntEnum):
    """Why an order or cancel was refused by the ledger, the first that applies.

    STALE_RULES is asked right after MARKET_HALTED: it stands last since symbols of an Avro enum are
    only ever appended.
    """

    UNKNOWN_ACCOUNT = 0
    ACCOUNT_DISABLED = 1
    UNKNOWN_MARKET = 2
    MARKET_HALTED = 3
    ORDER_TYPE_NOT_SUPPORTED = 4
    STOP_PRICE_NOT_SUPPORTED = 5
    ICEBERG_NOT_SUPPORTED = 6
    SELF_TRADE_PREVENTION_NOT_SUPPORTED = 7
    INVALID_TIME_IN_FORCE = 8
    INVALID_CLIENT_ORDER_ID = 9
    INVALID_PRICE = 10
    INVALID_QUANTITY = 11
    PRICE_FILTER = 12
    LOT_SIZE = 13
    MARKET_LOT_SIZE = 14
    PERCENT_PRICE_BY_SIDE = 15
    NOTIONAL = 16
    AMOUNT_TOO_LARGE = 17
    DUPLICATE_CLIENT_ORDER_ID = 18
    MAX_NUM_ORDERS = 19
    TOO_MANY_ORDERS_10S = 20
    TOO_MANY_ORDERS_1D = 21
    INSUFFICIENT_FUNDS = 22
    UNKNOWN_ORDER = 23
    STALE_RULES = 24


class CloseReason(IntEnum):
    """Why an accepted order ended."""

    FILLED = 0
    CANCELED = 1
    NO_LIQUIDITY = 2
    FOK_NOT_FILLABLE = 3
    WOULD_TAKE = 4
    MARKET_HALTED = 5
    UNKNOWN_MARKET = 6
    STALE_RULES = 7
    FAULTED = 8


@dataclass(slots=True)
class PlaceOrder(Command):
    """Place an order. `price_ticks` 0: none given. Exactly one of `lots`, `quote_amount` is not 0.

    Ticks and lots are those of `market_revision`, 0 in orders of before there was this field.
    `stop_price_ticks` and `iceberg_lots` other than 0 are refused for now.
    """

    user_id: int
    market_id: int
    market_revision: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    lots: int
    quote_amount: int
    stop_price_ticks: int
    iceberg_lots: int
    self_trade_prevention: SelfTradePrevention


@dataclass(slots=True)
class CancelOrder(Command):
    """Cancel one open order, by `order_id`, or where that is 0 by `client_order_id`."""

    user_id: int
    market_id: int
    order_id: int
    client_order_id: str


@dataclass(slots=True)
class CancelAllOrders(Command):
    """Cancel all open orders of one account in one market, those in flight to the book too."""

    user_id: int
    market_id: int


@dataclass(slots=True)
class OrderAccepted(Outcome):
    """Funds are held and the order is on its way to the book (ledger → matching).

    `price_ticks` is the limit, or for MARKET the collar that protects it. `lots` is the quantity
    (for SELL by quote: the most that may be sold; for BUY by quote: 0). `quote_amount` is not 0
    for orders by quote. The counts are the account's orders in the current log-time windows.
    """

    order_id: int
    user_id: int
    market_id: int
    market_revision: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_ticks: int
    lots: int
    quote_amount: int
    held_asset: int
    held_amount: int
    order_count_10s: int
    order_count_1d: int


@dataclass(slots=True)
class OrderRejected(Outcome):
    """The order had no effect, and why."""

    user_id: int
    market_id: int
    client_order_id: str
    reason: OrderReason


@dataclass(slots=True)
class CancelRequested(Outcome):
    """A cancel is on its way to the book (ledger → matching), which answers it exactly once."""

    order_id: int
    user_id: int
    market_id: int


@dataclass(slots=True)
class CancelRejected(Outcome):
    """The cancel had no effect: the order is unknown or already closed."""

    user_id: int
    market_id: int
    order_id: int
    client_order_id: str
    reason: OrderReason


@dataclass(slots=True)
class CancelAllRequested(Outcome):
    """The account's open orders of a market, to be canceled (ledger → matching)."""

    user_id: int
    market_id: int
    order_ids: list[int]


@dataclass(slots=True)
class FillSettled(Outcome):
    """One order's part of a trade is settled: paid from hold, received less fee.

    `command_id` is the placing command's for the taker, empty for the maker. `paid_amount` went
    held → clearing, `received_amount` came clearing → available, of it `fee_amount` → house;
    `released_amount` (price improvement) went held → available. `filled_lots` and `filled_quote`
    are the order's totals after this fill.
    """

    order_id: int
    user_id: int
    market_id: int
    trade_id: int
    client_order_id: str
    side: Side
    role: Role
    price_ticks: int
    lots: int
    paid_asset: int
    paid_amount: int
    received_asset: int
    received_amount: int
    fee_amount: int
    released_amount: int
    filled_lots: int
    filled_quote: int


@dataclass(slots=True)
class OrderClosed(Outcome):
    """An order ended and what was left of its hold went back to available.

    `command_id` is that of the place or cancel command this answers, or empty. The other fields
    repeat the order, so that a reader needs no memory of it.
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
    filled_lots: int
    filled_quote: int
    reason: CloseReason
    released_asset: int
    released_amount: int
    accepted_time_us: int
