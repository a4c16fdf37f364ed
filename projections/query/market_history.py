"""Trades and candles of the past, from ClickHouse."""

from collections.abc import Iterable, Sequence

from projections.layout import Candle, StoredTrade
from projections.query.history import History
from projections.query.requests import LAST_TIME_US, Span
from projections.query.rows import AggregateTrade, Window

TRADES_AT_ONCE = 2_000
LAST_ID = (1 << 63) - 1

_TRADE_COLUMNS = ", ".join(StoredTrade._fields)
_CANDLE_COLUMNS = ", ".join(Candle._fields)

_TRADES_SQL = f"""
    SELECT {_TRADE_COLUMNS} FROM {{database:Identifier}}.trades FINAL
    WHERE market_id = {{market:Int64}} AND trade_id BETWEEN {{low:Int64}} AND {{high:Int64}}
      AND time_us BETWEEN {{start:Int64}} AND {{end:Int64}}
    ORDER BY trade_id %s LIMIT {{limit:Int64}}
"""
_TRADES_FROM_SQL, _TRADES_BEFORE_SQL = _TRADES_SQL % "ASC", _TRADES_SQL % "DESC"

_CANDLES_SQL = f"""
    SELECT {_CANDLE_COLUMNS} FROM {{database:Identifier}}.candles FINAL
    WHERE market_id = {{market:Int64}} AND interval = {{interval:String}}
      AND open_us BETWEEN {{first:Int64}} AND {{last:Int64}}
    ORDER BY open_us %s LIMIT {{limit:Int64}}
"""
_CANDLES_FROM_SQL, _CANDLES_BEFORE_SQL = _CANDLES_SQL % "ASC", _CANDLES_SQL % "DESC"

_SUM_SQL = """
    SELECT count(), argMin(open_price, open_us), max(high_price), min(low_price),
           argMax(close_price, open_us), sum(quantity), sum(quote), sum(trades),
           min(first_trade_id), max(last_trade_id)
    FROM {database:Identifier}.candles FINAL
    WHERE market_id = {market:Int64} AND interval = '1m'
      AND open_us BETWEEN {first:Int64} AND {last:Int64}
"""


class MarketHistory:
    """What was traded, by market."""

    def __init__(self, history: History) -> None:
        self._history = history
        self._first_opens: dict[tuple[int, str], int] = {}
        self._opens_of = ""
        """The build in which the first candles open then."""

    async def trades_from(
        self, market_id: int, low_id: int, *, limit: int, span: Span
    ) -> list[StoredTrade]:
        """The oldest `limit` trades with ids from `low_id` on that lie in `span`, ascending."""
        return await self._trades(_TRADES_FROM_SQL, market_id, low_id, LAST_ID, limit, span)

    async def trades_before(
        self, market_id: int, high_id: int, *, limit: int, span: Span
    ) -> list[StoredTrade]:
        """The newest `limit` trades with ids up to `high_id` that lie in `span`, ascending."""
        found = await self._trades(_TRADES_BEFORE_SQL, market_id, 0, high_id, limit, span)
        return found[::-1]

    async def aggregates_from(
        self, market_id: int, low_id: int, *, limit: int, span: Span
    ) -> list[AggregateTrade]:
        """The oldest `limit` aggregates that begin at or after `low_id` and in `span`."""
        # One more trade in front tells whether the first aggregate began before.
        trades = await self.trades_from(
            market_id, low_id - 1, limit=TRADES_AT_ONCE, span=Span(None, span.end_us)
        )
        rows: list[StoredTrade] = list(trades)
        while True:
            complete = len(trades) < TRADES_AT_ONCE
            groups = aggregate(rows)
            # The last aggregate may go on among the trades that are not read yet.
            sure = groups if complete else groups[:-1]
            wanted = [g for g in sure if g.first_id >= low_id and _begins_in(g, span)]
            if complete or len(wanted) >= limit:
                return wanted[:limit]
            trades = await self.trades_from(
                market_id,
                rows[-1].trade_id + 1,
                limit=TRADES_AT_ONCE,
                span=Span(None, span.end_us),
            )
            rows += trades

    async def aggregates_before(
        self, market_id: int, later: Sequence[StoredTrade], *, limit: int, span: Span
    ) -> list[AggregateTrade]:
        """The newest `limit` aggregates of what history has in `span` and of `later`, ascending.

        `later` are the market's last trades, if the caller has them; history need not.
        """
        rows = list(later)
        while True:
            below = rows[0].trade_id - 1 if rows else LAST_ID
            trades = await self.trades_before(
                market_id, below, limit=TRADES_AT_ONCE, span=Span(None, span.end_us)
            )
            rows = trades + rows
            complete = len(trades) < TRADES_AT_ONCE
            groups = aggregate(rows)
            # The first aggregate may have begun among the trades that are not read yet.
            sure = groups if complete else groups[1:]
            if complete or len(sure) >= limit:
                return sure[-limit:]

    async def id_at(self, market_id: int, time_us: int) -> int:
        """An id not above that of the first trade at or after `time_us`, and close to it."""
        found = await self._candles(_CANDLES_BEFORE_SQL, market_id, "1m", 0, time_us, limit=1)
        return found[0].first_trade_id if found else 0

    async def candles(
        self, market_id: int, interval: str, opens: tuple[int, int], limit: int
    ) -> list[Candle]:
        """Candles with trades that open in `opens`, both ends included, ascending."""
        return await self._candles(_CANDLES_FROM_SQL, market_id, interval, *opens, limit=limit)

    async def candle_before(self, market_id: int, interval: str, open_us: int) -> Candle | None:
        """The last candle with trades that opens before `open_us`."""
        found = await self._candles(
            _CANDLES_BEFORE_SQL, market_id, interval, 0, open_us - 1, limit=1
        )
        return found[0] if found else None

    async def first_open(self, market_id: int, interval: str) -> int | None:
        """The opening time of the market's first candle, None if it never traded."""
        if self._opens_of != self._history.build:
            self._opens_of, self._first_opens = self._history.build, {}
        key, known = (market_id, interval), self._first_opens
        if key not in known:
            found = await self._candles(
                _CANDLES_FROM_SQL, market_id, interval, 0, LAST_TIME_US, limit=1
            )
            if not found:
                return None
            known[key] = found[0].open_us
        return known[key]

    async def sum_of_minutes(self, market_id: int, first_us: int, last_us: int) -> Window | None:
        """All trades of the minutes that open in [first_us, last_us]; None without any."""
        ((count, *sums),) = await self._history.rows(
            _SUM_SQL, market=market_id, first=first_us, last=last_us
        )
        return Window(first_us, last_us, *sums) if count else None

    async def _trades(
        self, sql: str, market_id: int, low_id: int, high_id: int, limit: int, span: Span
    ) -> list[StoredTrade]:
        rows = await self._history.rows(
            sql,
            market=market_id,
            low=low_id,
            high=high_id,
            limit=limit,
            **span.bounds(),
        )
        return [StoredTrade(*row) for row in rows]

    async def _candles(
        self, sql: str, market_id: int, interval: str, first: int, last: int, *, limit: int
    ) -> list[Candle]:
        rows = await self._history.rows(
            sql, market=market_id, interval=interval, first=first, last=last, limit=limit
        )
        return [Candle(*row) for row in rows]


def aggregate(trades: Iterable[StoredTrade]) -> list[AggregateTrade]:
    """Trades in order of their ids, those of one taker order at one price as one."""
    groups: list[list[StoredTrade]] = []
    for trade in trades:
        if groups and _belongs(trade, groups[-1][-1]):
            groups[-1].append(trade)
        else:
            groups.append([trade])
    return [_aggregated(group) for group in groups]


def _belongs(trade: StoredTrade, before: StoredTrade) -> bool:
    return trade.taker_order_id == before.taker_order_id and trade.price == before.price


def _aggregated(group: Sequence[StoredTrade]) -> AggregateTrade:
    first, last = group[0], group[-1]
    return AggregateTrade(
        first_id=first.trade_id,
        last_id=last.trade_id,
        price=first.price,
        quantity=sum(trade.quantity for trade in group),
        time_us=first.time_us,
        taker_side=first.taker_side,
    )


def _begins_in(group: AggregateTrade, span: Span) -> bool:
    return span.start_us is None or group.time_us >= span.start_us
