"""What tests of leases, of the supervisor and of programs that may be missing begin with."""

from pathlib import Path

import pytest

from tests.infra.dict_lease_store import DictStore, Now
from tests.infra.supervised import Journal


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")


@pytest.fixture
def bin_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder on PATH, empty; the user is not root, and the cache is empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    monkeypatch.setenv("LOGBOURSE_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    return folder


def program(path: Path, script: str) -> None:
    """Write a program in the language of the shell."""
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
