"""The command window: remembered until 60 s past the deadline, and the same after a snapshot."""

from hypothesis import given
from hypothesis import strategies as st

from streams.window import REMEMBERED_US, CommandWindow

commands = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 200_000_000)),
    max_size=30,
    unique_by=lambda c: c[0],
)


@given(commands, st.integers(0, 300_000_000))
def test_remembered_long_enough_and_not_for_ever(entries, time_us):
    window = CommandWindow()
    for number, deadline_us in entries:
        window.remember(number.to_bytes(16), deadline_us, number + 1)
    window.expire(time_us)
    for number, deadline_us in entries:
        cause = window.cause_of(number.to_bytes(16))
        if time_us <= deadline_us + REMEMBERED_US:
            assert cause == number + 1
        if time_us > deadline_us + REMEMBERED_US + 2_000_000:
            assert cause == 0


@given(commands, st.integers(0, 300_000_000))
def test_a_loaded_window_is_the_same(entries, time_us):
    window = CommandWindow()
    for number, deadline_us in entries:
        window.remember(number.to_bytes(16), deadline_us, number + 1)
    copy = CommandWindow.load(window.dump())
    for one in (window, copy):
        one.expire(time_us)
    assert copy.dump() == window.dump()
    assert len(copy) == len(window)
