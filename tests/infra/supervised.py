"""Children that keep a journal, and a supervisor that runs them until something has happened."""

import io
import os
import signal
import sys
import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infra.settings import Settings
from infra.supervisor import Process, Supervisor


class Journal:
    """A file to which child processes add a line each time something happens to them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.touch()

    def lines(self) -> list[str]:
        return self.path.read_text().split()

    def child(self, name: str, then: str = "time.sleep(60)", **arguments: Any) -> Process:
        """A process that notes its start, does `then`, and notes SIGTERM."""
        code = f"""
            import os, signal, sys, time
            def note(word):
                with open({str(self.path)!r}, "a") as stream:
                    stream.write("{name}:" + word + "\\n")
            def end(number, frame):
                note("end")
                os._exit(0)
            signal.signal(signal.SIGTERM, end)
            note("start")
            {then}
        """
        argv = (sys.executable, "-S", "-c", textwrap.dedent(code))
        ready = arguments.pop("ready", lambda: f"{name}:start" in self.lines())
        return Process(name, argv, ready, **arguments)


def run(
    processes: Sequence[Process],
    settings: Settings,
    until: Callable[[], bool],
    *,
    watched_from_the_start: bool = False,
) -> tuple[int, str]:
    """Run until the condition holds, then send SIGINT; the status and what was said.

    The condition is asked once all serve, or from the start.
    """
    out = io.StringIO()
    ended = threading.Event()

    def interrupt() -> None:
        give_up_s = time.monotonic() + 20
        while not until() and time.monotonic() < give_up_s and not ended.is_set():
            time.sleep(0.02)
        if not ended.is_set():
            os.kill(os.getpid(), signal.SIGINT)

    watcher = threading.Thread(target=interrupt)
    on_ready = None if watched_from_the_start else watcher.start
    supervisor = Supervisor(processes, settings, on_ready=on_ready, out=out)
    if watched_from_the_start:
        watcher.start()
    status = supervisor.run()
    ended.set()
    if watcher.ident is not None:
        watcher.join()
    return status, out.getvalue()
