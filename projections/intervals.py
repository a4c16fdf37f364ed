"""The sixteen candle intervals: where an interval begins and ends, in whole numbers, UTC."""

SECOND_US = 1_000_000
MINUTE_US = 60 * SECOND_US
HOUR_US = 60 * MINUTE_US
DAY_US = 24 * HOUR_US

_FIXED_US = {
    "1s": SECOND_US,
    "1m": MINUTE_US,
    "3m": 3 * MINUTE_US,
    "5m": 5 * MINUTE_US,
    "15m": 15 * MINUTE_US,
    "30m": 30 * MINUTE_US,
    "1h": HOUR_US,
    "2h": 2 * HOUR_US,
    "4h": 4 * HOUR_US,
    "6h": 6 * HOUR_US,
    "8h": 8 * HOUR_US,
    "12h": 12 * HOUR_US,
    "1d": DAY_US,
    "3d": 3 * DAY_US,
}

INTERVALS = (*_FIXED_US, "1w", "1M")
"""Public names, shortest first."""

# The epoch was a Thursday; weeks begin on Monday, four days later.
_FIRST_MONDAY_US = 4 * DAY_US


def interval_open(interval: str, time_us: int) -> int:
    """The first microsecond of the interval that contains `time_us`.

    Raises `KeyError` for a name that is none of `INTERVALS`.
    """
    if interval == "1M":
        year, month = _month(time_us // DAY_US)
        return _days_before(year, month) * DAY_US
    if interval == "1w":
        week_us = 7 * DAY_US
        return (time_us - _FIRST_MONDAY_US) // week_us * week_us + _FIRST_MONDAY_US
    length_us = _FIXED_US[interval]
    return time_us // length_us * length_us


def next_open(interval: str, open_us: int) -> int:
    """The first microsecond after the interval that begins at `open_us`."""
    if interval == "1M":
        year, month = _month(open_us // DAY_US)
        following = (year + 1, 1) if month == 12 else (year, month + 1)
        return _days_before(*following) * DAY_US
    if interval == "1w":
        return open_us + 7 * DAY_US
    return open_us + _FIXED_US[interval]


def _days_before(year: int, month: int) -> int:
    """Days from the epoch to the first of a month, counted in years that begin in March."""
    shifted_year = year - (month <= 2)
    shifted_month = (month + 9) % 12
    in_years = 365 * shifted_year + shifted_year // 4 - shifted_year // 100 + shifted_year // 400
    in_months = (153 * shifted_month + 2) // 5
    return in_years + in_months - 719_468


def _month(day: int) -> tuple[int, int]:
    """Year and month of a day, counted from the epoch."""
    year = 1970 + day // 366
    while _days_before(year + 1, 1) <= day:
        year += 1
    month = 12
    while _days_before(year, month) > day:
        month -= 1
    return year, month
