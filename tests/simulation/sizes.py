"""How large a schedule is, drawn from its seed: most are small, for these find the most a second.

A fault that needs many shards, phases and orders is met by the few that are large.
"""

import functools
import random
from collections.abc import Sequence
from dataclasses import dataclass

from tests.simulation.world import LEDGERS, MATCHERS


@dataclass(frozen=True)
class Size:
    """Which shards run, and how much is asked of them.

    Where there are several numbers, one of them is drawn.
    """

    name: str
    ledgers: Sequence[int] = range(LEDGERS)
    matchers: Sequence[int] = range(MATCHERS)
    phases: Sequence[int] = (1, 2, 2, 3, 3, 4, 6)
    """How many of them trade."""
    commands: int = 7
    """At most so many a ledger gets in a phase."""
    races: Sequence[int] = (1, 2, 2, 3, 5)
    orders: Sequence[int] = (4, 6, 8, 14)
    """So many in a race."""
    users: int = 6
    """So many of the clients want anything."""
    rounds: int = 3
    wishes: int = 3
    """At most so many times each client wants at most so many things."""
    snapshot_records: int = 7
    """After so many there is a snapshot."""
    crashes: int = 12
    """At most so many."""
    steps_between: Sequence[int] = (12, 45, 110)
    """From crash to crash, in the mean."""
    crashes_of_whole: Sequence[int] = (0, 2, 6, 15, 40)
    steps_of_whole: Sequence[int] = (50, 150, 500)
    """The same where there are gateways."""
    patience: int = 300
    """After so many micro-steps a crash that waits for a certain one is drawn anew."""

    def line(self) -> str:
        """One line for people."""
        return f"{self.name}: {' '.join(self.shard_ids)}"

    @property
    def shard_ids(self) -> list[str]:
        """The shards that run; a ledger's users have their accounts beside it."""
        return [
            *(f"A{number}" for number in self.ledgers),
            *(f"L{number}" for number in self.ledgers),
            *(f"M{number}" for number in self.matchers),
        ]

    def slots(self, number: int) -> list[tuple[int, int]]:
        """Which ledgers trade in phase `number`, and on which matching shard: each on its own."""
        places = max(len(self.ledgers), len(self.matchers))
        turned = [(ledger, (i + number) % places) for i, ledger in enumerate(self.ledgers)]
        return [(ledger, self.matchers[i]) for ledger, i in turned if i < len(self.matchers)]


LARGE = Size("large")


@functools.lru_cache(maxsize=64)
def drawn(seed: str) -> Size:
    """The size of the schedule, or of the traffic that some share."""
    rng = random.Random(f"size {seed}")
    lot = rng.random()
    if lot >= 0.93:
        return LARGE
    if lot >= 0.7:
        return _medium(rng)
    return _small(rng)


def _small(rng: random.Random) -> Size:
    return Size(
        "small",
        ledgers=range(rng.choice((1, 1, 2))),
        matchers=rng.choice(((0,), (0,), (1,), (0, 1))),
        phases=(1, 1, 2, 2),
        commands=3,
        snapshot_records=5,
        races=(1,),
        orders=(2, 4),
        users=2,
        rounds=1,
        wishes=1,
        crashes=4,
        steps_between=(4, 8, 20),
        crashes_of_whole=(1, 2, 3, 6),
        steps_of_whole=(10, 30, 100),
        patience=60,
    )


def _medium(rng: random.Random) -> Size:
    return Size(
        "medium",
        ledgers=range(rng.choice((1, 2, 2))),
        matchers=rng.choice(((0,), (1,), (0, 1), (0, 1))),
        phases=(1, 2, 2, 3),
        commands=5,
        races=(1, 1, 2),
        orders=(4, 6),
        users=4,
        rounds=2,
        wishes=2,
        crashes=8,
        steps_between=(8, 20, 50),
        crashes_of_whole=(0, 2, 4, 10),
        steps_of_whole=(20, 60, 150),
        patience=120,
    )
