"""The few file operations that snapshots need, as one injected object; texts replaced at once."""

import os
from pathlib import Path
from typing import Protocol
from uuid import uuid4


class Files(Protocol):
    """A flat directory whose writes survive a crash once they return."""

    def write(self, name: str, data: bytes) -> None:
        """Write a whole file and bring it to the disk. Raises `OSError`."""

    def rename(self, old: str, new: str) -> None:
        """Give a file its final name, atomically. Raises `OSError`."""

    def names(self) -> list[str]:
        """The names of all files, sorted."""

    def read(self, name: str) -> bytes:
        """A whole file. Raises `OSError`."""

    def remove(self, name: str) -> None:
        """Delete a file, if it is still there. Raises `OSError`."""


def replace_text(path: Path, text: str, *, private: bool = False) -> None:
    """Give a file a new text at once: whoever reads meanwhile finds the old one. Raises `OSError`.

    Who writes at once leaves one text or the other. A `private` one is for this user alone. A loss
    of power may leave either, or an empty file; `keep_text` survives one.
    """
    draft = path.with_name(f"{path.name}.{uuid4().hex}.tmp")
    mode = 0o600 if private else 0o666
    try:
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
        with open(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def keep_text(path: Path, text: str) -> None:
    """The same, and the new text is on the disk once this returns. Raises `OSError`."""
    directory, draft = Directory(path.parent), f"{path.name}.tmp"
    directory.write(draft, text.encode())
    directory.rename(draft, path.name)


class Directory:
    """`Files` in a directory of the machine, made if missing."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self._path = path

    def write(self, name: str, data: bytes) -> None:
        with open(self._path / name, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())

    def rename(self, old: str, new: str) -> None:
        os.replace(self._path / old, self._path / new)
        descriptor = os.open(self._path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    def names(self) -> list[str]:
        return sorted(os.listdir(self._path))

    def read(self, name: str) -> bytes:
        return (self._path / name).read_bytes()

    def remove(self, name: str) -> None:
        (self._path / name).unlink(missing_ok=True)
