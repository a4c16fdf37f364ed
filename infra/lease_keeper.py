"""Tends leases from a thread of its own, so that a slow store keeps nobody waiting."""

import time
from collections.abc import Callable, Sequence
from threading import Condition, Thread

from infra.ending import end_process
from infra.lease import Lease

LOOK_S = 0.05
LOOK_URGENTLY_S = 0.01
STALL_S = 1.0
"""A main thread that was not seen for so long could not lead: it takes no lease."""
HANG_S = 3.0
"""A main thread that was not seen for so long hangs: its leases are renewed no more.

A call to brokers may take a minute, and if only this process is cut off from them, another one
shall lead meanwhile. If all are cut off, nobody takes the lease, since those who stand by notice
it sooner (`STALL_S`, `Lease.able`): its holder renews it once its call has returned, and goes on.
"""
LOST_S = 75.0
"""A main thread that was not seen for so long does not come back: no call waits for more than 60 s.

Its process ends, since nobody would stand by for whoever leads instead.
"""


def end_hung_process() -> None:
    """Say where every thread stands, and end this process at once."""
    end_process("leases", f"the main thread hangs since {LOST_S:.0f} s", stacks=True)


class LeaseKeeper:
    """Keeps the leases of one process; its main thread beats and reads how they stand.

    `on_hang` is called in the keeper's thread when the main thread does not come back.
    """

    def __init__(
        self, leases: Sequence[Lease], on_hang: Callable[[], None] = end_hung_process
    ) -> None:
        self._leases = leases
        self._on_hang = on_hang
        self._beat_s: float | None = None
        self._watched_s = 0.0
        self._missed_s = 0.0
        self._asked = 0
        self._answered = 0
        self._closing = False
        self._changed = Condition()
        self._thread = Thread(target=self._run, name="leases", daemon=True)

    def start(self) -> None:
        """Begin to wait for the leases, and to renew what is held."""
        self._thread.start()

    def beat(self) -> None:
        """Say that the main thread is at work; from the first time on it must be said again."""
        self._beat_s = time.monotonic()
        self._missed_s = 0.0

    def refresh(self, timeout_s: float) -> None:
        """Look at all leases now, and return when that is done, or after `timeout_s` without."""
        with self._changed:
            self._asked += 1
            mine = self._asked
            self._changed.notify_all()
            self._changed.wait_for(lambda: self._answered >= mine, timeout_s)

    def look(self, *, asked: bool) -> None:
        """Tend what the main thread is alive for; whoever asks is, for however long it hung."""
        silent_s = 0.0 if asked else self._silent_s()
        for lease in self._leases:
            if not lease.is_held and silent_s > STALL_S:
                lease.able = False
            if not lease.is_held or silent_s <= HANG_S:
                lease.tend()

    def watch(self) -> None:
        """Count how long the main thread is missing, but not while the whole process is frozen."""
        now_s = time.monotonic()
        passed_s = min(now_s - self._watched_s, STALL_S)
        self._watched_s = now_s
        if self._beat_s is not None:
            self._missed_s += passed_s
        if self._missed_s > LOST_S:
            self._on_hang()

    def close(self) -> None:
        """Give back all that is held."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        for lease in self._leases:
            lease.release()

    def _run(self) -> None:
        while not self._closing:
            asked = self._asked
            self.look(asked=asked != self._answered)
            self.watch()
            urgent = any(lease.urgent for lease in self._leases)
            with self._changed:
                self._answered = asked
                self._changed.notify_all()
                if self._asked == asked and not self._closing:
                    self._changed.wait(LOOK_URGENTLY_S if urgent else LOOK_S)

    def _silent_s(self) -> float:
        beat_s = self._beat_s
        return time.monotonic() - beat_s if beat_s is not None else 0.0
