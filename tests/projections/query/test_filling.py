"""Candle filling and spans of candles against naive walks; aggregates against a naive grouping."""

from itertools import groupby

from hypothesis import given
from hypothesis import strategies as st

from projections.intervals import INTERVALS, interval_open, next_open
from projections.layout import Candle
from projections.query.filling import filled, flat, steps_earlier, steps_later, wanted_opens
from projections.query.market_history import aggregate
from projections.query.requests import Span
from tests.projections.query.world import T0_US, trade

intervals = st.sampled_from(INTERVALS)
times_us = st.integers(min_value=T0_US, max_value=T0_US + 400 * 86_400_000_000)
steps = st.integers(min_value=0, max_value=40)


def naive_opens(interval: str, first_us: int, last_us: int) -> list[int]:
    """Every opening time in [first_us, last_us], walked one by one."""
    opens = []
    open_us = interval_open(interval, first_us)
    while open_us <= last_us:
        if open_us >= first_us:
            opens.append(open_us)
        open_us = next_open(interval, open_us)
    return opens


def traded(open_us: int, close: int) -> Candle:
    return flat(open_us, close)._replace(trades=1, quantity=7)


@given(intervals, times_us, steps)
def test_steps_lead_forth_and_back(interval, time_us, count):
    open_us = interval_open(interval, time_us)
    later = steps_later(interval, open_us, count)
    assert naive_opens(interval, open_us, later)[-1] == later
    assert len(naive_opens(interval, open_us, later)) == count + 1
    assert steps_earlier(interval, later, count) == open_us


@given(
    interval=intervals,
    first_us=times_us,
    ahead=steps,
    limit=st.integers(min_value=1, max_value=50),
    start=st.none() | st.integers(min_value=-10, max_value=60),
    end=st.none() | st.integers(min_value=-10, max_value=60),
    inside_us=st.integers(min_value=-1, max_value=1),
)
def test_wanted_opens_are_those_of_a_naive_walk(
    interval, first_us, ahead, limit, start, end, inside_us
):
    first_us = interval_open(interval, first_us)
    now_us = steps_later(interval, first_us, ahead)
    span = Span(
        None if start is None else _moved(interval, first_us, start) + inside_us,
        None if end is None else _moved(interval, first_us, end) + inside_us,
    )
    opens = [
        each
        for each in naive_opens(interval, first_us, now_us)
        if (span.start_us is None or each >= span.start_us)
        and (span.end_us is None or each <= span.end_us)
    ]
    opens = opens[:limit] if span.ascending else opens[-limit:]

    found = wanted_opens(interval, span, first_us=first_us, now_us=now_us, limit=limit)

    assert found == ((opens[0], opens[-1]) if opens else None)


def _moved(interval: str, open_us: int, count: int) -> int:
    if count < 0:
        return steps_earlier(interval, open_us, -count)
    return steps_later(interval, open_us, count)


@given(
    interval=intervals,
    first_us=times_us,
    closes=st.lists(st.none() | st.integers(min_value=1, max_value=10**6), min_size=1, max_size=40),
    before=st.none() | st.integers(min_value=1, max_value=10**6),
)
def test_filled_candles_have_no_gap_and_carry_the_last_close(interval, first_us, closes, before):
    first_us = interval_open(interval, first_us)
    last_us = steps_later(interval, first_us, len(closes) - 1)
    opens = naive_opens(interval, first_us, last_us)
    rows = [
        traded(open_us, close)
        for open_us, close in zip(opens, closes, strict=True)
        if close is not None
    ]
    previous = None if before is None else traded(first_us - 1, before)

    found = list(filled(interval, (first_us, last_us), rows, previous))

    expected, last = [], before
    for open_us, close in zip(opens, closes, strict=True):
        last = close or last
        if last is not None:
            expected.append((open_us, last, 1 if close else 0))
    assert [(row.open_us, row.close_price, row.trades) for row in found] == expected
    assert sum(row.quantity for row in found) == 7 * len(rows)
    for row in found:
        if not row.trades:
            assert row.open_price == row.high_price == row.low_price == row.close_price


@given(st.lists(st.tuples(st.integers(1, 3), st.integers(1, 2)), max_size=40))
def test_aggregates_are_the_runs_of_one_taker_at_one_price(pairs):
    rows = [
        trade(n, T0_US + n, taker_order_id=taker, price=price)
        for n, (taker, price) in enumerate(pairs, start=1)
    ]
    found = aggregate(rows)
    runs = [list(run) for _, run in groupby(rows, key=lambda t: (t.taker_order_id, t.price))]
    assert [(a.first_id, a.last_id, a.quantity) for a in found] == [
        (run[0].trade_id, run[-1].trade_id, sum(t.quantity for t in run)) for run in runs
    ]
