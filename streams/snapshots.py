"""Snapshots: canonical, checksummed, several kept, written beside the hot path."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Protocol

from infra.buggify import buggify
from infra.files import Files

KEPT = 3
_MAGIC = b"logbourse-snapshot-2"
_FINAL = ".snapshot"
_TEMPORARY = ".tmp"
_DIGITS = 20
_WELL, _FAILED, _UNSOUND = range(3)
"""Exit statuses of the process that writes a snapshot."""


@dataclass(slots=True)
class Snapshot:
    """A shard's dump before the input record at `offset`.

    `last` is the `record_hash` of the record before that, empty if it is not known: it shows
    whether a log is the one that the dump was made of.
    """

    offset: int
    payload: bytes
    last: bytes = b""


class BadSnapshot(Exception):
    """A snapshot file is not what was written."""


class UnsoundState(Exception):
    """The state was not dumped because an invariant does not hold in it: a halt."""


class Job(Protocol):
    """Work under way beside the hot path."""

    def done(self) -> bool:
        """Whether it ended well. Raises `OSError` if it failed, or `UnsoundState`."""


class Background(Protocol):
    """Runs work beside the hot path on the state as it is now."""

    def start(self, work: Callable[[], None]) -> Job:
        """Start `work`; it sees the state of this moment whatever happens to it later."""


class SnapshotStore:
    """The snapshots of one shard in a directory, which its leader and shadows may share.

    `writer` tells their unfinished files apart; what they finish at one offset is the same.
    """

    def __init__(self, files: Files, background: Background, writer: str = "") -> None:
        self._files = files
        self._background = background
        self._temporary = f"{writer}{_TEMPORARY}"

    def start(self, offset: int, dump: Callable[[], bytes], last: bytes = b"") -> "PendingSnapshot":
        """Start writing the dump as the state before `offset`; it counts only once published.

        Raises `UnsoundState`, as the pending snapshot's job does, for a state that must not be.
        """
        temporary = _name(offset) + self._temporary

        def write() -> None:
            try:
                payload = dump()
            except AssertionError as error:
                raise UnsoundState(str(error)) from error
            self._files.write(temporary, encode_snapshot(Snapshot(offset, payload, last)))

        return PendingSnapshot(offset, self._background.start(write))

    def publish(self, pending: "PendingSnapshot") -> None:
        """Let a written snapshot count from now on, and drop the oldest beyond `KEPT`."""
        final = _name(pending.offset) + _FINAL
        self._files.rename(_name(pending.offset) + self._temporary, final)
        names = self._files.names()
        finals = [name for name in names if name.endswith(_FINAL)]
        oldest_kept = finals[-KEPT:][0]
        for name in names:
            # Behind the oldest one, unfinished files were left by writers that died.
            if len(finals) >= KEPT and name[:_DIGITS] < oldest_kept[:_DIGITS]:
                self._files.remove(name)

    def newest_first(self) -> Iterator[Snapshot]:
        """The good snapshots, newest first; what cannot be read as written is passed over."""
        for name in reversed(self._files.names()):
            if name[_DIGITS:] == self._temporary:
                self._files.remove(name)
            elif name.endswith(_FINAL):
                if buggify("older snapshot"):
                    continue
                try:
                    yield decode_snapshot(self._files.read(name))
                except (BadSnapshot, OSError):
                    continue


@dataclass(slots=True)
class PendingSnapshot:
    """A snapshot that is being written."""

    offset: int
    job: Job


def encode_snapshot(snapshot: Snapshot) -> bytes:
    """A header line (format, offset, last record's hash, checksum), then the payload."""
    head = b"%s %d x%s " % (_MAGIC, snapshot.offset, snapshot.last.hex().encode())
    return head + _checksum(head, snapshot.payload) + b"\n" + snapshot.payload


def decode_snapshot(data: bytes) -> Snapshot:
    """The snapshot that was encoded; `BadSnapshot` if any byte is different."""
    head, separator, payload = data.partition(b"\n")
    fields = head.split(b" ")
    if not separator or len(fields) != 4 or fields[0] != _MAGIC or not fields[1].isdigit():
        raise BadSnapshot("no snapshot header")
    if _checksum(b"%s %s %s " % (fields[0], fields[1], fields[2]), payload) != fields[3]:
        raise BadSnapshot("checksum differs")
    return Snapshot(int(fields[1]), payload, bytes.fromhex(fields[2][1:].decode()))


class Fork:
    """A `Background` that works in a forked child, which has the state of the moment for free.

    The child only computes and writes a file: it touches no lock, thread or client.
    """

    def start(self, work: Callable[[], None]) -> Job:
        pid = os.fork()
        if pid == 0:
            status = _FAILED
            try:
                work()
                status = _WELL
            except UnsoundState:
                status = _UNSOUND
            finally:
                os._exit(status)
        return _ForkedJob(pid)


class _ForkedJob:
    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._done = False

    def done(self) -> bool:
        if not self._done:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            if pid and os.waitstatus_to_exitcode(status) == _UNSOUND:
                raise UnsoundState("the full check before a snapshot failed")
            if pid and status:
                raise OSError(f"the snapshot writer failed with status {status}")
            self._done = bool(pid)
        return self._done


def _name(offset: int) -> str:
    return f"{offset:0{_DIGITS}d}"


def _checksum(head: bytes, payload: bytes) -> bytes:
    return hashlib.blake2b(head + payload, digest_size=16).hexdigest().encode()
