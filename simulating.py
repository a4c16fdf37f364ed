"""`logbourse simulate`: the door to the simulation, which stands among the tests of a checkout."""

import argparse
import importlib
from typing import Any

from infra.refusal import Refusal

COMMAND = "tests.simulation.command"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse simulate` takes. Raises `Refusal` where there is no simulation."""
    _command().add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    """Simulate; the exit status, 1 if an invariant was violated."""
    status: int = _command().run(arguments)
    return status


def _command() -> Any:
    try:
        return importlib.import_module(COMMAND)
    except ModuleNotFoundError as missing:
        wanted = "a checkout with the packages of requirements-dev.txt"
        raise Refusal(f"the simulation needs {wanted}, {missing.name} is missing") from missing
