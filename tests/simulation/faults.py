"""Where and when things go wrong, drawn from the seed alone."""

import random
from collections import Counter
from dataclasses import dataclass, field

from tests.simulation.swarm import Swarm


class Crash(Exception):
    """The simulated process ends here, at the named micro-step."""


@dataclass
class Faults:
    """Decides at each micro-step whether the process dies there, and how the log misbehaves."""

    rng: random.Random
    crashes_left: int
    mean_steps_between_crashes: int = 40
    duplicate_rate: float = 0.03
    swarm: Swarm = field(default_factory=Swarm)
    calm: bool = False
    """Nothing goes wrong any more, crashes included."""
    coverage: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    _countdown: int = -1

    def point(self, name: str) -> None:
        """A micro-step named `name` is about to happen or has just happened."""
        if self.crashes_left <= 0:
            return
        if self._countdown < 0:
            self._countdown = self.rng.randrange(2 * self.mean_steps_between_crashes)
        if self._countdown == 0:
            self._countdown = -1
            self.crashes_left -= 1
            self.coverage[name] += 1
            raise Crash(name)
        self._countdown -= 1

    def crash_soon(self) -> None:
        """Let the next crash come within some micro-steps."""
        self.crashes_left = max(self.crashes_left, 1)
        self._countdown = self.rng.randrange(4, 24)

    def chance(self, rate: float) -> bool:
        """True with this probability."""
        return self.rng.random() < rate

    def strikes(self, name: str) -> bool:
        """Whether this fault of the swarm happens now; if so it is counted."""
        rate = self.swarm.rates.get(name, 0.0)
        if not rate or self.calm or self.rng.random() >= rate:
            return False
        self.happened[name] += 1
        return True

    def end(self) -> None:
        """From now on nothing goes wrong."""
        self.calm = True
        self.crashes_left = 0
        self.duplicate_rate = 0.0
