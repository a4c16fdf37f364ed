"""`logbourse recover`: leads an operator back after Kafka has lost acknowledged records."""

import argparse
import sys
from pathlib import Path

from infra.data_lock import owned_data
from infra.kafka import broker_count
from infra.kafka_broker import kept_nodes
from infra.settings import Settings, load_settings
from streams.audit.progress import Bar
from streams.recovery.brokers import running_brokers
from streams.recovery.evidence import Evidence, shown
from streams.recovery.journal import open_journal
from streams.recovery.walk import Walk


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse recover` takes."""
    parser.add_argument("--plan", action="store_true", help="say what would be done, do nothing")
    parser.add_argument("--yes", action="store_true", help="do it without asking")
    parser.add_argument(
        "--copy",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="an export, which may have what the log lost; repeatable",
    )
    parser.add_argument(
        "--snapshots",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="the snapshots of a further host; repeatable",
    )


def run(arguments: argparse.Namespace) -> int:
    """Recover, or go on recovering: 0 if the exchange can start, 1 if something is left to do.

    Raises `Refusal` while a stack runs on this data, and where this is not the way out.
    """
    settings = load_settings()
    evidence = Evidence(arguments.copy, [settings.snapshots_dir, *arguments.snapshots])
    if arguments.plan:
        return _show_plan(settings, evidence)
    with owned_data(settings):
        journal = open_journal(settings.data_dir)
        agree = _always if arguments.yes else _asked
        return Walk(settings, journal, evidence, _say, agree).go()


def _show_plan(settings: Settings, evidence: Evidence) -> int:
    """Look at the Kafka that runs, or start this machine's for that long."""
    if broker_count(settings):
        return _look(settings, evidence)
    with (
        owned_data(settings),
        running_brokers(settings, kept_nodes(settings)) as reachable,
    ):
        return _look(reachable, evidence)


def _look(settings: Settings, evidence: Evidence) -> int:
    whole = evidence.archive(settings)
    bar = Bar("replay", whole.archive.manifest.records())
    _say("\n".join(shown(whole, *evidence.look(whole.archive, bar))))
    return 0


def _say(words: str) -> None:
    print(words, flush=True)


def _always(_question: str) -> bool:
    return True


def _asked(question: str) -> bool:
    """Whether somebody at the keyboard says yes; nobody there means no."""
    print(f"{question} [yes/no] ", end="", flush=True)
    # Python has no input at all where the shell has closed it.
    answer = sys.stdin.readline() if sys.stdin is not None else ""
    return answer.strip().lower() == "yes"
