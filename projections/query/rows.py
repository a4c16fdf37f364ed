"""What the views say, in units that no change of a market's steps can alter.

Prices (`…_e8`) are quote per base in units of 10^-8; amounts are in smallest units of base or
quote; times are log time in microseconds.
"""

from dataclasses import dataclass

from domain.orders.messages import OrderType, Side, TimeInForce


@dataclass(slots=True, frozen=True)
class Trade:
    """One meeting of maker and taker."""

    trade_id: int
    price_e8: int
    base_amount: int
    quote_amount: int
    time_us: int
    buyer_is_maker: bool


@dataclass(slots=True, frozen=True)
class AggregateTrade:
    """The trades of one taker order at one price, first to last; its id is the first one's."""

    first_id: int
    last_id: int
    price_e8: int
    base_amount: int
    time_us: int
    buyer_is_maker: bool


@dataclass(slots=True, frozen=True)
class Candle:
    """All trades of [open_us, next candle's open): prices, sums, and the part takers bought."""

    open_us: int
    open_e8: int
    high_e8: int
    low_e8: int
    close_e8: int
    base_amount: int
    quote_amount: int
    trades: int
    taker_base: int
    taker_quote: int


@dataclass(slots=True, frozen=True)
class Window:
    """All trades of a span of time that ends now. Without trades, prices are the last one's."""

    start_us: int
    end_us: int
    open_e8: int
    high_e8: int
    low_e8: int
    last_e8: int
    base_amount: int
    quote_amount: int
    first_id: int
    last_id: int
    trades: int
    previous_close_e8: int = 0
    last_base: int = 0


@dataclass(slots=True, frozen=True)
class Book:
    """The best levels of each side, best first: (price_e8, base amount)."""

    sequence: int
    bids: list[tuple[int, int]]
    asks: list[tuple[int, int]]


@dataclass(slots=True, frozen=True)
class Order:
    """An accepted order as it stands. `price_e8` is 0 for MARKET; one of the amounts may be 0."""

    order_id: int
    market_id: int
    client_order_id: str
    side: Side
    order_type: OrderType
    time_in_force: TimeInForce
    price_e8: int
    base_amount: int
    quote_amount: int
    filled_base: int
    filled_quote: int
    status: str
    accepted_us: int
    updated_us: int

    @property
    def is_open(self) -> bool:
        """Whether more of it may trade."""
        return self.status in OPEN_STATUSES


@dataclass(slots=True, frozen=True)
class Fill:
    """One order's view of a trade, and the fee its owner paid of what was received."""

    trade_id: int
    order_id: int
    market_id: int
    side: Side
    is_maker: bool
    price_e8: int
    base_amount: int
    quote_amount: int
    fee_asset: int
    fee_amount: int
    time_us: int


@dataclass(slots=True, frozen=True)
class Balance:
    """What a user has of one asset."""

    asset_id: int
    available: int
    held: int


@dataclass(slots=True, frozen=True)
class Funding:
    """A deposit (amount above 0) or a withdrawal (below 0) that was done."""

    asset_id: int
    amount: int
    reference: str
    time_us: int
    cseq: int


NEW = "NEW"
PARTIALLY_FILLED = "PARTIALLY_FILLED"
FILLED = "FILLED"
CANCELED = "CANCELED"
EXPIRED = "EXPIRED"
OPEN_STATUSES = (NEW, PARTIALLY_FILLED)
