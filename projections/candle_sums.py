"""What the candles of a market add up to (P3), apart from the last one, which is still growing."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from projections.changes import Row
from projections.history_sums import Sum, signed, sum_of, together
from projections.layout import Candle, StoredTrade

FIRST_FIELD = 5
"""Where the fields of `Candle` begin in a row of the table; market and interval stand before."""

Series = tuple[int, str]
"""Market and interval."""


class Told(NamedTuple):
    """What ClickHouse says of one series: the sum of all its candles, and the last one."""

    total: Sum
    last: Candle


class CandleSums:
    """The sum of all ended candles of each series, and the last candle."""

    def __init__(self) -> None:
        self.ended: dict[Series, Sum] = {}
        self.last: dict[Series, Candle] = {}

    def add(self, rows: Sequence[Row]) -> None:
        """Take rows of the table, in the order of the log."""
        for row in rows:
            market, interval = row[FIRST_FIELD - 2], row[FIRST_FIELD - 1]
            assert isinstance(market, int) and isinstance(interval, str)
            series, candle = (market, interval), Candle(*map(int, row[FIRST_FIELD:]))
            before = self.last.get(series)
            if before is not None and before.open_us != candle.open_us:
                self.ended[series] = together(self.ended.get(series, ()), sum_of([before]))
            self.last[series] = candle

    def complaint(
        self, series: Series, told: Told | None, trades: Mapping[int, StoredTrade]
    ) -> str:
        """What is wrong with a series, as a sentence; empty if nothing can be said against it.

        ClickHouse may stand elsewhere than this does: an interval that ended meanwhile says
        nothing, and trades that came meanwhile are taken off. `trades`: the last ones, by id.
        """
        ours = self.last.get(series)
        if ours is None:
            return ""
        if told is None:
            # The first few may be on their way.
            ended_here = self.ended.get(series, (0,))[0]
            return f"{ended_here} candles have ended, there are none" if ended_here > 2 else ""
        if told.last.open_us != ours.open_us:
            return ""
        nothing: Sum = (0,) * len(told.total)
        ended = (
            told.total[0] - 1,
            *(signed(a - b) for a, b in zip(told.total[1:], told.last, strict=True)),
        )
        if ended != self.ended.get(series, nothing):
            return f"ended candles must add up to {self.ended.get(series, nothing)}, do to {ended}"
        return _last_complaint(ours, told.last, trades)


def _last_complaint(ours: Candle, found: Candle, trades: Mapping[int, StoredTrade]) -> str:
    """What is wrong with the candle that still grows, compared at its own last trade."""
    later = range(found.last_trade_id + 1, ours.last_trade_id + 1)
    if found.last_trade_id > ours.last_trade_id or any(n not in trades for n in later):
        return ""
    since = [trades[n] for n in later]
    bought = [trade for trade in since if trade.taker_side == 0]
    wanted = ours._replace(
        close_price=found.close_price if since else ours.close_price,
        high_price=found.high_price if since else ours.high_price,
        low_price=found.low_price if since else ours.low_price,
        quantity=ours.quantity - sum(trade.quantity for trade in since),
        quote=ours.quote - sum(trade.quote for trade in since),
        trades=ours.trades - len(since),
        taker_buy_quantity=ours.taker_buy_quantity - sum(trade.quantity for trade in bought),
        taker_buy_quote=ours.taker_buy_quote - sum(trade.quote for trade in bought),
        last_trade_id=found.last_trade_id,
    )
    if found != wanted:
        return f"the last candle must be {tuple(wanted)}, is {tuple(found)}"
    within = ours.low_price <= found.low_price <= found.high_price <= ours.high_price
    return "" if within else f"the last candle's prices must lie within {tuple(ours)}"
