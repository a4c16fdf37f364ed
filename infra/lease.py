"""Leases: which of several hosts of a shard is to be lively. Safety never rests on them."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from threading import Lock
from typing import Protocol

RENEW_S = 0.3
TTL_S = 1.5
READY_S = 1.0
"""Who stands by says so more often than this, as long as brokers reach it."""
TOLD_AFTER_S = 5.0
TOLD_AGAIN_S = 60.0
"""Waits are mostly short: one that is not is told after the former, and again after the latter."""


class Phase(StrEnum):
    """What the holder of an entry is doing."""

    FREE = "free"
    READY = "ready"
    """Stands by: said under `standby_name` alone."""
    TAKING = "taking"
    LEADING = "leading"
    YIELDING = "yielding"


class Standing(StrEnum):
    """What a contender is to its lease."""

    WAITING = "waiting"
    HELD = "held"
    ASKED = "asked"
    """Held, and somebody wants it handed over."""
    LOST = "lost"
    RELEASED = "released"


@dataclass(slots=True, frozen=True)
class LeaseEntry:
    """What stands in the store; every change makes `counter` greater by one.

    `successor` is who was asked to take over; until the time is up, only that one takes it.
    """

    holder: str = ""
    counter: int = 0
    phase: Phase = Phase.FREE
    successor: str = ""


class LeaseStore(Protocol):
    """Where entries are. Every method raises `OSError` if the store does not answer."""

    def read(self, name: str) -> LeaseEntry | None:
        """The entry; None if there is none."""

    def swap(self, name: str, old: LeaseEntry | None, new: LeaseEntry) -> bool:
        """Put `new` in the place of `old`, its successor in counting; False if it was not there."""


class Lease:
    """One contender's part in one lease: waits for it, takes it, renews it, notices its loss.

    The time is that of this process's monotonic clock alone. A holder is gone if its counter has
    not moved for `ttl_s`, or at once if `is_gone(holder)` says so. `standing` may be read by
    another thread than the one that calls `tend`.
    """

    def __init__(
        self,
        name: str,
        holder: str,
        store: LeaseStore,
        monotonic_s: Callable[[], float],
        *,
        is_gone: Callable[[str], bool] = lambda _: False,
        able: bool = True,
        ttl_s: float = TTL_S,
        renew_s: float = RENEW_S,
    ) -> None:
        self.name = name
        self.holder = holder
        self.standing = Standing.WAITING
        self.error = ""
        """Why the store did not answer when it was asked last; empty if it did."""
        self.stands_by = False
        """Whether to tell others that somebody is ready to take over."""
        self.able = able
        """Whether it could lead if it held the lease; else it takes none."""
        self._store = store
        self._now_s = monotonic_s
        self._is_gone = is_gone
        self._ttl_s = ttl_s
        self._renew_s = renew_s
        self._entry: LeaseEntry | None = None
        self._seen_s = self._now_s()
        self._phase = Phase.TAKING
        self._renew_at_s = self._now_s()
        self._ready: LeaseEntry | None = None
        self._ready_s = self._now_s() - READY_S
        self._lock = Lock()

    @property
    def is_held(self) -> bool:
        """Whether this contender is the holder, as far as it knows."""
        return self.standing in (Standing.HELD, Standing.ASKED)

    @property
    def urgent(self) -> bool:
        """Whether the lease is about to be handed over to this contender."""
        entry = self._entry
        return (
            self.standing is Standing.WAITING
            and self.able
            and entry is not None
            and entry.phase in (Phase.YIELDING, Phase.FREE)
        )

    @property
    def has_heir(self) -> bool:
        """Whether somebody has just said that it stands by; known to the holder alone."""
        return self.is_held and self._now_s() - self._ready_s < READY_S

    @property
    def hindrance(self) -> str:
        """Why it is not held, as far as that is known; empty while it is held."""
        entry = self._entry
        if self.is_held:
            return ""
        if self.error:
            return self.error
        if entry is None:
            return "nothing is known of it yet"
        if entry.phase is Phase.FREE:
            return f"free, left to {entry.successor or 'others'} for now"
        return f"held by {entry.holder or 'nobody who is known'}"

    def tend(self) -> None:
        """Look at the store and do what is due. A store that is away changes nothing."""
        with self._lock:
            try:
                self._tend()
                self.error = ""
            except OSError as error:
                self.error = str(error) or repr(error)
                if self.standing is Standing.WAITING:
                    # The holder did not reach the store either, perhaps: it is watched anew.
                    self._entry = None

    def tell(self, phase: Phase) -> None:
        """Let the next `tend` tell others what the holder does."""
        self._phase = phase
        self._renew_at_s = self._now_s()

    def release(self) -> None:
        """Give the lease back, if it is held: whoever stands by takes over at once."""
        with self._lock:
            held = self.is_held
            self.standing = Standing.RELEASED
            with suppress(OSError):
                while held:
                    entry = self._store.read(self.name)
                    if entry is None or entry.holder != self.holder:
                        return
                    free = LeaseEntry("", entry.counter + 1, Phase.FREE, entry.successor)
                    held = not self._store.swap(self.name, entry, free)

    def put_back(self) -> None:
        """Give the lease back, if it is held, and wait for it anew."""
        self.release()
        with self._lock:
            self._entry = None
            self.standing = Standing.WAITING

    def _tend(self) -> None:
        if self.standing is Standing.WAITING:
            self._announce()
            self._try()
        elif self.is_held and self._now_s() >= self._renew_at_s:
            self._renew()
            self._look_for_heir()

    def _renew(self) -> None:
        entry = self._entry
        assert entry is not None
        renewed = replace(entry, counter=entry.counter + 1, phase=self._phase)
        if self._store.swap(self.name, entry, renewed):
            self._hold(renewed)
            return
        found = self._store.read(self.name)
        if found is None:
            # The store has forgotten everything: that makes nobody a leader.
            if self._store.swap(self.name, None, renewed):
                self._hold(renewed)
        elif found.holder == self.holder:
            self._entry = found
            if found.successor:
                self.standing = Standing.ASKED
        else:
            self.standing = Standing.LOST

    def _look_for_heir(self) -> None:
        """What stood there when it was looked at first may be old: only a change tells."""
        found = self._store.read(standby_name(self.name))
        if found is not None and self._ready is not None and found != self._ready:
            self._ready_s = self._now_s()
        self._ready = found

    def _try(self) -> None:
        found = self._store.read(self.name)
        able = self.able
        # Once it is able, it watches anew: the holder may have been cut off as it was, and goes on.
        if found is None or found != self._entry or not able:
            self._entry, self._seen_s = found, self._now_s()
        if able and self._is_free(found):
            counter = found.counter + 1 if found is not None else 1
            taken = LeaseEntry(self.holder, counter, Phase.TAKING)
            if self._store.swap(self.name, found, taken):
                self._phase = Phase.TAKING
                self._hold(taken)
                self.standing = Standing.HELD

    def _is_free(self, found: LeaseEntry | None) -> bool:
        if found is None or self._now_s() - self._seen_s >= self._ttl_s:
            return True
        if found.phase is Phase.FREE:
            return found.successor in ("", self.holder)
        return self._is_gone(found.holder)

    def _hold(self, entry: LeaseEntry) -> None:
        self._entry = entry
        self._renew_at_s = self._now_s() + self._renew_s

    def _announce(self) -> None:
        if self.stands_by and self.able and self._now_s() >= self._renew_at_s:
            self._renew_at_s = self._now_s() + self._renew_s
            name = standby_name(self.name)
            found = self._store.read(name)
            counter = found.counter + 1 if found is not None else 1
            self._store.swap(name, found, LeaseEntry(self.holder, counter, Phase.READY))


class Gathering:
    """Waits for several leases that are of use together only: takes all, or before long none.

    Others that hold the rest might wait for what is held here, and nobody would ever run.
    """

    def __init__(
        self,
        leases: Sequence[Lease],
        monotonic_s: Callable[[], float],
        pause_s: Callable[[], float],
    ) -> None:
        """`pause_s` draws how long to leave them all alone: never long the same as others do."""
        self._leases = leases
        self._now_s = monotonic_s
        self._pause_s = pause_s
        self._began_s = self._again_s = self._now_s()

    def is_complete(self) -> bool:
        """Whether all are held. Puts back what is held if the rest has not come within `TTL_S`."""
        if all(lease.is_held for lease in self._leases):
            return True
        now_s = self._now_s()
        begun = [lease for lease in self._leases if lease.standing is not Standing.WAITING]
        if not begun:
            self._began_s = now_s
        elif now_s - self._began_s >= TTL_S:
            self._again_s = now_s + self._pause_s()
            self._began_s = now_s
            self._allow(now_s)
            for lease in begun:
                lease.put_back()
        self._allow(now_s)
        return False

    def _allow(self, now_s: float) -> None:
        for lease in self._leases:
            lease.able = now_s >= self._again_s


class Hindrances:
    """Tells what leases wait for, if that lasts; to be looked at again and again."""

    def __init__(
        self,
        leases: Sequence[Lease],
        monotonic_s: Callable[[], float],
        why: Callable[[Lease], str],
        tell: Callable[[str], None],
    ) -> None:
        """`why` says what is wrong with a lease, empty if nothing is; `tell` gets it of all."""
        self._leases = leases
        self._now_s = monotonic_s
        self._why = why
        self._tell = tell
        self._next_s: float | None = None

    def look(self) -> None:
        """Tell it if it is time to."""
        found = [f"{lease.name}: {why}" for lease in self._leases if (why := self._why(lease))]
        now_s = self._now_s()
        if not found:
            self._next_s = None
        elif self._next_s is None:
            self._next_s = now_s + TOLD_AFTER_S
        elif now_s >= self._next_s:
            self._next_s = now_s + TOLD_AGAIN_S
            self._tell("; ".join(found))


def standby_name(name: str) -> str:
    """Under which name those who stand by for a lease say so."""
    return f"{name}.standby"
