"""How much of the processor this process has used, and how long it has waited for it."""

import time
from pathlib import Path

_TASKS = Path("/proc/self/task")
_NANOSECONDS = 1_000_000_000


def effort_s() -> float:
    """Seconds in which this process ran or was ready to, all its threads together.

    It stands still while the process waits for something else than the processor. Where the
    kernel does not tell the waiting, the running alone.
    """
    spent_ns = 0
    try:
        for task in _TASKS.iterdir():
            spent_ns += _of_thread(task)
    except OSError:
        return time.process_time()
    return spent_ns / _NANOSECONDS


def _of_thread(task: Path) -> int:
    """0 for a thread that has ended meanwhile."""
    try:
        running, waiting, _ = (task / "schedstat").read_text().split()
    except FileNotFoundError:
        if task.exists():
            raise
        return 0
    return int(running) + int(waiting)
