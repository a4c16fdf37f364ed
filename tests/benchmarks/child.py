"""Runs one function of a benchmark in a process of its own: clean memory, or the other build."""

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from native.selection import PURE, ROOT, build_in_use
from tests.benchmarks.report import COMPILED, Effort, Figure


def in_child(
    module: str, function: str, *arguments: Any, pure: bool = False, folder: Path = ROOT
) -> Any:
    """What the function returned, through JSON; `OSError` with its last words if it failed.

    `folder` has the modules to run, where these are not the checkout's.
    """
    environment = dict(os.environ)
    if pure:
        environment[PURE] = "1"
    words = [sys.executable, "-m", "tests.benchmarks.child", module, function]
    done = subprocess.run(
        [*words, json.dumps(arguments)],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise OSError(f"{module}.{function} failed: {done.stderr[-2_000:]}")
    return json.loads(done.stdout.splitlines()[-1])


def figures_in_child(
    module: str, function: str, *arguments: Any, pure: bool = False, folder: Path = ROOT
) -> list[Figure]:
    """The figures that the function returned."""
    told = in_child(module, function, *arguments, pure=pure, folder=folder)
    return [Figure(**each) for each in told]


def both_builds(
    module: str, effort: Effort, measure_build: Callable[[int, float], list[Figure]]
) -> list[Figure]:
    """What the module's `measure_build` finds of this build, and of the pure one beside it."""
    figures = measure_build(effort.runs, effort.scale)
    if build_in_use() != COMPILED:
        return figures
    return figures + figures_in_child(module, "measure_build", effort.runs, effort.scale, pure=True)


def _main(module: str, function: str, arguments: str) -> None:
    found = getattr(importlib.import_module(f"tests.benchmarks.{module}"), function)
    told = found(*json.loads(arguments))
    if told and isinstance(told, list) and isinstance(told[0], Figure):
        told = [asdict(each) for each in told]
    print(json.dumps(told))


if __name__ == "__main__":
    _main(*sys.argv[1:])
