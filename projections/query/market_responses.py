"""Trades, books, candles and tickers as Binance's JSON: texts with 8 decimals, times as told."""

from collections.abc import Callable
from typing import Any

from domain.money import PLACES, format_amount
from domain.orders.messages import Side
from domain.reference import Market
from projections.layout import BookTop, Candle, StoredTrade, Ticker
from projections.query.rows import AggregateTrade, Book, Level, Window

Time = Callable[[int], int]
"""Turns microseconds into the unit that the client wants."""

NO_TRADE = -1
"""First and last trade of a ticker without any; the stored one has 0."""

UNUSED = "0"
"""The last element of a kline, which means nothing any more."""


def trade(row: StoredTrade, market: Market, time: Time) -> dict[str, Any]:
    """An element of `trades` and `historicalTrades`."""
    return {
        "id": row.trade_id,
        "price": price(row.price),
        "qty": format_amount(row.quantity, market.base.decimals),
        "quoteQty": format_amount(row.quote, market.quote.decimals),
        "time": time(row.time_us),
        "isBuyerMaker": row.taker_side == Side.SELL,
        "isBestMatch": True,
    }


def aggregate_trade(row: AggregateTrade, market: Market, time: Time) -> dict[str, Any]:
    """An element of `aggTrades`; its id is the id of its first trade."""
    return {
        "a": row.first_id,
        "p": price(row.price),
        "q": format_amount(row.quantity, market.base.decimals),
        "f": row.first_id,
        "l": row.last_id,
        "T": time(row.time_us),
        "m": row.taker_side == Side.SELL,
        "M": True,
    }


def depth(book: Book, market: Market) -> dict[str, Any]:
    """Exactly three keys: clients take any short one more (`T`) for a futures book."""
    return {
        "lastUpdateId": book.book_seq,
        "bids": _levels(book.bids, market),
        "asks": _levels(book.asks, market),
    }


def kline(row: Candle, next_open_us: int, market: Market, time: Time) -> list[Any]:
    """The twelve elements of a candle that ends right before `next_open_us`."""
    base, quote = market.base.decimals, market.quote.decimals
    return [
        time(row.open_us),
        price(row.open_price),
        price(row.high_price),
        price(row.low_price),
        price(row.close_price),
        format_amount(row.quantity, base),
        time(next_open_us) - 1,
        format_amount(row.quote, quote),
        row.trades,
        format_amount(row.taker_buy_quantity, base),
        format_amount(row.taker_buy_quote, quote),
        UNUSED,
    ]


def price_ticker(market: Market, last_price: int) -> dict[str, Any]:
    """An element of `ticker/price`."""
    return {"symbol": market.symbol, "price": price(last_price)}


def book_ticker(market: Market, top: BookTop) -> dict[str, Any]:
    """An element of `ticker/bookTicker`; zeros where a side is empty."""
    return {"symbol": market.symbol, **_best(top, market)}


def window_ticker(market: Market, window: Window, time: Time, *, mini: bool) -> dict[str, Any]:
    """An element of `ticker` and `ticker/tradingDay`; `mini` leaves out what can be derived."""
    changes = {} if mini else _changes(window, market)
    return {
        "symbol": market.symbol,
        **changes,
        "openPrice": price(window.open_price),
        "highPrice": price(window.high_price),
        "lowPrice": price(window.low_price),
        "lastPrice": price(window.last_price),
        "volume": format_amount(window.quantity, market.base.decimals),
        "quoteVolume": format_amount(window.quote, market.quote.decimals),
        "openTime": time(window.start_us),
        "closeTime": time(window.end_us),
        "firstId": window.first_trade_id if window.trades else NO_TRADE,
        "lastId": window.last_trade_id if window.trades else NO_TRADE,
        "count": window.trades,
    }


def day_ticker(
    market: Market, ticker: Ticker, top: BookTop, time: Time, *, mini: bool
) -> dict[str, Any]:
    """An element of `ticker/24hr`; without `bidQty` clients take it for a futures ticker."""
    window = Window(
        start_us=ticker.open_us,
        end_us=ticker.time_us,
        open_price=ticker.open_price,
        high_price=ticker.high_price,
        low_price=ticker.low_price,
        last_price=ticker.last_price,
        quantity=ticker.quantity,
        quote=ticker.quote,
        trades=ticker.trades,
        first_trade_id=ticker.first_trade_id,
        last_trade_id=ticker.last_trade_id,
    )
    answer = window_ticker(market, window, time, mini=mini)
    if mini:
        return answer
    return {
        **answer,
        "prevClosePrice": price(ticker.previous_close),
        "lastQty": format_amount(ticker.last_quantity, market.base.decimals),
        **_best(top, market),
    }


def average_price(minutes: int, average: int, close_time: int) -> dict[str, Any]:
    """The answer of `avgPrice`."""
    return {"mins": minutes, "price": price(average), "closeTime": close_time}


def price(price_e8: int) -> str:
    """A price with 8 decimals."""
    return format_amount(price_e8, PLACES)


def weighted_average(quantity: int, quote: int, market: Market) -> int:
    """Quote per base in units of 10^-8, rounded down; 0 without trades."""
    if quantity == 0:
        return 0
    scaled: int = quote * 10 ** (market.base.decimals + PLACES)
    units: int = quantity * 10**market.quote.decimals
    return scaled // units


def _changes(window: Window, market: Market) -> dict[str, Any]:
    change = window.last_price - window.open_price
    # Rounded toward zero, so that a rise and a fall of equal size read alike.
    thousandths = abs(change) * 100_000 // window.open_price if window.open_price else 0
    average = weighted_average(window.quantity, window.quote, market)
    return {
        "priceChange": price(change),
        "priceChangePercent": format_amount(thousandths if change > 0 else -thousandths, 3, 3),
        "weightedAvgPrice": price(average),
    }


def _best(top: BookTop, market: Market) -> dict[str, str]:
    decimals = market.base.decimals
    return {
        "bidPrice": price(top.bid_price),
        "bidQty": format_amount(top.bid_quantity, decimals),
        "askPrice": price(top.ask_price),
        "askQty": format_amount(top.ask_quantity, decimals),
    }


def _levels(levels: list[Level], market: Market) -> list[list[str]]:
    decimals = market.base.decimals
    return [[price(each.price), format_amount(each.quantity, decimals)] for each in levels]
