"""Keeps a list of processes alive: starts, watches, restarts, says so, stops in reverse order."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import TextIO

from infra import child_metrics
from infra.children import kill, make_nice, spawn, stop
from infra.ending import EXIT_STATUS_HALTED
from infra.ports import keep_claims, listens
from infra.process_logs import bound, last_words
from infra.settings import Settings

FIRST_PAUSE_S = 0.2
LONGEST_PAUSE_S = 10.0
# After a life of so long, which is a pause of its own, the shortest pause is enough.
STEADY_S = 5.0
LOOK_EVERY_S = 0.1
LOOK_AT_LOG_EVERY_S = 10.0
HEAD_START_S = 10.0
"""For so long a nice process is not nice yet: on a full machine it takes as long to start."""

HINT_LENGTH = 300
# A process that was never ready and died this often will not become ready by another try.
DEATHS_BEFORE_READY = 5


@dataclass(slots=True, frozen=True)
class Process:
    """What to run, and how to see that it serves.

    `ready` is asked until it says yes, before the next process starts; None means at once. It is
    not asked before the process itself listens at `port`, unless that is 0: what answers there
    may be another's. A `task` is ready when it has ended with status 0 and is not started again.
    `niceness` is added to this process's once `HEAD_START_S` are over. `metrics_port` is where it
    answers /metrics, 0 if it does not. Whether it `halts`: its exit status 3 means just that.
    """

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool] | None = None
    ready_timeout_s: float = 90.0
    port: int = 0
    environment: Mapping[str, str] = field(default_factory=dict)
    stop_timeout_s: float = 15.0
    task: bool = False
    niceness: int = 0
    metrics_port: int = 0
    halts: bool = False


class StartFailed(Exception):
    """A process never became ready; the text says which, why and where to read more."""


class Supervisor:
    """Runs processes until SIGINT or SIGTERM.

    What has halted is started again only once an operator makes <data>/run/<name>.restart. Until
    then nothing else is waited for, nor ends the run: an operator needs the others to end the halt.
    Outputs go to <data>/logs/<name>.log, what that had before it was too large to <name>.log.1,
    process ids to <data>/run/<name>.pid. `on_ready` is called once when all serve.
    """

    def __init__(
        self,
        processes: Sequence[Process],
        settings: Settings,
        *,
        on_ready: Callable[[], None] | None,
        out: TextIO = sys.stderr,
    ) -> None:
        self._children = [_Child(process, settings) for process in processes]
        self._on_ready = on_ready
        self._line = _StatusLine(out)
        self._signals = 0
        self._look_at_logs_s = 0.0

    def run(self) -> int:
        """Block until told to stop, in the main thread; returns 0, or 1 if it could not start."""
        with _signals_to(self._on_signal):
            try:
                self._start_all()
                while not self._signals:
                    self._announce()
                    self._tend()
                    self._show_status()
                    time.sleep(LOOK_EVERY_S)
            except StartFailed as failure:
                self._line.say(str(failure))
                return 1
            finally:
                self._stop_all()
        return 0

    def _start_all(self) -> None:
        for child in self._children:
            if self._signals:
                return
            child.start()
            self._line.say(f"{child.process.name} started (pid {child.pid})")
            self._wait_until_ready(child)
        for child in self._halted():
            self._line.say(f"all else is started, but {child.halt()}")

    def _wait_until_ready(self, child: "_Child") -> None:
        give_up_s = time.monotonic() + child.process.ready_timeout_s
        while not self._signals and not child.settled():
            self._tend()
            if self._halted():
                # It may need the shard to serve, and the operator needs what comes after it.
                return
            if child.deaths >= DEATHS_BEFORE_READY:
                raise StartFailed(f"{child.process.name} died {child.deaths} times, {child.hint()}")
            if time.monotonic() > give_up_s:
                within = f"within {child.process.ready_timeout_s:.0f} s"
                raise StartFailed(f"{child.process.name} must be ready {within}, {child.hint()}")
            self._show_status()
            time.sleep(LOOK_EVERY_S / 2)

    def _announce(self) -> None:
        """Tell once that all serve; who was not waited for may do so later than the start."""
        if self._on_ready is not None and all(child.settled() for child in self._children):
            on_ready, self._on_ready = self._on_ready, None
            on_ready()

    def _halted(self) -> list["_Child"]:
        return [child for child in self._children if child.halted]

    def _tend(self) -> None:
        for child in self._children:
            news = child.tend()
            if news:
                self._line.say(news)
        if time.monotonic() >= self._look_at_logs_s:
            self._look_at_logs_s = time.monotonic() + LOOK_AT_LOG_EVERY_S
            for child in self._children:
                bound(child.log)
            keep_claims()

    def _show_status(self) -> None:
        up = sum(child.is_up for child in self._children)
        halted = [child.process.name for child in self._halted()]
        restarts = sum(child.restarts for child in self._children)
        words = [f"{up} up", f"{restarts} restarts"]
        if halted:
            words.append(f"HALTED: {', '.join(halted)}")
        self._line.show(" · ".join(words))

    def _stop_all(self) -> None:
        for child in reversed(self._children):
            if child.is_up:
                self._line.show(f"stopping {child.process.name}")
            child.end(patient=lambda: self._signals < 2)
        self._line.say("stopped")

    def _on_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._signals += 1


class _Child:
    """One process and what has become of it."""

    def __init__(self, process: Process, settings: Settings) -> None:
        self.process = process
        self.deaths = 0
        self.restarts = 0
        self.halted = False
        self.log = settings.logs_dir / f"{process.name}.log"
        self._pid_file = settings.data_dir / "run" / f"{process.name}.pid"
        self._restart_file = self._pid_file.with_suffix(".restart")
        self._popen: subprocess.Popen[bytes] | None = None
        self._started_s = 0.0
        self._pause_s = FIRST_PAUSE_S
        self._start_again_s: float | None = None
        self._done = False
        self._was_ready = False
        self._is_nice = False

    @property
    def pid(self) -> int:
        return self._popen.pid if self._popen is not None else 0

    @property
    def is_up(self) -> bool:
        return self._popen is not None

    def start(self) -> None:
        # A wish from before this start is not about a halt to come.
        self._restart_file.unlink(missing_ok=True)
        self._popen = spawn(self.process.argv, self.log, self.process.environment)
        self._started_s = time.monotonic()
        self._is_nice = self.process.niceness == 0
        self._start_again_s = None
        # For people alone: a full disk must not end what runs.
        with suppress(OSError):
            self._pid_file.parent.mkdir(parents=True, exist_ok=True)
            self._pid_file.write_text(f"{self._popen.pid}\n")
        if not self.process.task:
            child_metrics.started(self.process.name, self._popen.pid)

    def settled(self) -> bool:
        """Whether nothing is to be waited for: it serves, is done, or will never serve."""
        if self.halted or self._done or self._was_ready:
            return True
        if not self.is_up or self.process.task:
            return False
        listens_there = self.process.port == 0 or listens(self.pid, self.process.port)
        self._was_ready = listens_there and (self.process.ready is None or self.process.ready())
        return self._was_ready

    def tend(self) -> str | None:
        """Notice an end, start again when it is time; returns what is worth saying."""
        if self._popen is not None:
            status = self._popen.poll()
            if status is not None:
                return self._ended(status)
            if not self._is_nice and time.monotonic() - self._started_s >= HEAD_START_S:
                self._is_nice = make_nice(self._popen.pid, self.process.niceness)
            return None
        if self.halted and self._restart_file.exists():
            self.halted = False
            self._start_again_s = time.monotonic()
        if self._start_again_s is not None and time.monotonic() >= self._start_again_s:
            return self._start_again()
        return None

    def hint(self) -> str:
        """The last words of its output, and where to read the rest."""
        return self._said(HINT_LENGTH)

    def halt(self) -> str:
        """That it has halted, all of its last words, which say the shard, and what to type."""
        way_back = f"start it again with: touch {self._restart_file}"
        return f"{self.process.name} HALTED and stays down, {self._said(None)}; {way_back}"

    def _said(self, length: int | None) -> str:
        return f'last said "{last_words(self.log)[:length]}", see {self.log}'

    def end(self, patient: Callable[[], bool]) -> None:
        self._start_again_s = None
        if self._popen is not None:
            stop(self._popen, self.process.stop_timeout_s, patient)
            self._forget()

    def _start_again(self) -> str:
        try:
            self.start()
        except OSError as error:
            self._start_again_s = time.monotonic() + LONGEST_PAUSE_S
            return (
                f"{self.process.name} cannot be started: {error}, again in {LONGEST_PAUSE_S:.0f} s"
            )
        self.restarts += 1
        return f"{self.process.name} started again (pid {self.pid})"

    def _ended(self, status: int) -> str | None:
        assert self._popen is not None
        # Whatever it had started goes too, before it starts again.
        kill(self._popen)
        self._forget()
        if status == EXIT_STATUS_HALTED and self.process.halts:
            self.halted = True
            child_metrics.ended(self.process.name, _how(status))
            child_metrics.halted(self.process.name, last_words(self.log))
            return self.halt()
        if status == 0 and self.process.task:
            self._done = True
            return None
        self.deaths += 1
        child_metrics.ended(self.process.name, _how(status))
        return self._plan_restart(status)

    def _plan_restart(self, status: int) -> str:
        now_s = time.monotonic()
        if now_s - self._started_s >= STEADY_S:
            self._pause_s = FIRST_PAUSE_S
        pause_s, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        self._start_again_s = now_s + pause_s
        ended = f"{self.process.name} ended with {_how(status)}"
        return f"{ended}, again in {pause_s:.1f} s, {self.hint()}"

    def _forget(self) -> None:
        self._popen = None
        with suppress(OSError):
            self._pid_file.unlink(missing_ok=True)
        if not self.process.task:
            child_metrics.is_down(self.process.name)


class _StatusLine:
    """Lines that stay, and on a terminal one last line that changes."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._live = out.isatty()
        self._shown = ""

    def say(self, line: str) -> None:
        erase = "\r\x1b[2K" if self._live else ""
        self._write(f"{erase}{line}\n")
        self._shown = ""

    def show(self, line: str) -> None:
        if not self._live or line == self._shown:
            return
        width = shutil.get_terminal_size().columns - 1
        self._write(f"\r\x1b[2K{line[:width]}")
        self._shown = line

    def _write(self, text: str) -> None:
        # Into a file on a full disk, perhaps, to a terminal that is gone, or knows no such letter.
        with suppress(OSError, ValueError):
            self._out.write(text)
            self._out.flush()


def _how(status: int) -> str:
    return f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"


@contextmanager
def _signals_to(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    numbers = [signal.SIGINT, signal.SIGTERM]
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        # Else it was started with nohup, to outlive its terminal.
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, handler) for number in numbers]
    try:
        yield
    finally:
        for number, old in zip(numbers, before, strict=True):
            signal.signal(number, old)
