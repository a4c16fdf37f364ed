"""Candles of one market in all sixteen intervals, folded from its trades in log time."""

from collections.abc import Iterable, Mapping, Sequence

from projections.intervals import INTERVALS, SECOND_US, interval_open, next_open
from projections.layout import Candle, StoredTrade, unpack


class Candles:
    """The last candle of each interval. A trade that is folded in already changes nothing.

    Every interval begins and ends at a whole second, so the trades of one second are put together
    first and then added to each interval at once. `last` is up to date after `take_touched`.
    """

    __slots__ = ("_ends", "_second", "_touched", "_trades", "last")

    def __init__(self) -> None:
        self.last: dict[str, Candle] = {}
        self._ends: dict[str, int] = {}
        self._touched: dict[tuple[str, int], Candle] = {}
        self._second = -1
        # Of that second, in ascending order of their ids, and in none of the candles yet.
        self._trades: list[StoredTrade] = []

    def load(self, cells: Mapping[str, str]) -> None:
        """Go on from the stored candles."""
        self.last = {interval: unpack(Candle, text) for interval, text in cells.items()}
        self._ends = {i: next_open(i, candle.open_us) for i, candle in self.last.items()}

    def fold(self, trade: StoredTrade) -> None:
        """Put the trade into the candle of each interval that it falls into."""
        second = trade.time_us // SECOND_US
        if second != self._second:
            self._add_second()
            self._second = second
        elif self._trades and trade.trade_id <= self._trades[-1].trade_id:
            return
        self._trades.append(trade)

    def take_touched(self) -> Iterable[tuple[str, Candle]]:
        """The candles that changed since the last call, as (interval, candle)."""
        self._add_second()
        touched, self._touched = self._touched, {}
        return [(interval, candle) for (interval, _), candle in touched.items()]

    def _add_second(self) -> None:
        """Add what waits to each interval, without the trades that are in its candle already."""
        trades, self._trades = self._trades, []
        if not trades:
            return
        whole = together(trades)
        for interval in INTERVALS:
            candle, part = self.last.get(interval), whole
            if candle is not None and trades[0].trade_id <= candle.last_trade_id:
                others = [trade for trade in trades if trade.trade_id > candle.last_trade_id]
                if not others:
                    continue
                part = together(others)
            self.last[interval] = candle = self._with(interval, candle, part, trades[0].time_us)
            self._touched[interval, candle.open_us] = candle

    def _with(self, interval: str, candle: Candle | None, part: Candle, time_us: int) -> Candle:
        """The interval's candle with the trades of `part`, all from the second of `time_us`."""
        if candle is not None and time_us < self._ends[interval]:
            return joined(candle, part)
        open_us = interval_open(interval, time_us)
        self._ends[interval] = next_open(interval, open_us)
        return Candle(open_us, *part[1:])


def together(trades: Sequence[StoredTrade]) -> Candle:
    """The candle of these trades, one at least, that opens with the first."""
    prices = [trade.price for trade in trades]
    taker_buys = [trade for trade in trades if trade.taker_side == 0]
    return Candle(
        open_us=trades[0].time_us,
        open_price=prices[0],
        high_price=max(prices),
        low_price=min(prices),
        close_price=prices[-1],
        quantity=sum([trade.quantity for trade in trades]),
        quote=sum([trade.quote for trade in trades]),
        trades=len(trades),
        taker_buy_quantity=sum([trade.quantity for trade in taker_buys]),
        taker_buy_quote=sum([trade.quote for trade in taker_buys]),
        first_trade_id=trades[0].trade_id,
        last_trade_id=trades[-1].trade_id,
    )


def joined(candle: Candle, later: Candle) -> Candle:
    """Both candles as one that opens when the first does."""
    return Candle(
        open_us=candle.open_us,
        open_price=candle.open_price,
        high_price=max(candle.high_price, later.high_price),
        low_price=min(candle.low_price, later.low_price),
        close_price=later.close_price,
        quantity=candle.quantity + later.quantity,
        quote=candle.quote + later.quote,
        trades=candle.trades + later.trades,
        taker_buy_quantity=candle.taker_buy_quantity + later.taker_buy_quantity,
        taker_buy_quote=candle.taker_buy_quote + later.taker_buy_quote,
        first_trade_id=candle.first_trade_id,
        last_trade_id=later.last_trade_id,
    )
