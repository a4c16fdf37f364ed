"""What the supervisor tells Prometheus: which processes are up, how others ended, who is halted.

A process that has halted answers no more; so its shard and reason are told here, for as long as it
stays down.
"""

import os
import re
from pathlib import Path

from infra.metrics import Counter, Gauge

_UP = Gauge("logbourse_child_up", "1 while the process runs", ("child",))
_MEMORY = Gauge("logbourse_child_resident_bytes", "Resident memory, 0 while it is down", ("child",))
_ENDS = Counter("logbourse_child_ends", "Ends that nobody asked for", ("child", "how"))
_HALTED = Gauge(
    "logbourse_child_halted", "1 while it is down after a halt", ("child", "shard", "reason")
)
_HALT = re.compile(r"shard (\w+) halted at offset \d+: ([A-Z_]+):")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def started(child: str, pid: int) -> None:
    """It runs, so that it is not halted any more."""
    _UP.labels(child).set(1)
    _MEMORY.labels(child).set_function(lambda: _resident_bytes(pid))
    _HALTED.remove_by_labels({"child": child})


def ended(child: str, how: str) -> None:
    """It has ended by itself: `how` is "status 3" or "signal SIGKILL"."""
    _ENDS.labels(child, how).inc()


def is_down(child: str) -> None:
    """It does not run."""
    _UP.labels(child).set(0)


def halted(child: str, last_words: str) -> None:
    """It stays down; its last words name shard and reason."""
    found = _HALT.search(last_words)
    shard, reason = found.groups() if found is not None else ("", "")
    _HALTED.labels(child, shard, reason).set(1)


def _resident_bytes(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_BYTES
    except OSError:
        return 0.0
