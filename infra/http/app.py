"""The frame around every endpoint: parameters, limits, authentication, errors and headers."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from time import monotonic
from types import MappingProxyType
from typing import Any

from aiohttp import web

from domain.accounts.messages import Scope
from infra.clock import Clock
from infra.http import errors
from infra.http.connections import MAX_CONNECTIONS, BoundedSite, most_connections
from infra.http.errors import ApiError
from infra.http.limits import ADDRESS, RequestLimits
from infra.http.metrics import FAILURES, EndpointMetrics
from infra.http.parameters import (
    MAX_BODY_BYTES,
    Parameters,
    parse_document,
    parse_parameters,
)
from infra.http.principal import Authenticator, Principal
from infra.logging import get_logger
from infra.refusal import Refusal

SHUTDOWN_S = 5.0
KEEPALIVE_S = 75.0
"""How long a connection may be idle, or the head of a request may take. WebSockets are exempt."""

BODY_TIMEOUT_S = 10.0
"""How long a body may take: it is 64 KiB at most."""

BROKEN_WEIGHT = 1
"""What a request weighs that cannot be read, whatever it asks for."""

EMPTY: Mapping[str, Any] = MappingProxyType({})
OUR_MACHINE = ("127.0.0.1", "::1")

LOG_POSITION: web.AppKey[Callable[[], str]] = web.AppKey("log_position")
"""Says an application's X-Log-Position where no endpoint does."""

encode_json = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode


@dataclass(slots=True)
class Call:
    """One request on its way through an endpoint.

    `arrived_us` is the wall time at which all of it was here, `weight_used` the weight that its
    `payer` has used in this minute. The endpoint may set `position` (the `X-Log-Position` of what
    it read or wrote) and add `headers`.
    """

    request: web.Request
    parameters: Parameters
    client_ip: str
    arrived_us: int
    microseconds: bool = False
    principal: Principal | None = None
    weight_used: int | None = None
    position: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def sender(self) -> Principal:
        """The authenticated sender; only for endpoints with a scope."""
        assert self.principal is not None, "an endpoint without scope has no sender"
        return self.principal

    def expect_scope(self, scope: Scope | None) -> None:
        """Raises -2015 where there is a scope and the sender's key does not have it."""
        if scope is not None and scope not in self.sender.scopes:
            raise errors.api_key_refused()

    @property
    def payer(self) -> str:
        """By what its weight counts: by the key of a sender who proved it, else by address."""
        return self.principal.api_key if self.principal is not None else ADDRESS + self.client_ip

    def charge(self, limits: RequestLimits, weight: int, *, requests: int = 1) -> None:
        """Count `weight` for the payer. Raises 429 and 418, as `RequestLimits.charge` does."""
        self.weight_used = None
        self.weight_used = limits.charge(self.payer, weight, self.arrived_us, requests=requests)

    def weight_told(self, limits: RequestLimits) -> int:
        """The weight that it was charged up to; what its payer has used, if it was refused."""
        used = self.weight_used
        return limits.used(self.payer, self.arrived_us) if used is None else used

    def time(self, time_us: int) -> int:
        """A time as the client wants it: milliseconds, or microseconds if it said so."""
        return time_us if self.microseconds else time_us // 1_000


Handler = Callable[[Call], Awaitable[Any]]
"""Answers with JSON-able data, or with a whole response."""

Weight = int | Callable[[Parameters], int]
"""What a request weighs, whatever it asks for or by what it asks for."""

Fallback = Callable[[web.Request, str], Awaitable[web.StreamResponse]]
"""Answers a request (and its sender's address) that no endpoint takes."""


@dataclass(slots=True, frozen=True)
class Endpoint:
    """A path and what it takes to call it. Without `scope` it is public; with one, signed.

    With `document` the body is left to the handler, and parameters come in the query alone.
    `reads` names the parameters that it knows: any other is refused (-1104). Without it, that is
    the handler's matter.
    """

    method: str
    path: str
    handler: Handler
    weight: Weight = 1
    scope: Scope | None = None
    limited: bool = True
    document: bool = False
    reads: Collection[str] | None = None


@dataclass(slots=True)
class Frame:
    """What all endpoints of one application share.

    `behind_proxy` believes the X-Forwarded-For header of a peer on this machine. `log_position`
    is the X-Log-Position of answers whose endpoint names none. `catch_up` is awaited before an
    unknown API key is refused, since it may have been made a moment ago. While `knows_log` says
    no, all but probes gets -1008 (503): a key or market that is unknown then may well exist.
    """

    authenticator: Authenticator
    limits: RequestLimits
    clock: Clock
    behind_proxy: bool = False
    log_position: Callable[[], str] = str
    fallback: Fallback | None = None
    catch_up: Callable[[], Awaitable[None]] | None = None
    knows_log: Callable[[], bool] = lambda: True


def build_app(
    frame: Frame,
    endpoints: Iterable[Endpoint],
    *,
    sockets: Mapping[str, Callable[[web.Request], Awaitable[web.StreamResponse]]] = EMPTY,
    on_shutdown: Iterable[Callable[[web.Application], Awaitable[None]]] = (),
) -> web.Application:
    """An application that serves `endpoints`, and gives every error its number.

    `sockets`: by path, who takes a connection over.
    """
    app = web.Application(client_max_size=MAX_BODY_BYTES, middlewares=[numbered_errors])
    app[LOG_POSITION] = frame.log_position
    app.on_response_prepare.append(_completing(frame))
    for endpoint in endpoints:
        app.router.add_route(endpoint.method, endpoint.path, _bind(frame, endpoint))
    for path, serve in sockets.items():
        app.router.add_get(path, serve, allow_head=False)
    app.on_shutdown.extend(on_shutdown)
    if frame.fallback is not None:
        app.router.add_route("*", "/{path:.*}", _bind_fallback(frame, frame.fallback))
    return app


async def serve_app(
    app: web.Application,
    host: str,
    port: int,
    *,
    share_port: bool = False,
    connections: int = MAX_CONNECTIONS,
) -> web.AppRunner:
    """Serve until the runner's `cleanup`, bodies as they were sent, packed or not.

    Raises `Refusal` if the port is taken.

    With `share_port` others of this user who say the same may listen there too; the kernel deals
    connections out to all of them (SO_REUSEPORT). Beyond so many `connections` at once clients are
    hung up on, with -1008 (503).
    """
    # Whoever unpacks a body breaks its Content-Length for a proxy, and is open to bombs.
    runner = web.AppRunner(
        app,
        access_log=None,
        shutdown_timeout=SHUTDOWN_S,
        keepalive_timeout=KEEPALIVE_S,
        auto_decompress=False,
    )
    await runner.setup()
    try:
        site = BoundedSite(
            runner,
            host,
            port,
            share_port=share_port,
            most=most_connections(connections),
            log_position=app.get(LOG_POSITION, str),
        )
        await site.start()
    except OSError as error:
        await runner.cleanup()
        raise Refusal(f"port {port} of {host} must be free, was not: {error}") from error
    return runner


def json_response(data: Any, *, status: int = 200) -> web.Response:
    """Compact JSON."""
    return web.Response(
        body=encode_json(data).encode(), status=status, content_type="application/json"
    )


def error_response(error: ApiError) -> web.Response:
    """The numbered error as the clients know it."""
    response = json_response({"code": error.code, "msg": error.msg}, status=error.status)
    response.headers.update(error.headers)
    if error.status == HTTPStatus.REQUEST_TIMEOUT:
        # Whoever is that slow comes again on a connection of its own.
        response.force_close()
    return response


def client_address(request: web.Request, *, behind_proxy: bool) -> str:
    """The sender's address; that of whom our own proxy names last, if it forwarded this."""
    peer = request.remote or ""
    if not behind_proxy or peer not in OUR_MACHINE:
        return peer
    # What stands before the last is what the client said of itself, in a line of its own perhaps.
    lines = request.headers.getall("X-Forwarded-For", [peer])
    return lines[-1].rpartition(",")[2].strip() or peer


def _bind(frame: Frame, endpoint: Endpoint) -> Callable[[web.Request], Awaitable[Any]]:
    metrics = EndpointMetrics(f"{endpoint.method} {endpoint.path}")

    async def answer(request: web.Request) -> web.StreamResponse:
        began_s, code = monotonic(), 0
        ip = client_address(request, behind_proxy=frame.behind_proxy)
        micros = request.headers.get("X-MBX-TIME-UNIT", "").upper() == "MICROSECOND"
        call = Call(request, Parameters(), ip, frame.clock.now_us(), micros)
        try:
            response = await _respond(frame, endpoint, call)
        except ApiError as error:
            response, code = error_response(error), error.code
        metrics.answered(began_s, response.status, code)
        response.headers.update(_headers(frame, call))
        return response

    return answer


async def _respond(frame: Frame, endpoint: Endpoint, call: Call) -> web.StreamResponse:
    try:
        await _read_parameters(frame, endpoint, call)
        weight = endpoint.weight
        amount = weight if isinstance(weight, int) else weight(call.parameters)
    except ApiError:
        _charge(frame, endpoint, call, BROKEN_WEIGHT)
        raise
    await _admit(frame, endpoint, call, amount)
    if endpoint.reads is not None:
        call.parameters.refuse_unknown(endpoint.reads)
    answer = await endpoint.handler(call)
    return answer if isinstance(answer, web.StreamResponse) else json_response(answer)


def _bind_fallback(frame: Frame, fallback: Fallback) -> Callable[[web.Request], Awaitable[Any]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        return await fallback(request, client_address(request, behind_proxy=frame.behind_proxy))

    return answer


async def _read_parameters(frame: Frame, endpoint: Endpoint, call: Call) -> None:
    request = call.request
    raw_query = request.raw_path.partition("?")[2].encode("utf-8", "surrogateescape")
    try:
        raw_body = b"" if request.method in ("GET", "HEAD") else await read_body(request)
    finally:
        # A body may come slowly: a request is as old, and its key must live as long, as its end.
        call.arrived_us = frame.clock.now_us()
    parse = parse_document if endpoint.document else parse_parameters
    call.parameters = parse(raw_query, raw_body)
    call.microseconds |= call.parameters.take_time_unit()


async def read_body(request: web.Request) -> bytes:
    """The body as it was sent. Raises -1001 (408) if it is late, -1101 (413) beyond 64 KiB."""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            return await request.read()
    except (TimeoutError, ConnectionError):
        # Who has hung up hears nothing of it, but has sent a request like any other.
        raise errors.body_too_slow(BODY_TIMEOUT_S) from None
    except web.HTTPRequestEntityTooLarge:
        raise errors.body_too_large(MAX_BODY_BYTES) from None


async def _admit(frame: Frame, endpoint: Endpoint, call: Call, weight: int) -> None:
    """Charge the weight, and refuse whom the endpoint is not for."""
    api_key = call.request.headers.get("X-MBX-APIKEY", "")
    if endpoint.scope is not None and frame.knows_log() and frame.authenticator.knows(api_key):
        try:
            _authenticate(frame, call, api_key)
        finally:
            # Afterwards, lest whoever has only seen a key could use up what its owner may send.
            _charge(frame, endpoint, call, weight)
    else:
        _charge(frame, endpoint, call, weight)
        if endpoint.limited and not frame.knows_log():
            raise errors.overloaded()
        if endpoint.scope is not None:
            if api_key and frame.catch_up is not None:
                await frame.catch_up()
            _authenticate(frame, call, api_key)
    call.expect_scope(endpoint.scope)


def _authenticate(frame: Frame, call: Call, api_key: str) -> None:
    call.principal = frame.authenticator.authenticate(
        api_key, call.parameters, client_ip=call.client_ip, now_us=call.arrived_us
    )


def _charge(frame: Frame, endpoint: Endpoint, call: Call, weight: int) -> None:
    if endpoint.limited:
        call.charge(frame.limits, weight)


def _headers(frame: Frame, call: Call) -> dict[str, str]:
    used = str(call.weight_told(frame.limits))
    headers = {"X-MBX-USED-WEIGHT": used, "X-MBX-USED-WEIGHT-1M": used}
    position = call.position or frame.log_position()
    if position:
        headers["X-Log-Position"] = position
    return headers | call.headers


def _completing(frame: Frame) -> Callable[[web.Request, web.StreamResponse], Awaitable[None]]:
    async def complete(request: web.Request, response: web.StreamResponse) -> None:
        """What no endpoint answered, such as an unknown path, has the headers of every answer."""
        if "X-MBX-USED-WEIGHT" in response.headers and "X-Log-Position" in response.headers:
            return
        ip = client_address(request, behind_proxy=frame.behind_proxy)
        call = Call(request, Parameters(), ip, frame.clock.now_us())
        for name, value in _headers(frame, call).items():
            response.headers.setdefault(name, value)

    return complete


@web.middleware
async def numbered_errors(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> web.StreamResponse:
    """A middleware: whatever goes wrong, the client gets a number and a sentence."""
    try:
        return await handler(request)
    except ApiError as error:
        return error_response(error)
    except web.HTTPException as error:
        return error_response(_numbered(request, error))
    except Exception as error:
        report(request, error)
        return error_response(errors.unknown_error())


def _numbered(request: web.Request, error: web.HTTPException) -> ApiError:
    if isinstance(error, web.HTTPMethodNotAllowed):
        return errors.method_not_allowed(request.method, ", ".join(sorted(error.allowed_methods)))
    if isinstance(error, web.HTTPNotFound):
        return errors.unknown_path(request.path)
    return ApiError(error.status, -1000, error.reason)


def report(request: web.Request, error: Exception) -> None:
    """Log an error's kind and place only: its text or the query could hold a secret."""
    FAILURES.inc()
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    get_logger("http").error(
        "request failed",
        method=request.method,
        path=request.path,
        error=type(error).__name__,
        file=place.tb_frame.f_code.co_filename if place else "",
        line=place.tb_lineno if place else 0,
    )
