"""Planted into every process of a fault stack by PYTHONPATH: a clock that can be moved, a bug.

Python imports this before anything else. What happens is said by files in LOGBOURSE_PLANTED_DIR:
`clock-<pid>` holds nanoseconds by which the process's wall clock is wrong, `faulty-market` the id
of a market on which planning an order fails. Without the variable nothing happens.
"""

import importlib.abc
import importlib.machinery
import os
import sys
import time
from pathlib import Path
from typing import Any

PATCHED = "streams.families"


def _move_clock(folder: Path) -> None:
    right_ns = time.time_ns

    def wrong_ns() -> int:
        try:
            return right_ns() + int((folder / f"clock-{os.getpid()}").read_text())
        except (OSError, ValueError):
            return right_ns()

    time.time_ns = wrong_ns
    time.time = lambda: wrong_ns() / 1e9


class _Faulty:
    """A decider that fails to plan whatever concerns one market, as a bug would."""

    def __init__(self, right: Any, folder: Path) -> None:
        self._right = right
        self._file = folder / "faulty-market"

    def __getattr__(self, name: str) -> Any:
        return getattr(self._right, name)

    def decide(self, state: Any, command: Any) -> Any:
        planned = type(command).__name__ == "OrderAccepted" and self._file.exists()
        if planned and str(command.market_id) == self._file.read_text():
            raise ZeroDivisionError("a planted bug")
        return self._right.decide(state, command)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the module that says which decider runs a shard, and lets it say another one."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def find_spec(self, name: str, path: Any, target: Any = None) -> Any:
        if name != PATCHED:
            return None
        spec = importlib.machinery.PathFinder.find_spec(name, path)
        assert spec is not None and spec.loader is not None
        load = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            load(module)
            right = module.decider_of
            module.decider_of = lambda shard: _Faulty(right(shard), self._folder)

        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _plant() -> None:
    where = os.environ.get("LOGBOURSE_PLANTED_DIR")
    if where:
        _move_clock(Path(where))
        sys.meta_path.insert(0, _Finder(Path(where)))


_plant()
