"""Debian's packages: installed where this is root, or unpacked into a folder of our own."""

import os
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


def install(what: str, packages: Sequence[str]) -> str:
    """Install packages if this is root on Debian; returns why that failed, else nothing."""
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        return f"{what} must be installed (on Debian: apt-get install {' '.join(packages)})"
    words = ["install", "--yes", "--no-install-recommends", *packages]
    said = _apt_get(["update"]) or _apt_get(words)
    return f"{what} must be installed, apt-get said: {said}" if said else ""


def unpack(what: str, package: str, folder: Path) -> str:
    """Put the files of a package below `folder`, and run nothing of it: no daemon is started.

    Who is not root can do that, too. Returns why it failed, else nothing.
    """
    if shutil.which("apt-get") is None or shutil.which("dpkg") is None:
        return f"{what} must be installed (on Debian: apt-get install {package})"
    draft = folder.with_name(f"{folder.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        said = _download(package, draft)
        if said:
            return f"{what} must be installed, apt-get said: {said}"
        (archive,) = draft.glob("*.deb")
        subprocess.run(["dpkg", "-x", str(archive), str(draft / "files")], check=True)
        if not folder.exists():
            (draft / "files").rename(folder)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return ""


def _download(package: str, folder: Path) -> str:
    """The package's archive into `folder`; a machine that knows no packages yet asks for them."""
    said = _apt_get(["download", package], folder)
    if said and os.geteuid() == 0:
        said = _apt_get(["update"]) or _apt_get(["download", package], folder)
    return said


def _apt_get(words: Sequence[str], folder: Path | None = None) -> str:
    """What it said last if it failed, else nothing."""
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    answer = subprocess.run(
        ["apt-get", *words],
        capture_output=True,
        text=True,
        check=False,
        env=environment,
        cwd=folder,
    )
    return "" if answer.returncode == 0 else answer.stderr.strip()[-300:] or "nothing"
