"""One stack per data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager

from infra.refusal import Refusal
from infra.settings import Settings


@contextmanager
def owned_data(settings: Settings) -> Iterator[None]:
    """Keep the data directory for this stack; raises `Refusal` while another one runs on it.

    The lock goes with the process, however it ends.
    """
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            text = f"{settings.data_dir} must be used by one stack, was in use by pid {owner}"
            raise Refusal(text) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
