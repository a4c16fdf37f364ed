"""Trades, books, candles and tickers as Binance's JSON: texts with 8 decimals, times as told."""

from collections.abc import Callable
from typing import Any

from domain.money import PLACES, format_amount
from domain.reference import Market
from projections.query.rows import AggregateTrade, Book, Candle, Trade, Window

Time = Callable[[int], int]
"""Turns microseconds into the unit that the client wants."""

UNUSED = "0"
"""The last element of a kline, which means nothing any more."""


def trade(row: Trade, market: Market, time: Time) -> dict[str, Any]:
    """An element of `trades` and `historicalTrades`."""
    return {
        "id": row.trade_id,
        "price": price(row.price_e8),
        "qty": format_amount(row.base_amount, market.base.decimals),
        "quoteQty": format_amount(row.quote_amount, market.quote.decimals),
        "time": time(row.time_us),
        "isBuyerMaker": row.buyer_is_maker,
        "isBestMatch": True,
    }


def aggregate_trade(row: AggregateTrade, market: Market, time: Time) -> dict[str, Any]:
    """An element of `aggTrades`; its id is the id of its first trade."""
    return {
        "a": row.first_id,
        "p": price(row.price_e8),
        "q": format_amount(row.base_amount, market.base.decimals),
        "f": row.first_id,
        "l": row.last_id,
        "T": time(row.time_us),
        "m": row.buyer_is_maker,
        "M": True,
    }


def depth(book: Book, market: Market) -> dict[str, Any]:
    """Exactly three keys: clients take any short one more (`T`) for a futures book."""
    return {
        "lastUpdateId": book.sequence,
        "bids": _levels(book.bids, market),
        "asks": _levels(book.asks, market),
    }


def kline(row: Candle, next_open_us: int, market: Market, time: Time) -> list[Any]:
    """The twelve elements of a candle that ends right before `next_open_us`."""
    base, quote = market.base.decimals, market.quote.decimals
    return [
        time(row.open_us),
        price(row.open_e8),
        price(row.high_e8),
        price(row.low_e8),
        price(row.close_e8),
        format_amount(row.base_amount, base),
        time(next_open_us) - 1,
        format_amount(row.quote_amount, quote),
        row.trades,
        format_amount(row.taker_base, base),
        format_amount(row.taker_quote, quote),
        UNUSED,
    ]


def price_ticker(market: Market, last_e8: int) -> dict[str, Any]:
    """An element of `ticker/price`."""
    return {"symbol": market.symbol, "price": price(last_e8)}


def book_ticker(market: Market, book: Book) -> dict[str, Any]:
    """An element of `ticker/bookTicker`; zeros where a side is empty."""
    return {"symbol": market.symbol, **_best(book, market)}


def window_ticker(
    market: Market, window: Window, time: Time, *, mini: bool = False
) -> dict[str, Any]:
    """An element of `ticker` and `ticker/tradingDay`; `mini` leaves out what can be derived."""
    prices = {
        "openPrice": price(window.open_e8),
        "highPrice": price(window.high_e8),
        "lowPrice": price(window.low_e8),
        "lastPrice": price(window.last_e8),
        "volume": format_amount(window.base_amount, market.base.decimals),
        "quoteVolume": format_amount(window.quote_amount, market.quote.decimals),
    }
    changes = {} if mini else _changes(window, market)
    return {
        "symbol": market.symbol,
        **changes,
        **prices,
        "openTime": time(window.start_us),
        "closeTime": time(window.end_us),
        "firstId": window.first_id,
        "lastId": window.last_id,
        "count": window.trades,
    }


def day_ticker(market: Market, window: Window, book: Book, time: Time) -> dict[str, Any]:
    """An element of `ticker/24hr`; without `bidQty` clients take it for a futures ticker."""
    return {
        **window_ticker(market, window, time),
        "prevClosePrice": price(window.previous_close_e8),
        "lastQty": format_amount(window.last_base, market.base.decimals),
        **_best(book, market),
    }


def average_price(market: Market, minutes: int, average_e8: int, close_time: int) -> dict[str, Any]:
    """The answer of `avgPrice`."""
    return {
        "mins": minutes,
        "price": price(average_e8),
        "closeTime": close_time,
    }


def price(price_e8: int) -> str:
    """A price with 8 decimals."""
    return format_amount(price_e8, PLACES)


def average_e8(base_amount: int, quote_amount: int, market: Market) -> int:
    """Quote per base in units of 10^-8, rounded down; 0 without trades."""
    if base_amount == 0:
        return 0
    scaled: int = quote_amount * 10 ** (market.base.decimals + PLACES)
    units: int = base_amount * 10**market.quote.decimals
    return scaled // units


def _changes(window: Window, market: Market) -> dict[str, Any]:
    change = window.last_e8 - window.open_e8
    thousandths = change * 100_000 // window.open_e8 if window.open_e8 else 0
    average = average_e8(window.base_amount, window.quote_amount, market)
    return {
        "priceChange": price(change),
        "priceChangePercent": format_amount(thousandths, 3, places=3),
        "weightedAvgPrice": price(average),
    }


def _best(book: Book, market: Market) -> dict[str, str]:
    bid_price, bid_amount = book.bids[0] if book.bids else (0, 0)
    ask_price, ask_amount = book.asks[0] if book.asks else (0, 0)
    return {
        "bidPrice": price(bid_price),
        "bidQty": format_amount(bid_amount, market.base.decimals),
        "askPrice": price(ask_price),
        "askQty": format_amount(ask_amount, market.base.decimals),
    }


def _levels(levels: list[tuple[int, int]], market: Market) -> list[list[str]]:
    decimals = market.base.decimals
    return [[price(price_e8), format_amount(amount, decimals)] for price_e8, amount in levels]
