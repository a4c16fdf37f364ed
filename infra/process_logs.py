"""The outputs that a supervisor keeps: what a process said last, and an end to their growth."""

import json
import os
import shutil
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 64 * 1024 * 1024
_TAIL_BYTES = 65_536


def former(log: Path) -> Path:
    """Where what a log had before stands."""
    return log.with_name(f"{log.name}.1")


def bound(log: Path) -> None:
    """Let a log above `MOST_BYTES` begin anew, and keep what it had until the next time.

    It is copied and emptied, since its process has it open and writes at its end, wherever that
    is; a line that comes just then may be lost. Nothing is done where a copy would fill the disk.
    """
    # Made by us alone, and begun anew each time.
    draft = log.with_name(f"{log.name}.tmp")
    with suppress(OSError):
        size = log.stat().st_size
        if size <= MOST_BYTES or shutil.disk_usage(log.parent).free < 4 * size:
            return
        try:
            shutil.copyfile(log, draft)
            draft.replace(former(log))
        finally:
            draft.unlink(missing_ok=True)
        os.truncate(log, 0)


def last_words(log: Path) -> str:
    """The event of the last line if that is JSON, else the last line itself."""
    last = _last_line(log) or _last_line(former(log)) or "nothing"
    try:
        event = json.loads(last)
    except (ValueError, RecursionError):
        return last
    if not isinstance(event, dict):
        return last
    words = [str(event.get("event", "")), *(f"{k}={v}" for k, v in event.items() if k != "event")]
    # A library's text may have lines of its own.
    return " ".join(" ".join(words).split())


def _last_line(log: Path) -> str:
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - _TAIL_BYTES))
            lines = stream.read().decode(errors="replace").split("\n")
    except OSError:
        # An operator may have made room.
        return ""
    return next((line.strip() for line in reversed(lines) if line.strip()), "")
