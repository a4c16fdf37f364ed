"""Writes snapshots as a forked child would, of the state at its start and slowly, or at once."""

from collections.abc import Callable

from tests.simulation.faults import Faults
from tests.simulation.files import SimFiles


class Inline:
    """A `streams.snapshots.Background` that has done the work when it has started it."""

    def start(self, work: Callable[[], None]) -> "DoneJob":
        work()
        return DoneJob()


class DoneJob:
    """Done from the start."""

    def done(self) -> bool:
        return True


class SimBackground:
    """A `streams.snapshots.Background`; on a slow disk a file is there some looks later."""

    def __init__(self, files: SimFiles, faults: Faults) -> None:
        self._files = files
        self._faults = faults

    def start(self, work: Callable[[], None]) -> "SimJob":
        """Do the work now, and let it be seen when it is done."""
        if not self._faults.strikes("slow disk"):
            work()
            return SimJob(self._files, {}, 0)
        with self._files.collecting() as written:
            work()
        return SimJob(self._files, written, self._faults.rng.randint(1, 30))


class SimJob:
    """Done after so many looks; then the files are there, unless their process ended before."""

    def __init__(self, files: SimFiles, written: dict[str, bytes], looks: int) -> None:
        self._files = files
        self._written = written
        self._looks = looks

    def done(self) -> bool:
        if self._looks:
            self._looks -= 1
            return False
        for name, data in self._written.items():
            self._files.put(name, data)
        self._written = {}
        return True
