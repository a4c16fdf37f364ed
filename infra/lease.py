"""Leases: which of several hosts of a shard is to be lively. Safety never rests on them."""

import fcntl
import os
from pathlib import Path
from typing import Protocol


class Lease(Protocol):
    """The right to lead one shard. Two holders are harmless, none is only slow."""

    def acquire(self) -> bool:
        """Whether this process holds the lease now."""


class FileLease:
    """A lease among the processes of one machine: a lock on a file, gone with its process."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)

    def acquire(self) -> bool:
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True
