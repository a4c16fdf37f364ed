"""Who leads: follows the leases of a worker's shards, promotes shadows, steps down."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from infra.clock import Clock
from infra.lease import Lease, Phase, Standing
from streams.host import Host
from streams.shadow import Shadow

PAUSE_S = 0.5
"""A process that stood still for longer asks whether it still leads before it goes on."""

STANDSTILL_S = 4.0
"""Longer than brokers take to agree on another leader of a partition, when one of them is lost."""

EXIT_STATUS_STEPPED_DOWN = 4
"""Of a process that no longer leads; started again, it stands by."""


Member = Host | Shadow


class LeaseLost(Exception):
    """Somebody else leads a shard that was led here, or is to lead it."""


class Keeper(Protocol):
    """What keeps leases beside the hot path: `infra.lease_keeper`, or a simulation."""

    def beat(self) -> None:
        """The main thread is at work."""

    def refresh(self, timeout_s: float) -> None:
        """Look at all leases now, and wait for that at most so long."""


class Leadership:
    """The part of a worker that knows leases; `look` comes before each turn's work."""

    def __init__(
        self,
        leases: Sequence[Lease],
        members: Mapping[str, Member],
        keeper: Keeper,
        clock: Clock,
    ) -> None:
        """`members` by shard: a `Host` leads from the start, a `Shadow` once it is promoted."""
        self._leases = leases
        self._members = members
        self._keeper = keeper
        self._clock = clock
        self._looked_s = clock.monotonic_s()
        self.asked = False
        """Whether somebody wants the shards handed over."""

    def begin(self) -> None:
        """The worker has recovered; what has no shadow leads from now on."""
        for lease in self._leases:
            member = self._members[lease.name]
            if isinstance(member, Host) or member.leading:
                lease.tell(Phase.LEADING)
        self._looked_s = self._clock.monotonic_s()

    def look(self) -> None:
        """Do what the leases say.

        Raises `LeaseLost`, and `ShardHalted` where a shadow may not take over.
        """
        now_s = self._clock.monotonic_s()
        self._keeper.beat()
        if now_s - self._looked_s > PAUSE_S:
            self._keeper.refresh(PAUSE_S)
        self._looked_s = now_s
        for lease in self._leases:
            standing = lease.standing
            if standing is Standing.LOST:
                raise LeaseLost(f"shard {lease.name} is led by somebody else")
            self.asked |= standing is Standing.ASKED
            member = self._members[lease.name]
            if not (isinstance(member, Host) or member.leading):
                self._follow(member, lease)
        self._expect_progress()

    def yield_all(self) -> None:
        """Tell those who stand by that the shards are about to be released."""
        for lease in self._leases:
            if lease.is_held:
                lease.tell(Phase.YIELDING)
        self._keeper.refresh(PAUSE_S)

    def _expect_progress(self) -> None:
        """Whom brokers do not reach any more gives way, once all has an heir whom they do reach."""
        stuck = [
            lease.name
            for lease in self._leases
            if lease.is_held and self._members[lease.name].standstill_s() > STANDSTILL_S
        ]
        if stuck and all(lease.has_heir for lease in self._leases):
            words = f"got nowhere for {STANDSTILL_S:.0f} s, and others stand by"
            raise LeaseLost(f"shard {', '.join(stuck)} {words}")

    def _follow(self, shadow: Shadow, lease: Lease) -> None:
        lease.able = shadow.in_touch
        lease.stands_by = shadow.caught_up()
        if lease.is_held:
            shadow.promote()
            # To check the books takes time, and there may be more shards to take over.
            self._keeper.beat()
            lease.tell(Phase.LEADING)
