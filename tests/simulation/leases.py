"""A lease store in memory that is away at times, with crash points, and its keeper."""

from collections.abc import Sequence
from contextlib import suppress

from infra.lease import Lease, LeaseEntry, Phase
from infra.refusal import Refusal
from schemas.topics import inbox, outbox
from streams.handover import ask
from tests.simulation.faults import Crash, Faults
from tests.simulation.log import LogWorld

TTL_S = 1.2
RENEW_S = 0.1


class SimLeases:
    """The entries; it notes how the log stood whenever somebody took a lease."""

    def __init__(self, faults: Faults, log: LogWorld) -> None:
        self.taken: dict[tuple[str, str], tuple[int, int]] = {}
        """By shard and holder: the end of its outbox and the committed mark at that moment."""
        self.dead: set[str] = set()
        self.away = False
        self._entries: dict[str, LeaseEntry] = {}
        self._faults = faults
        self._log = log

    def read(self, name: str) -> LeaseEntry | None:
        self._expect()
        return self._entries.get(name)

    def swap(self, name: str, old: LeaseEntry | None, new: LeaseEntry) -> bool:
        self._expect()
        self._faults.point("lease before")
        if self._entries.get(name) != old:
            return False
        self._entries[name] = new
        if new.phase is Phase.TAKING and "." not in name:
            mark = self._log.marks.get(inbox(name))
            ends = self._log.end(outbox(name)), mark.offset if mark else 0
            self.taken[(name, new.holder)] = ends
        self._faults.point("lease after")
        return True

    def forget(self) -> None:
        """Lose everything, as a store without a disk does."""
        self._entries.clear()

    def suffer(self, shards: Sequence[str]) -> None:
        """By chance be away, be back, forget everything, or be asked to hand over a shard."""
        faults = self._faults
        if faults.crashes_left <= 0:
            self.away = False
            return
        if faults.is_due("lease store away"):
            self.away = faults.chance(0.3)
            faults.happened["lease store away"] += self.away
        if faults.strikes("leases forgotten"):
            self.forget()
        if faults.is_due("handover asked"):
            with suppress(Refusal, OSError, Crash):
                ask(self, faults.rng.choice(shards))
                faults.happened["handover asked"] += 1

    def is_gone(self, holder: str) -> bool:
        """Whether the holder is known to be dead, which nobody can rely on."""
        return holder in self.dead and self._faults.chance(0.5)

    def _expect(self) -> None:
        if self.away and self._faults.chance(0.7):
            raise OSError("the lease store is away")


class SimKeeper:
    """Looks at leases when it comes to it, as a thread would."""

    def __init__(self, leases: Sequence[Lease], faults: Faults) -> None:
        self._leases = leases
        self._faults = faults

    def beat(self) -> None:
        """A simulated main thread never hangs."""

    def refresh(self, timeout_s: float) -> None:
        for lease in self._leases:
            lease.tend()

    def come_to_it(self) -> None:
        """Perhaps this turn, perhaps later."""
        if self._faults.chance(0.6):
            self.refresh(0.0)
