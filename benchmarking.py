"""`logbourse bench`: the door to the benchmarks, which stand among the tests of a checkout."""

import argparse
import importlib
from typing import Any

from infra.refusal import Refusal

COMMAND = "tests.benchmarks.command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse bench` takes. Raises `Refusal` where there are no benchmarks."""
    _command().add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Measure; the exit status."""
    status: int = _command().run(arguments)
    return status


def _command() -> Any:
    try:
        return importlib.import_module(COMMAND)
    except ModuleNotFoundError as missing:
        wanted = "a checkout with the packages of requirements-dev.txt"
        raise Refusal(f"benchmarks need {wanted}, {missing.name} is missing") from missing
