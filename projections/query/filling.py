"""Candles without gaps: which intervals a request means, and flat candles where nobody traded."""

from collections.abc import Iterable, Iterator

from projections.intervals import DAY_US, interval_open, next_open
from projections.layout import Candle
from projections.query.requests import Span


def wanted_opens(
    interval: str, span: Span, *, first_us: int, now_us: int, limit: int
) -> tuple[int, int] | None:
    """The first and last opening time that a request means; None if it means no candle.

    There are candles from `first_us` (the opening time of the market's first) to the one of log
    time `now_us`. The oldest `limit` are meant if a start was named, else the most recent.
    """
    last = interval_open(interval, now_us)
    if span.end_us is not None:
        last = min(last, interval_open(interval, span.end_us))
    first = first_us
    if span.start_us is not None:
        first = max(first, _open_at_or_after(interval, span.start_us))
    if first > last:
        return None
    if span.ascending:
        return first, min(last, steps_later(interval, first, limit - 1))
    return max(first, steps_earlier(interval, last, limit - 1)), last


def filled(
    interval: str, opens: tuple[int, int], candles: Iterable[Candle], previous: Candle | None
) -> Iterator[Candle]:
    """One candle for each opening time in `opens`, both ends included, in order of time.

    `candles` are those with trades; the others are flat at the close before them, as Binance shows
    them. `previous` is the last candle with trades before the first opening time; nothing is
    made up before there is any.
    """
    traded = {candle.open_us: candle for candle in candles}
    open_us, last_us = opens
    while open_us <= last_us:
        candle = traded.get(open_us)
        if candle is not None:
            yield candle
        elif previous is not None:
            candle = flat(open_us, previous.close_price)
            yield candle
        previous = candle or previous
        open_us = next_open(interval, open_us)


def flat(open_us: int, price: int) -> Candle:
    """An interval without a trade, at the price of the last one."""
    return Candle(
        open_us=open_us,
        open_price=price,
        high_price=price,
        low_price=price,
        close_price=price,
        quantity=0,
        quote=0,
        trades=0,
        taker_buy_quantity=0,
        taker_buy_quote=0,
        first_trade_id=-1,
        last_trade_id=-1,
    )


def steps_later(interval: str, open_us: int, steps: int) -> int:
    """The opening time `steps` intervals after `open_us`."""
    if interval == "1M":
        for _ in range(steps):
            open_us = next_open(interval, open_us)
        return open_us
    return open_us + steps * (next_open(interval, open_us) - open_us)


def steps_earlier(interval: str, open_us: int, steps: int) -> int:
    """The opening time `steps` intervals before `open_us`; months do not go before the epoch."""
    if interval == "1M":
        for _ in range(steps):
            if open_us < DAY_US:
                break
            open_us = interval_open(interval, open_us - DAY_US)
        return open_us
    return open_us - steps * (next_open(interval, open_us) - open_us)


def _open_at_or_after(interval: str, time_us: int) -> int:
    open_us = interval_open(interval, time_us)
    return open_us if open_us == time_us else next_open(interval, open_us)
