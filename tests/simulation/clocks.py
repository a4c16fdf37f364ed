"""A process's own wall clock, which may be wrong by an hour; elapsed time is everybody's."""

from infra.clock import Clock
from tests.simulation.faults import Faults

HOUR_US = 3_600_000_000
JUMPS_US = (-HOUR_US, -400_000, 400_000, HOUR_US)


class OwnClock:
    """The true clock, apart from what it has jumped."""

    def __init__(self, true: Clock) -> None:
        self.offset_us = 0
        self._true = true

    def now_us(self) -> int:
        return self._true.now_us() + self.offset_us

    def monotonic_s(self) -> float:
        return self._true.monotonic_s()

    def perhaps_jump(self, faults: Faults) -> None:
        """Jump if that is a fault of this schedule; go right once nothing goes wrong any more."""
        if faults.calm:
            self.offset_us = 0
        elif faults.strikes("clock jump"):
            self.offset_us = faults.rng.choice((0, 0, 0, *JUMPS_US))
