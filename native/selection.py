"""Which build of the hot modules a process uses: compiled from these very sources, or these."""

import os
import sys
import sysconfig
from collections.abc import Sequence
from hashlib import sha256
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import EXTENSION_SUFFIXES, ModuleSpec
from importlib.util import spec_from_file_location
from pathlib import Path
from types import ModuleType

from native.modules import HOT, READ_BY_THEM

ROOT = Path(__file__).parent.parent
BUILDS = ROOT / "build" / "native"
PURE = "LOGBOURSE_PURE"
SHARED = "logbourse_hot__mypyc"
"""The one library that holds all compiled modules; the others are doors into it."""


def prefer_compiled() -> None:
    """Let this process import the hot modules from their compiled build, if there is one.

    The packages with hot modules call it before any of these can be imported. With
    `LOGBOURSE_PURE` in the environment (not empty, not 0) the sources are imported even where an
    installed wheel has compiled modules beside them.
    """
    if any(isinstance(finder, _Finder) for finder in sys.meta_path):
        return
    if is_pure_wanted():
        sys.meta_path.insert(0, _Finder({name: source_of(name) for name in HOT}))
    elif (folder := BUILDS / sources_key()).is_dir():
        sys.meta_path.insert(0, _Finder(_compiled_in(folder)))


def build_in_use() -> str:
    """`compiled` if this process runs the compiled hot modules, else `pure`."""
    return "pure" if str(import_module(HOT[0]).__file__).endswith(".py") else "compiled"


def is_pure_wanted() -> bool:
    """Whether the environment asks for the sources."""
    return os.environ.get(PURE, "") not in ("", "0")


def source_of(module: str) -> Path:
    """The source file of one of our modules."""
    return ROOT / f"{module.replace('.', '/')}.py"


def sources_key() -> str:
    """What the compiled build of the present sources for this Python is called."""
    digest = sha256(str(sysconfig.get_config_var("SOABI")).encode())
    for module in (*HOT, *READ_BY_THEM):
        digest.update(f"\n{module}\n".encode())
        digest.update(source_of(module).read_bytes())
    return digest.hexdigest()[:24]


class _Finder(MetaPathFinder):
    """Knows where each hot module is to be imported from, and nothing else."""

    def __init__(self, places: dict[str, Path]) -> None:
        self._places = places

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        place = self._places.get(fullname)
        return None if place is None else spec_from_file_location(fullname, place)


def _compiled_in(folder: Path) -> dict[str, Path]:
    suffix = EXTENSION_SUFFIXES[0]
    return {name: folder / f"{name.replace('.', '/')}{suffix}" for name in (SHARED, *HOT)}
