"""Subprocesses that cannot outlive the process that started them."""

import ctypes
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

LOOK_EVERY_S = 0.1

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def spawn(
    argv: Sequence[str],
    output: Path,
    environment: Mapping[str, str] | None = None,
) -> subprocess.Popen[bytes]:
    """Start a child in a process group of its own, both of its outputs appended to a file.

    The kernel kills it when the calling *thread* ends, so call from the main thread. `environment`
    is added to ours.
    """
    output.parent.mkdir(parents=True, exist_ok=True)
    parent = os.getpid()

    with output.open("ab") as stream:
        return subprocess.Popen(
            list(argv),
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
            start_new_session=True,
            preexec_fn=partial(die_with, parent),
        )


def die_with(parent: int) -> None:
    """Let the kernel kill this process when the thread that made it ends; `parent` is the pid."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(1)


def make_nice(pid: int, niceness: int) -> bool:
    """Let a child, with all its threads, be nicer than this process by so much, 19 at most.

    Whoever is nicer already stays so. False if the kernel wants to be asked again a moment later.
    """
    ours, nice = os.getpriority(os.PRIO_PROCESS, 0), set[str]()
    with suppress(OSError):
        # Whoever is made by a thread that is nice is nice; one more look finds all others.
        while threads := set(os.listdir(f"/proc/{pid}/task")) - nice:
            for thread in threads:
                with suppress(OSError):
                    os.setpriority(os.PRIO_PROCESS, int(thread), ours + niceness)
            nice |= threads
    # Where the kernel shares the processor among sessions first, niceness counts within one only.
    try:
        Path(f"/proc/{pid}/autogroup").write_text(str(niceness))
    except BlockingIOError:
        return False
    except OSError:
        pass
    return True


def stop(
    child: subprocess.Popen[bytes], timeout_s: float, patient: Callable[[], bool] = lambda: True
) -> int:
    """Ask it to end; returns the exit status.

    Its group is killed if it has not ended after `timeout_s`, or as soon as we are not `patient`.
    """
    if child.poll() is None:
        child.terminate()
        give_up_s = time.monotonic() + timeout_s
        while patient() and (left_s := give_up_s - time.monotonic()) > 0:
            with suppress(subprocess.TimeoutExpired):
                return child.wait(min(left_s, LOOK_EVERY_S))
    kill(child)
    return child.wait()


def kill(child: subprocess.Popen[bytes]) -> None:
    """End what is left of its process group now, whether or not it has ended itself."""
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


def wait_until(ready: Callable[[], bool], timeout_s: float, wanted: str) -> None:
    """Ask until `ready`; raises `TimeoutError` with what was wanted."""
    give_up_s = time.monotonic() + timeout_s
    while not ready():
        if time.monotonic() > give_up_s:
            raise TimeoutError(f"{wanted} within {timeout_s:.0f} s, did not")
        time.sleep(0.05)
