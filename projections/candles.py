"""Candles of one market in all sixteen intervals, folded from its trades in log time."""

from collections.abc import Iterable, Mapping

from projections.intervals import INTERVALS, interval_open, next_open
from projections.layout import Candle, StoredTrade, unpack


class Candles:
    """The last candle of each interval. A trade that is folded in already changes nothing."""

    __slots__ = ("_ends", "_touched", "last")

    def __init__(self) -> None:
        self.last: dict[str, Candle] = {}
        self._ends: dict[str, int] = {}
        self._touched: dict[tuple[str, int], Candle] = {}

    def load(self, cells: Mapping[str, str]) -> None:
        """Go on from the stored candles."""
        self.last = {interval: unpack(Candle, text) for interval, text in cells.items()}
        self._ends = {i: next_open(i, candle.open_us) for i, candle in self.last.items()}

    def fold(self, trade: StoredTrade) -> None:
        """Put the trade into the candle of each interval that it falls into."""
        for interval in INTERVALS:
            candle = self.last.get(interval)
            if candle is not None and trade.trade_id <= candle.last_trade_id:
                continue
            if candle is None or trade.time_us >= self._ends[interval]:
                open_us = interval_open(interval, trade.time_us)
                self._ends[interval] = next_open(interval, open_us)
                candle = opened(open_us, trade)
            else:
                candle = extended(candle, trade)
            self.last[interval] = candle
            self._touched[interval, candle.open_us] = candle

    def take_touched(self) -> Iterable[tuple[str, Candle]]:
        """The candles that changed since the last call, as (interval, candle)."""
        touched, self._touched = self._touched, {}
        return [(interval, candle) for (interval, _), candle in touched.items()]


def opened(open_us: int, trade: StoredTrade) -> Candle:
    """The candle with this trade alone."""
    taker_buys = trade.taker_side == 0
    return Candle(
        open_us=open_us,
        open_price=trade.price,
        high_price=trade.price,
        low_price=trade.price,
        close_price=trade.price,
        quantity=trade.quantity,
        quote=trade.quote,
        trades=1,
        taker_buy_quantity=trade.quantity if taker_buys else 0,
        taker_buy_quote=trade.quote if taker_buys else 0,
        first_trade_id=trade.trade_id,
        last_trade_id=trade.trade_id,
    )


def extended(candle: Candle, trade: StoredTrade) -> Candle:
    """The candle with one trade more."""
    taker_buys = trade.taker_side == 0
    return candle._replace(
        high_price=max(candle.high_price, trade.price),
        low_price=min(candle.low_price, trade.price),
        close_price=trade.price,
        quantity=candle.quantity + trade.quantity,
        quote=candle.quote + trade.quote,
        trades=candle.trades + 1,
        taker_buy_quantity=candle.taker_buy_quantity + (trade.quantity if taker_buys else 0),
        taker_buy_quote=candle.taker_buy_quote + (trade.quote if taker_buys else 0),
        last_trade_id=trade.trade_id,
    )
