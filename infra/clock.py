"""The wall clock and the monotonic clock, as one injected object."""

import time
from typing import Protocol


class Clock(Protocol):
    """Where time comes from outside `domain/`."""

    def now_us(self) -> int:
        """Wall time in microseconds since the epoch."""

    def monotonic_s(self) -> float:
        """Seconds of a clock that never goes back."""


class SystemClock:
    """The machine's clock."""

    def now_us(self) -> int:
        return time.time_ns() // 1_000

    def monotonic_s(self) -> float:
        return time.monotonic()
