"""The command line: names every subcommand and imports only the one that was asked for."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

from infra.collector import no_search
from infra.log import LogFailure
from infra.refusal import Misunderstood, Refusal


class Subcommand(NamedTuple):
    """Where it lives: a module with `add_arguments(parser)` and `run(arguments) -> int`."""

    module: str
    help: str


SUBCOMMANDS: dict[str, Subcommand] = {
    "run": Subcommand("infra.stack", "run the whole exchange with a demo market, until Ctrl-C"),
    "shard": Subcommand("streams.worker", "run shards, such as: logbourse shard L0 M0"),
    "handover": Subcommand(
        "streams.handover", "let the shadows of shards take over, without a gap"
    ),
    "serve": Subcommand("serving", "run the APIs: order entry, operators, queries"),
    "admin": Subcommand("commands.admin.cli", "operate: users, keys, money, markets, halts"),
    "genesis": Subcommand("commands.genesis", "write record 0 of every input partition"),
    "seed": Subcommand("infra.demo.seed", "make the demo market's assets, markets and users"),
    "bots": Subcommand("infra.demo.bots", "trade on the demo market"),
    "project": Subcommand("projections.project_command", "fold the log into Redis or ClickHouse"),
    "rebuild": Subcommand("projections.rebuild_command", "build the views anew and switch to them"),
    "repair": Subcommand("projections.repair_command", "write a key or a table as the log has it"),
    "kafka": Subcommand("infra.kafka_broker", "run Kafka alone, in the foreground"),
    "redis": Subcommand("infra.redis_server", "run Redis alone, in the foreground"),
    "prometheus": Subcommand("infra.prometheus", "watch the running stack: metrics and alerts"),
    "export": Subcommand("streams.audit.export", "copy the log into self-contained files"),
    "replay": Subcommand("streams.audit.replay", "prove that the log follows from its inputs"),
    "audit": Subcommand("streams.audit.audit", "check the invariants at a consistent cut"),
    "auditor": Subcommand(
        "auditing", "audit live: follow everything, stop or repair what is wrong"
    ),
    "inspect": Subcommand("streams.audit.inspect", "show one record of the log readably"),
    "recover": Subcommand(
        "streams.recovery.command", "reopen after Kafka has lost acknowledged records"
    ),
    "topics": Subcommand("streams.topics", "create the topics, or check their settings"),
    "simulate": Subcommand(
        "tests.simulation.command", "crash the whole exchange in memory, by seeds"
    ),
    "bench": Subcommand("tests.benchmarks.command", "measure how fast the parts and the whole are"),
}

PROVERS = ("replay", "audit", "inspect", "export")
"""Whose status 1 is a finding, or would be taken for one: these end with 2 in its place."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one subcommand; returns its exit status, 2 for what is not understood."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not __debug__:
        return _refuse("assertions must stay on: start without -O and without PYTHONOPTIMIZE")
    if not words or words[0] in ("-h", "--help"):
        print(_overview())
        return 0
    name, rest = words[0], words[1:]
    if name not in SUBCOMMANDS:
        return _refuse(f"a subcommand must be one of {', '.join(SUBCOMMANDS)}, was {name}")
    return _run(name, rest)


def _run(name: str, rest: list[str]) -> int:
    parser = _OneSentenceParser(prog=f"logbourse {name}", description=SUBCOMMANDS[name].help)
    try:
        # What is imported stays; searching it for garbage is a seventh of a start's time.
        with no_search():
            module = _module_of(name)
        module.add_arguments(parser)
        status: int = module.run(parser.parse_args(rest))
        print(end="", flush=True)
    except (Refusal, LogFailure, OSError) as refusal:
        # A port, a file, a server that is not there: the operator's matter, not a fault in here.
        print(f"logbourse {name}: {refusal}", file=sys.stderr)
        _drop_unwritten()
        return 2 if isinstance(refusal, Misunderstood) or name in PROVERS else 1
    except MemoryError:
        # Not 1, which is a finding of those who prove something.
        print(f"logbourse {name}: memory must suffice, did not", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return status


def _drop_unwritten() -> None:
    """What the output has not taken would fail once more at the exit, with a status of its own."""
    try:
        print(end="", flush=True)
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _module_of(name: str) -> Any:
    """Raises `Refusal` for what stands among the tests of a checkout, where these are not."""
    module = SUBCOMMANDS[name].module
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as missing:
        if not module.startswith("tests."):
            raise
        wanted = "a checkout with the packages of requirements-dev.txt"
        raise Refusal(f"this needs {wanted}, {missing.name} is missing") from missing


class _OneSentenceParser(argparse.ArgumentParser):
    """A parser whose errors are one sentence, without the usage block in front."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")


def _overview() -> str:
    width = max(len(name) for name in SUBCOMMANDS)
    rows = [f"  {name:<{width}}  {entry.help}" for name, entry in SUBCOMMANDS.items()]
    return "\n".join(["usage: logbourse SUBCOMMAND …", "", *rows])


def _refuse(sentence: str) -> int:
    print(f"logbourse: {sentence}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
