"""Which faults are on in a schedule, and how often: drawn from the seed, so that each is odd."""

import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

HIGHEST_RATES: Mapping[str, float] = {
    "frozen": 0.02,
    "clock jump": 0.005,
    "leader change": 0.003,
    "log failure": 0.005,
    "slow disk": 0.5,
    "failed fsync": 0.3,
    "torn snapshot": 0.2,
    "little room": 0.5,
    "append refused": 0.2,
    "append unknown": 0.3,
    "answer lost": 0.3,
    "client impatient": 0.05,
    "request repeated": 0.2,
    "gateway failure": 0.01,
    "redis wiped": 0.01,
    "redis set back": 0.04,
    "redis failure": 0.05,
    "late apply": 1.0,
    "insert unanswered": 0.05,
    "insert refused": 0.05,
    "two projectors": 0.5,
    "seek lost": 0.2,
    "seek late": 0.5,
    "buggify": 0.2,
    "duplicate": 0.1,
    "lost suffix": 4.0,
    "late delivery": 1.0,
    "spoiled snapshot": 0.3,
    "shard frozen": 0.05,
    "lease store away": 0.05,
    "leases forgotten": 0.02,
    "handover asked": 0.02,
}
"""Per chance to strike: a turn of a process, a request, a write, a death, as the name says.

One above 1 is nearly always certain where it is on: what dies loses what was under way.
"""

STEADY: Mapping[str, float] = {
    "lost suffix": 1.0,
    "late delivery": 0.5,
    "spoiled snapshot": 0.1,
    "shard frozen": 0.008,
    "lease store away": 0.015,
    "leases forgotten": 0.0015,
    "handover asked": 0.005,
}
"""What a world suffers for which no seed has drawn anything."""


@dataclass(frozen=True)
class Swarm:
    """A fault that is not in `rates` is off."""

    rates: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def drawn(cls, seed: int, only: Collection[str] = ()) -> "Swarm":
        """Half of all faults, or all of `only`, each at a rate up to its highest."""
        rng = random.Random(f"swarm {seed}")
        rates = {}
        for name, highest in HIGHEST_RATES.items():
            on, rate = rng.random() < 0.5, highest * rng.choice((0.05, 0.3, 1.0))
            if name in only or (on and not only):
                rates[name] = rate
        return cls(rates)

    def without(self, name: str) -> "Swarm":
        """The same with one fault off."""
        return Swarm({each: rate for each, rate in self.rates.items() if each != name})
