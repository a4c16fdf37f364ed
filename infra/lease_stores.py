"""Where leases are kept: files in a directory, or Redis; and who holds them on this machine."""

import json
import os
import socket
from functools import cache
from pathlib import Path
from uuid import uuid4

from infra.lease import LeaseEntry, LeaseStore, Phase
from infra.redis import RedisError, redis_client
from infra.settings import Settings

KEPT = 16
ANSWER_TIMEOUT_S = 0.5
_PREFIX = "logbourse:lease:"
_SWAP = """
if (redis.call('GET', KEYS[1]) or '') ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""


def open_lease_store(settings: Settings) -> LeaseStore:
    """The store that the settings name."""
    if settings.lease_store == "redis":
        return RedisLeaseStore(settings.redis_url)
    return FileLeaseStore(settings.data_dir / "leases")


class FileLeaseStore:
    """Entries as files whose names count on: who makes the next number has swapped.

    There is no lock that a frozen process could keep. A link is made as a whole or not at all,
    on a directory that hosts share, too.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> LeaseEntry | None:
        folder = self._folder(name)
        for _ in range(KEPT):
            newest = _newest(folder)
            if newest == 0:
                return None
            try:
                content = (folder / str(newest)).read_bytes()
            except FileNotFoundError:
                continue
            entry = _decode(content)
            # Who counts on from another number would make one that is past.
            return entry if entry is not None and entry.counter == newest else _nobody(newest)
        raise OSError(f"{folder} changes faster than it can be read")

    def swap(self, name: str, old: LeaseEntry | None, new: LeaseEntry) -> bool:
        folder = self._folder(name)
        folder.mkdir(parents=True, exist_ok=True)
        if self.read(name) != old:
            return False
        # Not of the process id alone: containers that share the directory may have the same.
        draft = folder / f".{uuid4().hex}"
        draft.write_bytes(_encode(new))
        try:
            os.link(draft, folder / str(new.counter))
        except FileExistsError:
            return False
        finally:
            draft.unlink(missing_ok=True)
        (folder / str(new.counter - KEPT)).unlink(missing_ok=True)
        # Whoever was frozen right before the link has made a number that is long past.
        return self.read(name) == new

    def _folder(self, name: str) -> Path:
        return self._directory / f"{name}.lease"


class RedisLeaseStore:
    """Entries as keys of Redis."""

    def __init__(self, url: str) -> None:
        self._client = redis_client(url, answer_timeout_s=ANSWER_TIMEOUT_S)
        self._swap = self._client.register_script(_SWAP)

    def read(self, name: str) -> LeaseEntry | None:
        found = self._content(name)
        return None if found is None else _decode(found) or _nobody(0)

    def swap(self, name: str, old: LeaseEntry | None, new: LeaseEntry) -> bool:
        # What is no entry is replaced as it stands there, whatever it reads as.
        before = b"" if old is None else _encode(old)
        if old == _nobody(0):
            before = self._content(name) or b""
            if before and _decode(before) is not None:
                return False
        try:
            return bool(self._swap(keys=[_PREFIX + name], args=[before, _encode(new)]))
        except RedisError as error:
            raise OSError(f"Redis must swap a lease, said: {error}") from error

    def _content(self, name: str) -> bytes | None:
        try:
            found = self._client.get(_PREFIX + name)
        except RedisError as error:
            raise OSError(f"Redis must tell a lease, said: {error}") from error
        return found if isinstance(found, bytes) else None


def this_holder() -> str:
    """This process's name as a holder: its machine, its id, and when it began."""
    return f"{_machine()}/{os.getpid()}/{_began(os.getpid())}"


def is_gone(holder: str) -> bool:
    """Whether the holder was a process of this machine that is no more; False if in doubt."""
    machine, _, process = holder.rpartition("/")[0].rpartition("/")
    if machine != _machine() or not process.isdigit():
        return False
    return _began(int(process)) != holder.rpartition("/")[2]


@cache
def _machine() -> str:
    # Machines may share a host name, and process ids mean something in their own space only.
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{socket.gethostname()}/{boot}/{os.stat('/proc/self/ns/pid').st_ino}"


def _began(process: int) -> str:
    """When the process began, in the kernel's ticks; empty if there is none."""
    try:
        words = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if words[0] == "Z" else words[19]


def _newest(folder: Path) -> int:
    try:
        return max((int(name) for name in os.listdir(folder) if name.isdigit()), default=0)
    except FileNotFoundError:
        return 0


def _encode(entry: LeaseEntry) -> bytes:
    return json.dumps([entry.holder, entry.counter, entry.phase, entry.successor]).encode()


def _decode(data: bytes) -> LeaseEntry | None:
    """The entry; None for what is none."""
    try:
        match json.loads(data):
            case [str(holder), int(counter), str(phase), str(successor)]:
                return LeaseEntry(holder, counter, Phase(phase), successor)
            case _:
                return None
    except (ValueError, RecursionError):
        return None


def _nobody(counter: int) -> LeaseEntry:
    """For what is no entry, as a loss of power may leave it: nobody is known to hold it.

    Once it has been watched for as long as a holder may be silent, the next number is taken.
    """
    return LeaseEntry("", counter, Phase.TAKING)
