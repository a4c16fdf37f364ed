"""`logbourse serve`: puts order entry, the operators' port and the query API together."""

import argparse
import sys

from commands.serve import ROLES as WRITE_ROLES
from commands.serve import main as serve_writes
from infra.logging import configure_logging
from infra.settings import load_settings

ROLES = (*WRITE_ROLES, "query")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse serve`."""
    parser.add_argument("--roles", default="gateway,admin", help=f"some of {','.join(ROLES)}")
    parser.add_argument("--queries-at", default="", help="URL of the query API, to pass reads to")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGTERM; the exit status."""
    settings = load_settings()
    roles = set(arguments.roles.split(","))
    if not roles or not roles <= set(ROLES):
        print(f"logbourse serve: roles must be among {', '.join(ROLES)}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    queries_at = arguments.queries_at or f"http://{settings.host}:{settings.query_port}"
    return serve_writes(settings, roles, queries_at)
