"""The obvious fold of the outboxes' events: everything from all events again, nothing kept.

Shares with the product the message classes alone. Prices come out in ticks and quantities in lots:
`naive_markets` says what they are worth in stored form.
"""

from collections import defaultdict
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from domain.decider import Message
from domain.ledger.messages import DepositCredited, WithdrawalDebited
from domain.matching.messages import BookChanged, OrderRested, TradeExecuted
from domain.orders.messages import (
    CancelAllRequested,
    CancelRequested,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    Side,
)

Events = Sequence[tuple[int, Message]]
MINUTE = 60_000_000
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def balances(events: Events) -> dict[tuple[int, int], tuple[int, int]]:
    """(user, asset) → (available, held)."""
    free: dict[tuple[int, int], int] = defaultdict(int)
    held: dict[tuple[int, int], int] = defaultdict(int)
    for _, event in events:
        match event:
            case DepositCredited():
                free[event.user_id, event.asset_id] += event.amount
            case WithdrawalDebited():
                free[event.user_id, event.asset_id] -= event.amount
            case OrderAccepted():
                free[event.user_id, event.held_asset] -= event.held_amount
                held[event.user_id, event.held_asset] += event.held_amount
            case FillSettled():
                paid, received = event.paid_asset, event.received_asset
                held[event.user_id, paid] -= event.paid_amount + event.released_amount
                free[event.user_id, paid] += event.released_amount
                free[event.user_id, received] += event.received_amount - event.fee_amount
            case OrderClosed():
                held[event.user_id, event.released_asset] -= event.released_amount
                free[event.user_id, event.released_asset] += event.released_amount
            case _:
                pass
    return {key: (free[key], held[key]) for key in free.keys() | held.keys()}


def orders(events: Events) -> dict[int, tuple[str, int, int]]:
    """Order → (accepted, rested or the close reason's name; filled lots; filled quote)."""
    state: dict[int, tuple[str, int, int]] = {}
    for _, event in events:
        match event:
            case OrderAccepted():
                state[event.order_id] = ("accepted", 0, 0)
            case OrderRested():
                state[event.order_id] = ("rested", *state[event.order_id][1:])
            case FillSettled():
                was = state[event.order_id][0]
                state[event.order_id] = (was, event.filled_lots, event.filled_quote)
            case OrderClosed():
                state[event.order_id] = (event.reason.name, event.filled_lots, event.filled_quote)
            case _:
                pass
    return state


def depth(events: Events, market_id: int, side: Side) -> dict[int, int]:
    """Price ticks → lots."""
    changes = [e for _, e in events if isinstance(e, BookChanged) and e.market_id == market_id]
    levels = {e.price_ticks: e.lots for e in changes if e.side is side}
    return {price: lots for price, lots in levels.items() if lots}


def trades(events: Events, market_id: int) -> list[tuple[int, TradeExecuted]]:
    """(log time, trade) in order."""
    return [(t, e) for t, e in events if isinstance(e, TradeExecuted) and e.market_id == market_id]


def candle_opens(interval: str, time_us: int) -> int:
    """The first microsecond of the interval around `time_us`, by the calendar."""
    number, unit = int(interval[:-1]), interval[-1]
    if unit not in "wM":
        length = {"s": 1, "m": 60, "h": 3_600, "d": 86_400}[unit] * number
        return time_us - time_us % (length * 1_000_000)
    day = datetime.fromtimestamp(time_us // 1_000_000, UTC).replace(hour=0, minute=0, second=0)
    if unit == "M":
        start = day.replace(day=1)
    else:
        start = day - timedelta(days=day.weekday())
    return (start - EPOCH) // timedelta(microseconds=1)


def candles(
    events: Events, market_id: int, interval: str
) -> dict[int, tuple[int, int, int, int, int, int, int]]:
    """Open time → open, high, low, close in ticks, lots, trades, lots that takers bought."""
    groups: dict[int, list[TradeExecuted]] = defaultdict(list)
    for time_us, trade in trades(events, market_id):
        groups[candle_opens(interval, time_us)].append(trade)
    return {
        opens: (
            group[0].price_ticks,
            max(t.price_ticks for t in group),
            min(t.price_ticks for t in group),
            group[-1].price_ticks,
            sum(t.lots for t in group),
            len(group),
            sum(t.lots for t in group if t.taker_side is Side.BUY),
        )
        for opens, group in groups.items()
    }


def day_trades(events: Events, market_id: int, now_us: int) -> list[TradeExecuted]:
    """The trades of the 1,440 log minutes that end with the one of `now_us`."""
    first = now_us // MINUTE - 1_439
    return [trade for t, trade in trades(events, market_id) if t // MINUTE >= first]


def day_volume(events: Events, user_id: int, now_us: int) -> int:
    """Quote units of the user's fills in those minutes, over all quote assets."""
    first = now_us // MINUTE - 1_439
    return sum(
        event.paid_amount if event.side is Side.BUY else event.received_amount
        for t, event in events
        if isinstance(event, FillSettled) and event.user_id == user_id and t // MINUTE >= first
    )


def asked(events: Events, user_id: int, minute: int) -> tuple[int, int]:
    """Orders accepted and cancels asked for by the user in a log minute."""
    mine = [e for t, e in events if t // MINUTE == minute and getattr(e, "user_id", 0) == user_id]
    placed = sum(isinstance(event, OrderAccepted) for event in mine)
    return placed, sum(isinstance(event, CancelRequested | CancelAllRequested) for event in mine)


def volatility_ppm_squared(events: Events, market_id: int, minute: int) -> Fraction:
    """The sum of squared changes from trade to trade in a log minute, exact."""
    total, last = Fraction(0), 0
    for time_us, trade in trades(events, market_id):
        if last and time_us // MINUTE == minute:
            total += (Fraction(trade.price_ticks - last, last) * 1_000_000) ** 2
        last = trade.price_ticks
    return total
