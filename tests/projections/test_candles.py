"""Candles put together second by second, against each trade into each interval at once."""

from hypothesis import example, given
from hypothesis import strategies as st

from projections.candles import Candles
from projections.intervals import DAY_US, HOUR_US, INTERVALS, MINUTE_US, SECOND_US
from projections.layout import Candle, StoredTrade, pack
from tests.projections.simple_candles import SimpleCandles

START_US = 20_635 * DAY_US - 1
"""The last microsecond of June 2026: a month ends, and a day with all its parts."""

PAUSES_US = (0, 1, 400_000, SECOND_US - 1, SECOND_US, MINUTE_US, HOUR_US, DAY_US, 31 * DAY_US)
steps = st.lists(
    st.tuples(
        st.sampled_from(PAUSES_US),
        st.integers(-2, 2),  # how far the trade's id goes on; not at all: it is a repetition
        st.integers(1, 9),
        st.integers(0, 1),
        st.booleans(),  # whether an apply ends behind it
    ),
    max_size=30,
)


def trades_of(drawn):
    time_us, trade_id = START_US, 10
    for pause_us, further, amount, side, ends in drawn:
        time_us += pause_us
        trade_id = max(1, trade_id + further)
        price = 100 + amount * (1 - 2 * side)
        yield StoredTrade(trade_id, price, amount, price * amount, time_us, side, 1, 2), ends


def agree(quick: Candles, simple: SimpleCandles, drawn, in_order=list) -> None:
    for trade, ends in trades_of(drawn):
        quick.fold(trade)
        simple.fold(trade)
        if ends:
            assert in_order(quick.take_touched()) == in_order(simple.take_touched())
    assert in_order(quick.take_touched()) == in_order(simple.take_touched())
    assert quick.last == simple.last
    assert list(quick.take_touched()) == []


@given(drawn=steps)
@example([(0, 1, 3, 0, False), (1, 1, 3, 1, False), (SECOND_US, 0, 2, 0, True)])
def test_each_apply_tells_the_candles_of_the_simple_fold(drawn):
    agree(Candles(), SimpleCandles(), drawn)


@given(
    drawn=steps,
    last_ids=st.dictionaries(st.sampled_from(INTERVALS), st.integers(1, 20)),
)
def test_loaded_candles_go_on_as_in_the_simple_fold(drawn, last_ids):
    """Also where some are missing, or further than others, which takes another order at most."""
    last = {
        interval: Candle(0, 100, 120, 90, 101, 50, 5_000, 5, 20, 2_000, 1, trade_id)
        for interval, trade_id in last_ids.items()
    }
    quick = Candles()
    quick.load({interval: pack(candle) for interval, candle in last.items()})
    agree(quick, SimpleCandles(last), drawn, in_order=sorted)


def test_trades_of_one_second_are_added_up_once():
    quick, day_us = Candles(), 20_635 * DAY_US
    for trade_id, price in enumerate((100, 130, 90, 110), 1):
        quick.fold(StoredTrade(trade_id, price, 2, 2 * price, day_us + trade_id, 0, 1, 2))
    told = dict(quick.take_touched())
    assert set(told) == set(INTERVALS)
    assert told["1s"] == Candle(day_us, 100, 130, 90, 110, 8, 860, 4, 8, 860, 1, 4)
