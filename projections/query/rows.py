"""What answers are made of, beside the shapes that `projections.layout` stores.

As there, prices are in 10^-8 quote per base, quantities in base units, notionals in quote units.
"""

from typing import NamedTuple


class AggregateTrade(NamedTuple):
    """The trades of one taker order at one price, which have consecutive ids."""

    first_id: int
    last_id: int
    price: int
    quantity: int
    time_us: int
    taker_side: int


class Window(NamedTuple):
    """All trades of a span of log time. Without trades all prices are the last one before."""

    start_us: int
    end_us: int
    open_price: int
    high_price: int
    low_price: int
    last_price: int
    quantity: int
    quote: int
    trades: int
    first_trade_id: int
    last_trade_id: int


class Level(NamedTuple):
    """A price of the book and what waits there."""

    price: int
    quantity: int


class Book(NamedTuple):
    """The best levels of each side, best first."""

    book_seq: int
    bids: list[Level]
    asks: list[Level]


class Fill(NamedTuple):
    """One order's view of a trade; the fee is in what its owner received. Enums as numbers.

    `price` is 0 where the ledger did not know the decimals yet: quantity and quote have it.
    """

    trade_id: int
    order_id: int
    market_id: int
    side: int
    role: int
    price: int
    quantity: int
    quote: int
    fee_asset: int
    fee: int
    time_us: int


class Funding(NamedTuple):
    """A deposit or withdrawal that was done."""

    cseq: int
    asset_id: int
    amount: int
    reference: str
    time_us: int
