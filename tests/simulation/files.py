"""Snapshot files in memory, with crash points around writing and renaming."""

from collections.abc import Iterator
from contextlib import contextmanager

from tests.simulation.faults import Crash, Faults


class SimFiles:
    """A directory that outlives its process; a crash may leave a file torn."""

    def __init__(self, faults: Faults) -> None:
        self._faults = faults
        self._files: dict[str, bytes] = {}
        self._collected: dict[str, bytes] | None = None

    @contextmanager
    def collecting(self) -> Iterator[dict[str, bytes]]:
        """Within, what is written is not there yet, but in what this gives."""
        self._collected = {}
        try:
            yield self._collected
        finally:
            self._collected = None

    def write(self, name: str, data: bytes) -> None:
        try:
            self._faults.point("snapshot write before")
        except Crash:
            self._files[name] = data[: self._faults.rng.randint(0, len(data))]
            raise
        if self._faults.strikes("failed fsync"):
            self._files[name] = data[: self._faults.rng.randint(0, len(data))]
            raise OSError("no space left")
        if self._collected is None:
            self._files[name] = data
        else:
            self._collected[name] = data
        self._faults.point("snapshot write after")

    def rename(self, old: str, new: str) -> None:
        self._faults.point("snapshot rename before")
        if old not in self._files:
            raise FileNotFoundError(old)
        self._files[new] = self._files.pop(old)
        self._faults.point("snapshot rename after")

    def names(self) -> list[str]:
        return sorted(self._files)

    def read(self, name: str) -> bytes:
        return self._files[name]

    def remove(self, name: str) -> None:
        self._files.pop(name, None)

    def put(self, name: str, data: bytes) -> None:
        """Let there be this file, without anything going wrong."""
        self._files[name] = data

    def spoil_newest(self) -> None:
        """Flip a byte of the newest published snapshot, as a bad disk would, or cut it off."""
        published = [name for name in self.names() if name.endswith(".snapshot")]
        if published and self._files[published[-1]]:
            data = bytearray(self._files[published[-1]])
            place = self._faults.rng.randrange(len(data))
            data[place] ^= 0x40
            if self._faults.strikes("torn snapshot"):
                del data[place:]
            self._files[published[-1]] = bytes(data)
            self._faults.happened["spoiled snapshot"] += 1

    def wipe(self) -> None:
        """Lose everything, as a new disk has."""
        self._files.clear()
