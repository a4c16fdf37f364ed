"""exchangeInfo, books, trades and candles of markets."""

import json
from collections.abc import Mapping
from typing import Any

from domain.reference import Market
from infra.http import errors
from infra.http.app import Call, Endpoint
from infra.http.parameters import Parameters
from projections.intervals import INTERVALS, interval_open, next_open
from projections.layout import (
    BookTop,
    Candle,
    Position,
    StoredTrade,
    asks_key,
    bids_key,
    candles_key,
    market_key,
    trades_key,
    unpack,
)
from projections.query import market_responses as responses
from projections.query.exchange_info import exchange_info
from projections.query.filling import filled, wanted_opens
from projections.query.freshness import Target
from projections.query.market_history import MarketHistory, aggregate
from projections.query.requests import (
    SPAN,
    Span,
    expect_status,
    many_markets,
    of_status,
    one_market,
    optional_market,
    refuse_time_zone,
    row_limit,
    sent_limit,
    time_span,
)
from projections.query.rows import AggregateTrade, Book, Level
from projections.query.sources import Sources, give_up_s

MOST_LEVELS = 5_000
MOST_ROWS = 1_000
USUAL_LEVELS = 100
USUAL_ROWS = 500

INFO_PARAMETERS = ("symbol", "symbols", "permissions", "showPermissionSets", "symbolStatus")
KLINE_PARAMETERS = ("symbol", "interval", "timeZone", "limit", *SPAN)


def depth_weight(parameters: Parameters) -> int:
    """Weight of a request for so many levels."""
    limit = sent_limit(parameters, USUAL_LEVELS)
    steps = ((100, 5), (500, 25), (1_000, 50))
    return next((weight for most, weight in steps if limit <= most), 250)


class BookEndpoints:
    """What a market is, what waits on its book, and what was traded there."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._history = MarketHistory(sources.history)

    def endpoints(self) -> list[Endpoint]:
        """The paths, all public."""
        newest = ("symbol", "limit")
        depth = (*newest, "symbolStatus")
        older = (*newest, "fromId")
        aggregates = (*older, *SPAN)
        return [
            Endpoint("GET", "/api/v3/exchangeInfo", self.exchange_info, 20, reads=INFO_PARAMETERS),
            Endpoint("GET", "/api/v3/depth", self.depth, depth_weight, reads=depth),
            Endpoint("GET", "/api/v3/trades", self.trades, 25, reads=newest),
            Endpoint("GET", "/api/v3/historicalTrades", self.historical_trades, 25, reads=older),
            Endpoint("GET", "/api/v3/aggTrades", self.aggregate_trades, 4, reads=aggregates),
            Endpoint("GET", "/api/v3/klines", self.klines, 2, reads=KLINE_PARAMETERS),
            Endpoint("GET", "/api/v3/uiKlines", self.klines, 2, reads=KLINE_PARAMETERS),
        ]

    async def exchange_info(self, call: Call) -> dict[str, Any]:
        """Markets with their filters, all of them or those that are named."""
        reference = self._sources.reference
        named = many_markets(call, reference)
        single = optional_market(call, reference)
        if named is not None or single is not None:
            if any(call.parameters.has(name) for name in ("permissions", "symbolStatus")):
                raise errors.invalid_combination()
            markets = named if single is None else [single]
        else:
            markets = _selected(call.parameters, list(reference.markets.values()))
        assert markets is not None, "one of the two was named"
        return exchange_info(
            markets,
            reference.limits,
            server_time=call.time(self._sources.clock.now_us()),
            permission_sets=call.parameters.flag("showPermissionSets", default=True),
        )

    async def depth(self, call: Call) -> dict[str, Any]:
        """The best levels of the book, with its sequence."""
        market = one_market(call, self._sources.reference)
        expect_status(call.parameters, market)
        limit = row_limit(call.parameters, USUAL_LEVELS, MOST_LEVELS)
        number = market.market_id
        _, (top, bids, asks) = await self._sources.read_markets(
            call,
            [market],
            [
                ("HGET", market_key(number), "book"),
                ("HGETALL", bids_key(number)),
                ("HGETALL", asks_key(number)),
            ],
        )
        sequence = unpack(BookTop, top).book_seq if top else 0
        ordered_bids, ordered_asks = _levels(bids), _levels(asks)
        book = Book(sequence, ordered_bids[: -limit - 1 : -1], ordered_asks[:limit])
        return responses.depth(book, market)

    async def trades(self, call: Call) -> list[dict[str, Any]]:
        """The most recent trades."""
        market = one_market(call, self._sources.reference)
        limit = row_limit(call.parameters, USUAL_ROWS, MOST_ROWS)
        _, rows = await self._recent_trades(call, market)
        return [responses.trade(row, market, call.time) for row in rows[-limit:]]

    async def historical_trades(self, call: Call) -> list[dict[str, Any]]:
        """Trades from an id on; without one, the most recent."""
        low_id = call.parameters.optional_integer("fromId")
        if low_id is None:
            return await self.trades(call)
        market = one_market(call, self._sources.reference)
        limit = row_limit(call.parameters, USUAL_ROWS, MOST_ROWS)
        await self._sources.reach_trades(call, market)
        rows = await self._history.trades_from(market.market_id, low_id, limit=limit, span=Span())
        return [responses.trade(row, market, call.time) for row in rows]

    async def aggregate_trades(self, call: Call) -> list[dict[str, Any]]:
        """Trades of one taker order at one price as one, from an id or in a span of time."""
        market = one_market(call, self._sources.reference)
        limit = row_limit(call.parameters, USUAL_ROWS, MOST_ROWS)
        span = time_span(call.parameters)
        low_id = call.parameters.optional_integer("fromId")
        if low_id is not None and span != Span():
            raise errors.invalid_combination()
        rows = await self._aggregates(call, market, low_id, span, limit)
        return [responses.aggregate_trade(row, market, call.time) for row in rows]

    async def klines(self, call: Call) -> list[list[Any]]:
        """Candles of one interval, without gaps since the market's first trade."""
        market = one_market(call, self._sources.reference)
        interval = call.parameters.text("interval")
        if interval not in INTERVALS:
            raise errors.invalid_interval()
        limit = row_limit(call.parameters, USUAL_ROWS, MOST_ROWS)
        refuse_time_zone(call.parameters)
        span = time_span(call.parameters)
        rows = await self._candles(call, market, interval, span, limit)
        return [
            responses.kline(row, next_open(interval, row.open_us), market, call.time)
            for row in rows
        ]

    async def _recent_trades(
        self, call: Call, market: Market
    ) -> tuple[Position, list[StoredTrade]]:
        """Those that Redis keeps, ascending, and where it stands."""
        question = ("HVALS", trades_key(market.market_id))
        positions, (texts,) = await self._sources.read_markets(call, [market], [question])
        (position,) = positions.values()
        return position, sorted(unpack(StoredTrade, text) for text in texts)

    async def _aggregates(
        self, call: Call, market: Market, low_id: int | None, span: Span, limit: int
    ) -> list[AggregateTrade]:
        number = market.market_id
        if low_id is None and span == Span():
            return await self._newest_aggregates(call, market, limit)
        await self._sources.reach_trades(call, market)
        if span.start_us is not None:
            low_id = await self._history.id_at(number, span.start_us)
        if low_id is not None:
            return await self._history.aggregates_from(number, low_id, limit=limit, span=span)
        return await self._history.aggregates_before(number, [], limit=limit, span=span)

    async def _newest_aggregates(
        self, call: Call, market: Market, limit: int
    ) -> list[AggregateTrade]:
        """Those of the recent trades, which history may lack, after those of history."""
        position, recent = await self._recent_trades(call, market)
        groups = aggregate(recent)
        # The first aggregate may have begun before what Redis keeps.
        if not recent or recent[0].trade_id == 1 or len(groups) > limit:
            return groups[-limit:]
        # History needs what was before them, of the same microsecond too; not what came since.
        oldest_us = recent[0].time_us
        target = Target(time_us=oldest_us + 1)
        if position.time_us == oldest_us:
            target = Target(cseq=position.cseq)
        partition = self._sources.market_partition(market.market_id)
        await self._sources.history.reach("trades", partition, target, give_up_s())
        return await self._history.aggregates_before(
            market.market_id, recent, limit=limit, span=Span()
        )

    async def _candles(
        self, call: Call, market: Market, interval: str, span: Span, limit: int
    ) -> list[Candle]:
        """History joined with the candle that is still open, and what is between them."""
        number, partition = market.market_id, self._sources.market_partition(market.market_id)
        question = ("HGET", candles_key(number), interval)
        positions, (text,) = await self._sources.read_markets(call, [market], [question])
        if text is None:
            return []
        latest = unpack(Candle, text)
        await self._await_history(partition, interval, latest, span)
        first_us = await self._history.first_open(number, interval)
        opens = wanted_opens(
            interval,
            span,
            first_us=latest.open_us if first_us is None else first_us,
            now_us=_log_time(positions[partition], latest),
            limit=limit,
        )
        if opens is None:
            return []
        rows = await self._history.candles(number, interval, opens, limit)
        rows = [row for row in rows if row.open_us < latest.open_us]
        if opens[0] <= latest.open_us <= opens[1]:
            rows.append(latest)
        previous = None
        if not rows or rows[0].open_us > opens[0]:
            previous = await self._candle_before(number, interval, opens[0], latest)
        return list(filled(interval, opens, rows, previous))

    async def _await_history(
        self, partition: Any, interval: str, latest: Candle, span: Span
    ) -> None:
        """Wait until history has all candles before the latest, as far as the span touches them.

        Without this a candle that ended just now would be shown flat, or without its last trades.
        """
        needed_us = latest.open_us
        if span.end_us is not None:
            last_open_us = interval_open(interval, span.end_us)
            needed_us = min(needed_us, next_open(interval, last_open_us))
        target = Target(time_us=needed_us)
        await self._sources.history.reach("candles", partition, target, give_up_s())

    async def _candle_before(
        self, market_id: int, interval: str, open_us: int, latest: Candle
    ) -> Candle | None:
        if latest.open_us < open_us:
            return latest
        return await self._history.candle_before(market_id, interval, open_us)


def _log_time(position: Position, latest: Candle) -> int:
    return max(position.time_us, latest.open_us)


def _levels(cells: Mapping[bytes, bytes]) -> list[Level]:
    """Ascending by price."""
    return sorted(Level(int(price), int(quantity)) for price, quantity in cells.items())


def _selected(parameters: Parameters, markets: list[Market]) -> list[Market]:
    """Those with the wanted permissions and status; every market here is for SPOT alone."""
    permissions = parameters.optional("permissions")
    if permissions is not None and "SPOT" not in _names(permissions):
        return []
    return of_status(parameters, markets)


def _names(text: str) -> list[str]:
    """One name, or a JSON array of names; -1130 for anything else."""
    if not text.startswith("["):
        return [text]
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        raise errors.invalid_data("permissions") from None
    if not all(isinstance(name, str) for name in names):
        raise errors.invalid_data("permissions")
    return list(names)
