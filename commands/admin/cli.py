"""`logbourse admin`: the same operations from the shell, through the admin port."""

import argparse
import json
import re
import urllib.request
from typing import Any

from commands.admin.app import PREFIX
from commands.admin.fields import Field, Kind
from commands.admin.operations import OPERATIONS
from infra.direct_http import ask
from infra.keys import open_admin_token
from infra.refusal import Refusal
from infra.settings import LOOPBACK, Settings, load_settings

TIMEOUT_S = 30.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """One subcommand per operation, one option per field."""
    operations = parser.add_subparsers(dest="operation", required=True, metavar="OPERATION")
    for operation in OPERATIONS:
        command = operations.add_parser(operation.name, help=operation.help)
        for field in operation.fields:
            _add_option(command, field)


def run(arguments: argparse.Namespace) -> int:
    """Print the answer as JSON. Raises `Refusal` with what the exchange said."""
    operation = next(each for each in OPERATIONS if each.name == arguments.operation)
    values = {field.name: getattr(arguments, field.name) for field in operation.fields}
    body = {name: value for name, value in values.items() if value is not None}
    print(json.dumps(call(load_settings(), operation.name, body), indent=2))
    return 0


def call(settings: Settings, operation: str, body: dict[str, Any]) -> dict[str, Any]:
    """The answer of the running stack's admin port. Raises `Refusal`."""
    if not settings.admin_token_file.exists():
        raise Refusal(f"{settings.admin_token_file} must hold the admin token, is missing")
    token = open_admin_token(settings.admin_token_file)
    place = f"{LOOPBACK}:{settings.admin_port}"
    request = urllib.request.Request(
        f"http://{place}{PREFIX}{operation}",
        data=json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        method="POST",
    )
    try:
        status, answer = ask(request, TIMEOUT_S)
    except OSError as error:
        raise Refusal(f"the admin port {place} must answer, did not: {error}") from None
    said = _object(answer)
    if status == 200 and said is not None:
        return said
    if said is not None and {"code", "msg"} <= said.keys():
        raise Refusal(f"{said['code']}: {said['msg']}")
    raise Refusal(f"the admin port {place} must answer with a JSON object, was HTTP {status}")


def _add_option(command: argparse.ArgumentParser, field: Field) -> None:
    option = "--" + re.sub(r"([A-Z]|(?<=[a-z])\d)", r"-\1", field.name).lower()
    default = "" if field.default in (None, "") else f" (default {field.default})"
    command.add_argument(
        option,
        dest=field.name,
        type=int if field.kind is Kind.INTEGER else str,
        required=field.default is None and not field.optional,
        help=field.help.replace("%", "%%") + default,
    )


def _object(body: bytes) -> dict[str, Any] | None:
    """The JSON object that the body is, if it is one."""
    try:
        said = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return said if isinstance(said, dict) else None
