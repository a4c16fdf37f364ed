"""The simple fold of candles: each trade into each interval, to hold the quick one against."""

from projections.intervals import INTERVALS, interval_open, next_open
from projections.layout import Candle, StoredTrade


class SimpleCandles:
    """As `projections.candles.Candles`, a trade and an interval at a time."""

    def __init__(self, last: dict[str, Candle] | None = None) -> None:
        self.last = dict(last or {})
        self.touched: dict[tuple[str, int], Candle] = {}

    def fold(self, trade: StoredTrade) -> None:
        for interval in INTERVALS:
            candle = self.last.get(interval)
            if candle is not None and trade.trade_id <= candle.last_trade_id:
                continue
            open_us = interval_open(interval, trade.time_us)
            alone = alone_in(open_us, trade)
            if candle is not None and trade.time_us < next_open(interval, candle.open_us):
                alone = with_one_more(candle, alone)
            self.last[interval] = self.touched[interval, alone.open_us] = alone

    def take_touched(self) -> list[tuple[str, Candle]]:
        touched, self.touched = self.touched, {}
        return [(interval, candle) for (interval, _), candle in touched.items()]


def alone_in(open_us: int, trade: StoredTrade) -> Candle:
    price, buys = trade.price, trade.taker_side == 0
    bought = (trade.quantity, trade.quote) if buys else (0, 0)
    ids = (trade.trade_id, trade.trade_id)
    return Candle(
        open_us, price, price, price, price, trade.quantity, trade.quote, 1, *bought, *ids
    )


def with_one_more(candle: Candle, alone: Candle) -> Candle:
    return candle._replace(
        high_price=max(candle.high_price, alone.high_price),
        low_price=min(candle.low_price, alone.low_price),
        close_price=alone.close_price,
        quantity=candle.quantity + alone.quantity,
        quote=candle.quote + alone.quote,
        trades=candle.trades + 1,
        taker_buy_quantity=candle.taker_buy_quantity + alone.taker_buy_quantity,
        taker_buy_quote=candle.taker_buy_quote + alone.taker_buy_quote,
        last_trade_id=alone.last_trade_id,
    )
