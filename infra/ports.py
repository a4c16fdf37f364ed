"""Which loopback ports a stack may take, and which of them a process has."""

import fcntl
import os
import socket
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path

HIGHEST_PORT = 65_535
CLAIMS = Path(f"/tmp/logbourse-{os.getuid()}.ports")
"""Whoever has claimed a port locks the byte of that number in this file, for as long as it runs."""

_LISTENING = "0A"


def free_port(host: str, wanted: int, taken: Iterable[int] = ()) -> int:
    """`wanted` if nobody listens there and it is not in `taken`, else the next free one above."""
    avoided = set(taken)
    for port in range(wanted, HIGHEST_PORT + 1):
        if port not in avoided and _is_free(host, port):
            return port
    raise OSError(f"a port from {wanted} up must be free on {host}, none was")


def claimed_port(host: str, wanted: int, taken: Iterable[int] = ()) -> int:
    """A free port as `free_port` finds it, for this process and its children as long as it runs.

    Nobody listens yet where one is free: another stack would choose the same, and take what
    answers there later for its own. It passes over what is claimed, also while a process that
    listened there is being started again.
    """
    avoided = set(taken)
    while not claim(port := free_port(host, wanted, avoided)):
        avoided.add(port)
    return port


def claim(port: int) -> bool:
    """Keep the port from other stacks of this user while this process runs; False if one has it."""
    claims = _claims()
    try:
        if claims is not None:
            fcntl.lockf(claims, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    except OSError:
        # Where files cannot be locked a stack is as good as alone.
        return True
    return True


def keep_claims() -> None:
    """Show that the file is in use: systems remove from /tmp what nobody has touched for days."""
    with suppress(OSError):
        os.utime(CLAIMS)


def any_port(host: str) -> int:
    """A port that nobody has now, chosen by the kernel: for tests that run beside other stacks."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def listens(pid: int, port: int) -> bool:
    """Whether that process itself, and not somebody else, takes connections at the port.

    Whether anybody does, where the kernel does not tell who.
    """
    wanted = {f"socket:[{inode}]" for inode in _listening(port)}
    try:
        descriptors = os.listdir(f"/proc/{pid}/fd")
    except PermissionError:
        return bool(wanted)
    except OSError:
        return False
    found = set[str]()
    for descriptor in descriptors:
        with suppress(OSError):
            found.add(os.readlink(f"/proc/{pid}/fd/{descriptor}"))
    return not wanted.isdisjoint(found)


@cache
def _claims() -> int | None:
    """The open file of claims, which must never be closed: that would end them."""
    try:
        return os.open(CLAIMS, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError:
        # Without it a stack is as good as alone.
        return None


def _listening(port: int) -> Iterator[str]:
    """The inodes of the sockets that take connections there, on any address."""
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with suppress(OSError):
            for row in Path(table).read_text().splitlines()[1:]:
                words = row.split()
                if words[3] == _LISTENING and int(words[1].rpartition(":")[2], 16) == port:
                    yield words[9]


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still fading counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
