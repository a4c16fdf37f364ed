"""The admin application: its own loopback port, its own token, one POST per operation."""

import json
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from commands.admin.fields import read_fields
from commands.admin.operations import OPERATIONS, Operation
from commands.admin.operator import Operator
from commands.health import Health
from infra.http.app import LOG_POSITION, json_response, numbered_errors, read_body
from infra.http.errors import ApiError, unauthorized
from infra.http.parameters import MAX_BODY_BYTES
from infra.keys import same_secret
from infra.logging import get_logger

PREFIX = "/admin/v1/"

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def build_admin_app(
    operator: Operator, health: Health, token: str, log_position: Callable[[], str]
) -> web.Application:
    """An application that obeys whoever brings `token`; `log_position` is told in each answer."""
    app = web.Application(
        client_max_size=MAX_BODY_BYTES, middlewares=[numbered_errors, _token_wanted(token)]
    )
    app[LOG_POSITION] = log_position
    app.on_response_prepare.append(_tell_position)
    for operation in OPERATIONS:
        app.router.add_post(PREFIX + operation.name, _bind(operator, operation))
    app.router.add_get("/health/live", _live)
    app.router.add_get("/health/ready", _ready(health))
    return app


def _token_wanted(token: str) -> Any:
    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not request.path.startswith("/health/"):
            scheme, _, given = request.headers.get("Authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not same_secret(given.strip(), token):
                raise unauthorized()
        return await handler(request)

    return check


def _bind(operator: Operator, operation: Operation) -> Handler:
    async def answer(request: web.Request) -> web.StreamResponse:
        try:
            body = json.loads(await read_body(request) or b"{}")
        except (ValueError, RecursionError):
            raise ApiError(400, -1102, "The body must be a JSON object.") from None
        result = await operation.action(operator, read_fields(operation.fields, body))
        get_logger("admin").info("operation done", operation=operation.name)
        return json_response(result)

    return answer


async def _tell_position(request: web.Request, response: web.StreamResponse) -> None:
    if position := request.app[LOG_POSITION]():
        response.headers["X-Log-Position"] = position


async def _live(_request: web.Request) -> web.StreamResponse:
    return json_response({"status": "live"})


def _ready(health: Health) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return health.readiness()

    return answer
