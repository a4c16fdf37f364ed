"""The last 1,440 log minutes of one market: its 24-hour ticker and its volatility."""

from collections.abc import Mapping
from math import isqrt

from projections.intervals import MINUTE_US
from projections.layout import DAY_MINUTES, Minute, StoredTrade, Ticker, unpack

CHANGE_UNITS = 10**9
"""Changes of price are counted in parts of it so small that many of them add up."""

UNITS_PER_PPM = 1_000


class Day:
    """Minutes with trades, and what they come to. Finished minutes are added up once a minute."""

    __slots__ = ("_finished", "last_price", "last_quantity", "minutes", "previous_close")

    def __init__(self) -> None:
        self.minutes: dict[int, Minute] = {}
        self.last_price = 0
        self.last_quantity = 0
        self.previous_close = 0
        self._finished: Minute | None = None

    def load(self, cells: Mapping[str, str], ticker: str | None) -> None:
        """Go on from the stored minutes and the stored `Ticker`."""
        minutes = sorted(unpack(Minute, text) for text in cells.values())
        self.minutes = {minute.minute: minute for minute in minutes}
        if ticker is not None:
            stored = unpack(Ticker, ticker)
            self.last_price = stored.last_price
            self.last_quantity = stored.last_quantity
            self.previous_close = stored.previous_close

    def fold(self, trade: StoredTrade) -> Minute:
        """Put the trade into its minute, which is returned."""
        number = trade.time_us // MINUTE_US
        change, last = 0, self.last_price
        if last:
            change = abs(trade.price - last) * CHANGE_UNITS // last
        minute = self.minutes.get(number)
        if minute is None:
            minute = _opened(number, trade, change * change)
        else:
            minute = _extended(minute, trade, change * change)
        self.minutes[number] = minute
        self.last_price, self.last_quantity = trade.price, trade.quantity
        return minute

    def turn(self, minute: int) -> list[int]:
        """Begin the log minute `minute`: forget those a day old, which are returned."""
        gone = [number for number in self.minutes if number <= minute - DAY_MINUTES]
        for number in gone:
            self.previous_close = self.minutes.pop(number).close_price
        self._finished = _sum([m for m in self.minutes.values() if m.minute < minute])
        return gone

    def ticker(self, time_us: int) -> Ticker:
        """The ticker as of `time_us`, whose minute `turn` was told."""
        number = time_us // MINUTE_US
        parts = [part for part in (self._finished, self.minutes.get(number)) if part is not None]
        whole = _sum(parts)
        last = self.last_price
        if whole is None:
            whole = Minute(number, last, last, last, last, 0, 0, 0, 0, 0, 0)
        return Ticker(
            time_us=time_us,
            open_us=(number - DAY_MINUTES + 1) * MINUTE_US,
            open_price=whole.open_price,
            high_price=whole.high_price,
            low_price=whole.low_price,
            last_price=last,
            last_quantity=self.last_quantity,
            previous_close=self.previous_close or whole.open_price,
            quantity=whole.quantity,
            quote=whole.quote,
            trades=whole.trades,
            first_trade_id=whole.first_trade_id,
            last_trade_id=whole.last_trade_id,
        )

    def volatility_ppm(self, minute: int) -> int:
        """How much prices moved in a log minute: the root of the sum of squared changes."""
        found = self.minutes.get(minute)
        return isqrt(found.squares) // UNITS_PER_PPM if found is not None else 0


def _opened(number: int, trade: StoredTrade, square: int) -> Minute:
    price, trade_id = trade.price, trade.trade_id
    return Minute(
        number,
        price,
        price,
        price,
        price,
        trade.quantity,
        trade.quote,
        1,
        trade_id,
        trade_id,
        square,
    )


def _extended(minute: Minute, trade: StoredTrade, square: int) -> Minute:
    return minute._replace(
        high_price=max(minute.high_price, trade.price),
        low_price=min(minute.low_price, trade.price),
        close_price=trade.price,
        quantity=minute.quantity + trade.quantity,
        quote=minute.quote + trade.quote,
        trades=minute.trades + 1,
        last_trade_id=trade.trade_id,
        squares=minute.squares + square,
    )


def _sum(minutes: list[Minute]) -> Minute | None:
    """Minutes in order of time as one; None for no minutes."""
    if not minutes:
        return None
    first, last = minutes[0], minutes[-1]
    return Minute(
        minute=last.minute,
        open_price=first.open_price,
        high_price=max(m.high_price for m in minutes),
        low_price=min(m.low_price for m in minutes),
        close_price=last.close_price,
        quantity=sum(m.quantity for m in minutes),
        quote=sum(m.quote for m in minutes),
        trades=sum(m.trades for m in minutes),
        first_trade_id=first.first_trade_id,
        last_trade_id=last.last_trade_id,
        squares=0,
    )
