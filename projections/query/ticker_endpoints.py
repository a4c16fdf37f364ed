"""Tickers: the last day's, those of other spans, last prices, best prices, averages."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from domain.reference import Market
from infra.http import errors
from infra.http.app import Call, Endpoint
from infra.http.parameters import Parameters
from projections.intervals import DAY_US, HOUR_US, MINUTE_US
from projections.layout import (
    DAY_MINUTES,
    BookTop,
    Minute,
    StoredTrade,
    Ticker,
    market_key,
    minutes_key,
    trades_key,
    unpack,
)
from projections.query import market_responses as responses
from projections.query.freshness import Target
from projections.query.market_history import MarketHistory
from projections.query.requests import (
    TickerType,
    expect_status,
    many_markets,
    of_status,
    one_market,
    optional_market,
    refuse_time_zone,
    symbol_count,
    ticker_type,
)
from projections.query.rows import Window
from projections.query.sources import Sources, give_up_s

AVERAGE_MINUTES = 5
FEW_SYMBOLS, MANY_SYMBOLS = 20, 100
"""Up to how many symbols day tickers weigh little, and up to how many less than all of them."""
MOST_SYMBOLS = 100
"""Of a request for windows, each of which is read by itself; of other tickers there may be more."""
WINDOW = "^([1-9]|[1-5][0-9])m$|^([1-9]|1[0-9]|2[0-3])h$|^[1-7]d$"
USUAL_WINDOW = "1d"

SpanAt = Callable[[int], tuple[int, int]]
"""Start and end of a window as of a log time."""

_UNIT_US = {"m": MINUTE_US, "h": HOUR_US, "d": DAY_US}
_NO_TOP = BookTop(0, 0, 0, 0, 0, 0)
_NO_TICKER = Ticker(*[0] * len(Ticker._fields))


def day_weight(parameters: Parameters) -> int:
    """Weight of a request for day tickers: by how many symbols it names."""
    count = symbol_count(parameters)
    if count is None or count > MANY_SYMBOLS:
        return 80
    return 2 if count <= FEW_SYMBOLS else 40


def price_weight(parameters: Parameters) -> int:
    """Weight of a request for last or best prices: of one market, else of a list or all."""
    return 2 if parameters.has("symbol") else 4


def per_symbol(parameters: Parameters) -> int:
    """Weight of a request for windows: 4 for each symbol, at most 200."""
    return min(4 * (symbol_count(parameters) or 1), 200)


class TickerEndpoints:
    """What markets cost, and how that changed."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._history = MarketHistory(sources.history)

    def endpoints(self) -> list[Endpoint]:
        """The paths, all public."""
        named = ("symbol", "symbols", "symbolStatus")
        day, window = (*named, "type"), (*named, "type", "windowSize")
        trading_day = (*named, "type", "timeZone")
        return [
            Endpoint("GET", "/api/v3/avgPrice", self.average_price, 2, reads=("symbol",)),
            Endpoint("GET", "/api/v3/ticker/24hr", self.day_tickers, day_weight, reads=day),
            Endpoint("GET", "/api/v3/ticker/price", self.prices, price_weight, reads=named),
            Endpoint(
                "GET", "/api/v3/ticker/bookTicker", self.book_tickers, price_weight, reads=named
            ),
            Endpoint("GET", "/api/v3/ticker", self.window_tickers, per_symbol, reads=window),
            Endpoint(
                "GET", "/api/v3/ticker/tradingDay", self.trading_day, per_symbol, reads=trading_day
            ),
        ]

    async def average_price(self, call: Call) -> dict[str, Any]:
        """The price of the last five log minutes by quantity; without trades, the last price."""
        market = one_market(call, self._sources.reference)
        number = market.market_id
        positions, (minutes, trades) = await self._sources.read_markets(
            call, [market], [("HVALS", minutes_key(number)), ("HVALS", trades_key(number))]
        )
        if not trades:
            return responses.average_price(AVERAGE_MINUTES, 0, 0)
        last = max(unpack(StoredTrade, text) for text in trades)
        (position,) = positions.values()
        since = position.time_us // MINUTE_US - AVERAGE_MINUTES
        recent = [m for m in map(_minute, minutes) if m.minute > since]
        quantity, quote = sum(m.quantity for m in recent), sum(m.quote for m in recent)
        average = responses.weighted_average(quantity, quote, market) or last.price
        return responses.average_price(AVERAGE_MINUTES, average, call.time(last.time_us))

    async def day_tickers(self, call: Call) -> Any:
        """The last 1,440 log minutes of one market (an object), of several, or of all."""
        mini = ticker_type(call.parameters) is TickerType.MINI

        def row(market: Market, ticker: Ticker, top: BookTop) -> dict[str, Any]:
            return responses.day_ticker(market, ticker, top, call.time, mini=mini)

        return await self._rows(call, row)

    async def prices(self, call: Call) -> Any:
        """The last trade's price."""
        return await self._rows(
            call, lambda market, ticker, _: responses.price_ticker(market, ticker.last_price)
        )

    async def book_tickers(self, call: Call) -> Any:
        """The best price and quantity of each side."""
        return await self._rows(call, lambda market, _, top: responses.book_ticker(market, top))

    async def window_tickers(self, call: Call) -> Any:
        """A span that ends now and begins on a minute: `windowSize`, a day if there is none."""
        size = call.parameters.optional("windowSize") or USUAL_WINDOW
        if not re.fullmatch(WINDOW, size):
            raise errors.illegal_characters("windowSize", WINDOW)
        length_us = int(size[:-1]) * _UNIT_US[size[-1]]
        return await self._windows(
            call, lambda now_us: ((now_us - length_us) // MINUTE_US * MINUTE_US, now_us)
        )

    async def trading_day(self, call: Call) -> Any:
        """The running UTC day, whose end is its last moment, as a candle's."""
        refuse_time_zone(call.parameters)

        def today(now_us: int) -> tuple[int, int]:
            start_us = now_us // DAY_US * DAY_US
            return start_us, start_us + DAY_US - 1

        return await self._windows(call, today)

    async def _rows(
        self, call: Call, row: Callable[[Market, Ticker, BookTop], dict[str, Any]]
    ) -> Any:
        """One row per named market, from its ticker and the top of its book."""
        markets, single = self._named(call)
        questions = [
            ("HMGET", market_key(market.market_id), "ticker", "book") for market in markets
        ]
        _, answers = await self._sources.read_markets(call, markets, questions)
        rows = [
            row(
                market,
                unpack(Ticker, ticker) if ticker else _NO_TICKER,
                unpack(BookTop, top) if top else _NO_TOP,
            )
            for market, (ticker, top) in zip(markets, answers, strict=True)
        ]
        return rows[0] if single else rows

    async def _windows(self, call: Call, span_at: SpanAt) -> Any:
        mini = ticker_type(call.parameters) is TickerType.MINI
        markets, single = self._named(call, windows=True)
        rows = []
        for market in markets:
            window = await self._window(call, market, span_at)
            rows.append(responses.window_ticker(market, window, call.time, mini=mini))
        return rows[0] if single else rows

    async def _window(self, call: Call, market: Market, span_at: SpanAt) -> Window:
        """Minutes from Redis, which has a day of them; those before from history."""
        number, partition = market.market_id, self._sources.market_partition(market.market_id)
        positions, (texts, ticker) = await self._sources.read_markets(
            call,
            [market],
            [("HVALS", minutes_key(number)), ("HGET", market_key(number), "ticker")],
        )
        now_us = positions[partition].time_us
        start_us, end_us = span_at(now_us)
        last_price = unpack(Ticker, ticker).last_price if ticker else 0
        kept = sorted(map(_minute, texts))
        parts = [_as_window(m) for m in kept if m.minute * MINUTE_US >= start_us]
        oldest_us = (now_us // MINUTE_US - DAY_MINUTES + 1) * MINUTE_US
        if start_us < oldest_us:
            older = await self._older(market, start_us, oldest_us)
            parts = ([older] if older else []) + parts
        return joined(parts, start_us, end_us, last_price)

    async def _older(self, market: Market, start_us: int, oldest_us: int) -> Window | None:
        partition = self._sources.market_partition(market.market_id)
        target = Target(time_us=oldest_us)
        await self._sources.history.reach("candles", partition, target, give_up_s())
        return await self._history.sum_of_minutes(market.market_id, start_us, oldest_us - MINUTE_US)

    def _named(self, call: Call, *, windows: bool = False) -> tuple[list[Market], bool]:
        """The markets a request means, of the wanted status, and whether it means one alone.

        One for `windows` must name some, and at most `MOST_SYMBOLS`: -1102, -1130.
        """
        reference = self._sources.reference
        several = many_markets(call, reference)
        if several is not None:
            if windows and len(several) > MOST_SYMBOLS:
                raise errors.invalid_data("symbols")
            return of_status(call.parameters, several), False
        single = optional_market(call, reference)
        if single is not None:
            expect_status(call.parameters, single)
            return [single], True
        if windows:
            raise errors.either_mandatory("symbol", "symbols")
        return of_status(call.parameters, reference.markets.values()), False


def joined(parts: Sequence[Window], start_us: int, end_us: int, last_price: int) -> Window:
    """Windows in order of time as one; without any, one at the last price without trades."""
    if not parts:
        last = last_price
        return Window(start_us, end_us, last, last, last, last, 0, 0, 0, 0, 0)
    return Window(
        start_us=start_us,
        end_us=end_us,
        open_price=parts[0].open_price,
        high_price=max(part.high_price for part in parts),
        low_price=min(part.low_price for part in parts),
        last_price=parts[-1].last_price,
        quantity=sum(part.quantity for part in parts),
        quote=sum(part.quote for part in parts),
        trades=sum(part.trades for part in parts),
        first_trade_id=parts[0].first_trade_id,
        last_trade_id=parts[-1].last_trade_id,
    )


def _minute(text: bytes) -> Minute:
    return unpack(Minute, text)


def _as_window(minute: Minute) -> Window:
    start_us = minute.minute * MINUTE_US
    return Window(
        start_us,
        start_us + MINUTE_US,
        minute.open_price,
        minute.high_price,
        minute.low_price,
        minute.close_price,
        minute.quantity,
        minute.quote,
        minute.trades,
        minute.first_trade_id,
        minute.last_trade_id,
    )
