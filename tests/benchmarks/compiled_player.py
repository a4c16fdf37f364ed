"""The book and the loop that plays commands on it, compiled together and apart from everything.

An interpreted loop takes a third of the time of a compiled book. The hot modules are compiled
without it, since nothing but this benchmark needs it; so the book's own modules are compiled a
second time, from the same sources and with the same flags, with the loop among them.
"""

import os
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path

from native.compiling import FLAGS, compiler_version, copy_sources
from native.selection import ROOT, build_in_use
from tests.benchmarks.report import COMPILED

FOLDERS = ROOT / "build" / "benchmarks"
LOOP = "tests/benchmarks/book_player.py"
MODULES = (
    "domain/decider.py",
    "domain/orders/messages.py",
    "domain/matching/book.py",
    "domain/matching/planning.py",
    LOOP,
)
_SCRIPT = """
from mypyc.build import mypycify
from setuptools import setup

paths = {paths}
made = mypycify(["--config-file", {config}, *paths], only_compile_paths=paths, debug_level="0")
for extension in made:
    extension.extra_compile_args += {flags}
setup(name="player", packages=[], ext_modules=made, script_args=["-q", "build_ext", "--inplace"])
"""


def player_folder() -> Path | None:
    """A folder to run benchmarks of the book in, made if it is not there; None uncompiled.

    `OSError` if compiling fails.
    """
    if build_in_use() != COMPILED or not compiler_version():
        return None
    sources = [path for path in Path(__file__).parent.glob("*.py") if path != Path(__file__)]
    digest = sha256(compiler_version().encode())
    for path in (*sorted(sources), *(ROOT / module for module in MODULES)):
        digest.update(path.read_bytes())
    folder = FOLDERS / digest.hexdigest()[:24]
    if not folder.exists():
        FOLDERS.mkdir(parents=True, exist_ok=True)
        for old in FOLDERS.iterdir():
            shutil.rmtree(old, ignore_errors=True)
        with tempfile.TemporaryDirectory(dir=FOLDERS.parent) as draft:
            _make(Path(draft) / "player")
            (Path(draft) / "player").rename(folder)
    return folder


def _make(draft: Path) -> None:
    copy_sources(draft)
    shutil.copytree(Path(__file__).parent, draft / "tests" / "benchmarks")
    (draft / "tests" / "__init__.py").touch()
    for package in ("domain", "schemas", "streams"):
        # The hook would look for the other build; here the compiled modules lie beside the sources.
        (draft / package / "__init__.py").write_text("", encoding="utf-8")
    script = _SCRIPT.format(
        paths=list(MODULES), config=repr(str(ROOT / "pyproject.toml")), flags=list(FLAGS)
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=draft,
        env={**os.environ, "PYTHONPATH": str(draft)},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"the book's loop must compile: {(done.stdout + done.stderr)[-500:]}")
