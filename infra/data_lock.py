"""One stack per data directory, or one Kafka and one Redis that were started alone."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from infra.refusal import Refusal
from infra.settings import Settings

_ALONE = "logbourse kafka or logbourse redis"
"""Stands in the lock while parts have it: the pid of a stack that is gone must not."""


@contextmanager
def owned_data(settings: Settings) -> Iterator[None]:
    """Keep the data directory for this stack; raises `Refusal` while anything else runs on it.

    The lock goes with the process, however it ends.
    """
    with _locked(settings.data_dir / "lock", fcntl.LOCK_EX, "stack") as lock:
        _name_owner(lock, str(os.getpid()))
        yield


@contextmanager
def owned_part(settings: Settings, part: str) -> Iterator[None]:
    """Keep "kafka" or "redis" of the data directory for this process.

    Others may have other parts. Raises `Refusal` while a stack, or such a part, runs on it.
    """
    data = settings.data_dir
    with (
        _locked(data / "lock", fcntl.LOCK_SH, "stack") as shared,
        _locked(data / f"{part}.lock", fcntl.LOCK_EX, part) as own,
    ):
        _name_owner(shared, _ALONE)
        _name_owner(own, str(os.getpid()))
        yield


@contextmanager
def _locked(path: Path, kind: int, owner: str) -> Iterator[TextIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+") as lock:
        try:
            fcntl.flock(lock, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            found = lock.read().strip() or "unknown"
            by = f"pid {found}" if found.isdigit() else found
            sentence = f"{path.parent} must be used by one {owner}, was in use by {by}"
            raise Refusal(sentence) from None
        yield lock


def _name_owner(lock: TextIO, owner: str) -> None:
    lock.truncate(0)
    lock.write(owner)
    lock.flush()
