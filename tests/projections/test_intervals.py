"""Interval arithmetic against the calendar of the standard library."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from projections.intervals import DAY_US, INTERVALS, interval_open, next_open
from tests.oracles.naive_views import candle_opens

TIMES = st.integers(0, 4_102_444_800_000_000)


def test_there_are_sixteen():
    assert len(INTERVALS) == 16


@given(interval=st.sampled_from(INTERVALS), time_us=TIMES)
def test_opens_where_the_calendar_says(interval, time_us):
    assert interval_open(interval, time_us) == candle_opens(interval, time_us)


@given(interval=st.sampled_from(INTERVALS), time_us=TIMES)
def test_intervals_touch_without_overlap(interval, time_us):
    opens = interval_open(interval, time_us)
    ends = next_open(interval, opens)
    assert opens <= time_us < ends
    assert interval_open(interval, ends) == ends
    assert interval_open(interval, ends - 1) == opens


@pytest.mark.parametrize(
    ("interval", "day", "opens"),
    [
        #           day since the epoch: what it is
        ("1w", 4, 4),  # Monday, 5 January 1970
        ("1w", 10, 4),  # the Sunday after
        ("1w", 11, 11),
        ("1M", 58, 31),  # 28 February 1970
        ("1M", 789, 761),  # 29 February 1972
        ("1M", 790, 790),
        ("3d", 5, 3),
    ],
)
def test_weeks_begin_on_monday_and_months_on_the_first(interval, day, opens):
    assert interval_open(interval, day * DAY_US + 1) == opens * DAY_US


def test_an_unknown_interval_is_an_error():
    with pytest.raises(KeyError):
        interval_open("7m", 0)
