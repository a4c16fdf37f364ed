"""Where and when things go wrong, drawn from the seed alone."""

import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from infra.buggify import buggified
from tests.simulation.swarm import STEADY, Swarm


class Crash(BaseException):
    """The simulated process ends here, at the named micro-step."""


MICRO_STEPS = (
    "outbox scan before",
    *(
        f"{step} {when}"
        for step in (
            "read",
            "produce",
            "ack",
            "commit",
            "leave",
            "snapshot write",
            "snapshot rename",
            "lease",
            "mark read",
        )
        for when in ("before", "after")
    ),
)
"""Where a process of shards may end."""

OF_STANDBY = ("lease", "leave")
GATEWAY_STEPS = ("append before", "append after", "answer before", "answer after")
VIEW_STEPS = ("apply before", "apply after", "insert before", "insert after")

PATIENCE = 300


def steps_of_shards(*, standby: bool) -> tuple[str, ...]:
    """The micro-steps that are there at all: leases are kept where shards have two processes."""
    return tuple(step for step in MICRO_STEPS if standby or not step.startswith(OF_STANDBY))


@dataclass
class Faults:
    """Decides at each micro-step whether the process dies there, and how the log misbehaves.

    Half of the crashes come after so many micro-steps of any kind; the others aim at one kind, so
    that the rare ones have their share. `tell` is told every micro-step.
    """

    rng: random.Random
    crashes_left: int
    mean_steps_between_crashes: int = 40
    duplicate_rate: float = 0.03
    swarm: Swarm = field(default_factory=lambda: Swarm(STEADY))
    calm: bool = False
    """Nothing goes wrong any more, crashes included."""
    steps: Sequence[str] = MICRO_STEPS
    """What crashes aim at."""
    patience: int = PATIENCE
    """After so many micro-steps a crash that waits for a certain one is drawn anew."""
    coverage: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    tell: Callable[[str], None] | None = None
    _aim: str = ""
    _countdown: int = 0
    _patience: int = -1

    def point(self, name: str) -> None:
        """A micro-step named `name` is about to happen or has just happened."""
        if self.tell is not None:
            self.tell(f"    {name}")
        if self.crashes_left <= 0:
            return
        self._patience -= 1
        if self._patience < 0:
            self._draw()
        if self._aim and name != self._aim:
            return
        if self._countdown == 0:
            self._patience = 0
            self.crashes_left -= 1
            self.coverage[name] += 1
            raise Crash(name)
        self._countdown -= 1

    def _draw(self) -> None:
        """When the next crash is due."""
        if self.rng.random() < 0.5:
            self._expect("", self.rng.randrange(2 * self.mean_steps_between_crashes))
        else:
            self._expect(self.rng.choice(self.steps), self.rng.randrange(4))

    def _expect(self, aim: str, countdown: int) -> None:
        self._aim, self._countdown = aim, countdown
        self._patience = max(self.patience, countdown)

    def crash_soon(self) -> None:
        """Let the next crash come within some micro-steps."""
        self.crash_after(self.rng.randrange(4, 24))

    def crash_after(self, steps: int) -> None:
        """Let the next crash come after so many micro-steps."""
        self.crashes_left = max(self.crashes_left, 1)
        self._expect("", steps)

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

    def is_due(self, name: str) -> bool:
        """Whether this fault of the swarm is to happen now; who lets it happen counts it.

        Also when all is calm: a process that is ended then still loses what it had under way.
        """
        rate = self.swarm.rates.get(name, 0.0)
        return rate > 0.0 and (rate >= 1.0 or self.rng.random() < rate)

    def end(self) -> None:
        """From now on nothing goes wrong."""
        self.calm = True
        self.crashes_left = 0
        self.duplicate_rate = 0.0


@contextmanager
def rare_turns(faults: Faults) -> Iterator[None]:
    """Within, the product takes its rare turns as often as the swarm says; they are counted."""

    def decide(name: str) -> bool:
        strikes = faults.strikes("buggify")
        faults.happened[f"buggify {name}"] += strikes
        return strikes

    with buggified(decide):
        yield
