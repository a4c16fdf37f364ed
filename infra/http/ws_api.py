"""The WebSocket frame around endpoints: many requests on one connection, answered as they end."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from time import monotonic
from typing import Any
from urllib.parse import urlencode

from aiohttp import WSCloseCode, WSMsgType, web

from domain.accounts.messages import Scope
from infra.http import errors
from infra.http.app import (
    BROKEN_WEIGHT,
    SHUTDOWN_S,
    Call,
    Frame,
    Handler,
    client_address,
    encode_json,
    report,
)
from infra.http.errors import ApiError
from infra.http.json_text import NumberText, parse_json, text_values
from infra.http.limits import ORDER_COUNT_1D, ORDER_COUNT_10S
from infra.http.metrics import EndpointMetrics
from infra.http.parameters import MAX_BODY_BYTES, Parameters
from infra.http.principal import Principal, SessionAuthenticator

MAX_IN_FLIGHT = 1_000
"""Requests of one connection that have no answer yet; the next one is not read before."""

HEARTBEAT_S = 20.0
GOODBYE_S = 1.0
IDENTIFIER = "^[a-zA-Z0-9-_]{1,36}$"

_IDENTIFIER = re.compile(IDENTIFIER.removesuffix("$") + r"\Z")
_INTEGER = re.compile(r"-?[0-9]{1,18}\Z")


@dataclass(slots=True, frozen=True)
class Method:
    """A method such as "order.place" and what it takes to call it; see `Endpoint`."""

    name: str
    handler: Handler
    weight: int = 1
    scope: Scope | None = None


class WsApi:
    """Serves methods on WebSocket connections, as Binance's WebSocket API does."""

    def __init__(
        self, frame: Frame, sessions: SessionAuthenticator, methods: Iterable[Method]
    ) -> None:
        self.frame = frame
        self.sessions = sessions
        self.methods = {method.name: method for method in methods}
        self._open: set[_Connection] = set()
        self._metrics: dict[str, EndpointMetrics] = {}

    def metrics_of(self, method: str) -> EndpointMetrics:
        """What counts the answers of this method on all connections."""
        if method not in self._metrics:
            self._metrics[method] = EndpointMetrics(method)
        return self._metrics[method]

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """One connection, until either side ends it."""
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_S, timeout=GOODBYE_S, max_msg_size=MAX_BODY_BYTES, compress=False
        )
        await socket.prepare(request)
        connection = _Connection(self, request, socket)
        self._open.add(connection)
        try:
            await connection.run()
        finally:
            self._open.discard(connection)
        return socket

    async def close(self, _app: web.Application) -> None:
        """Answer what is on its way, but nothing more; tell every client that this process ends."""
        await asyncio.gather(*(each.stop() for each in self._open))


@dataclass(slots=True)
class _Request:
    """A frame as it came; `error` if it is no request. `frame_id` is what the answer repeats."""

    frame_id: int | str | None = None
    method: str = ""
    params: Mapping[str, Any] = field(default_factory=dict)
    error: ApiError | None = None


class _Connection:
    """One client: its session, and its requests on their way."""

    def __init__(self, api: WsApi, request: web.Request, socket: web.WebSocketResponse) -> None:
        frame = api.frame
        self._api = api
        self._frame = frame
        self._request = request
        self._socket = socket
        self._ip = client_address(request, behind_proxy=frame.behind_proxy)
        self._microseconds = request.query.get("timeUnit", "").upper() == "MICROSECOND"
        self._tells_limits = request.query.get("returnRateLimits", "true").lower() != "false"
        self._connected_us = frame.clock.now_us()
        self._authorized_us = 0
        self._api_key = ""
        self._reading: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(MAX_IN_FLIGHT)
        own = (
            Method("ping", self._ping),
            Method("time", self._time),
            Method("session.logon", self._log_on, weight=2),
            Method("session.status", self._status, weight=2),
            Method("session.logout", self._log_out, weight=2),
        )
        self._methods = api.methods | {method.name: method for method in own}

    async def run(self) -> None:
        """Read and answer, until the client hangs up or `stop` was called."""
        self._reading = asyncio.create_task(self._read_on())
        try:
            await asyncio.wait((self._reading,))
        finally:
            self._reading.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        if self._reading.cancelled():
            await self._say_goodbye()
        else:
            self._reading.result()

    async def stop(self) -> None:
        """Read no more, and hang up when what was read is answered, or will not be in time."""
        if self._reading is not None:
            self._reading.cancel()
            await asyncio.wait((self._reading, *self._tasks), timeout=SHUTDOWN_S)
        with suppress(TimeoutError):
            # Who does not read what was sent is not waited for.
            async with asyncio.timeout(GOODBYE_S):
                await self._say_goodbye()

    async def _say_goodbye(self) -> None:
        await self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the gateway stops")

    async def _read_on(self) -> None:
        """Requests begin in the order of their frames, and end as they end."""
        async for message in self._socket:
            text = message.data if message.type is WSMsgType.TEXT else ""
            await self._room.acquire()
            task = asyncio.create_task(self._answer(text))
            self._tasks.add(task)
            task.add_done_callback(self._answered)
            # One a turn: who sends many at once does not keep others waiting.
            await asyncio.sleep(0)

    def _answered(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        self._room.release()

    async def _answer(self, text: str) -> None:
        now_us = self._frame.clock.now_us()
        call = Call(self._request, Parameters(), self._ip, now_us, self._microseconds)
        request = _read(text)
        answer: dict[str, Any] = {"id": request.frame_id, "status": 200}
        began_s, refusal = monotonic(), None
        try:
            answer["result"] = await self._respond(call, request)
        except ApiError as error:
            refusal = error
        except Exception as error:
            report(self._request, error)
            refusal = errors.unknown_error()
        if refusal is not None:
            answer |= {"status": refusal.status, "error": _error(refusal, now_us)}
        known = request.method if request.method in self._methods else "unknown method"
        metrics = self._api.metrics_of(known)
        metrics.answered(began_s, answer["status"], refusal.code if refusal is not None else 0)
        if self._tells_limits and request.params.get("returnRateLimits") is not False:
            answer["rateLimits"] = self._rate_limits(call)
        try:
            await self._socket.send_str(encode_json(answer))
        except ConnectionError:
            # Who hung up asks again, and gets the same answer.
            return

    async def _respond(self, call: Call, request: _Request) -> Any:
        method = self._methods.get(request.method)
        weight = method.weight if method is not None else BROKEN_WEIGHT
        if method is not None and method.scope is not None and self._is_stranger(request.params):
            call.charge(self._frame.limits, weight)
            await self._catch_up()
            method = self._admit(call, request, method)
        else:
            try:
                method = self._admit(call, request, method)
            finally:
                # Afterwards, lest whoever has only seen a key could use up what its owner may send.
                call.charge(self._frame.limits, weight)
        call.expect_scope(method.scope)
        return await method.handler(call)

    def _is_stranger(self, params: Mapping[str, Any]) -> bool:
        """Whether the sender names a key that is not known here, or not yet."""
        api_key = params.get("apiKey")
        return type(api_key) is str and not self._frame.authenticator.knows(api_key)

    async def _catch_up(self) -> None:
        if self._frame.catch_up is not None and self._frame.knows_log():
            await self._frame.catch_up()

    def _admit(self, call: Call, request: _Request, method: Method | None) -> Method:
        """The method, once its sender is known if it wants to know."""
        if request.error is not None:
            raise request.error
        if method is None:
            raise errors.unknown_method(request.method)
        if not self._frame.knows_log():
            raise errors.overloaded()
        call.parameters = _parameters(request.params)
        if method.scope is not None:
            call.principal = self._authenticate(call, request.frame_id)
        return method

    def _authenticate(self, call: Call, frame_id: int | str | None) -> Principal:
        values = call.parameters.values
        if "apiKey" in values or "signature" in values or not self._api_key:
            return self._signed(call)
        # Nothing is signed, so what tells one request from the next is its id, too.
        identity = b"\0%a" % (frame_id,)
        payload = call.parameters.signed_payload + identity
        call.parameters = replace(call.parameters, signed_payload=payload)
        return self._api.sessions.resume(
            self._api_key, call.parameters, client_ip=self._ip, now_us=call.arrived_us
        )

    def _signed(self, call: Call) -> Principal:
        """The sender of a request signed by itself: raw, or percent-encoded as a form is."""
        api_key = call.parameters.text("apiKey")
        signed = call.parameters
        values = {name: text for name, text in signed.values.items() if name != "apiKey"}
        call.parameters = Parameters(signed.signed_payload, values)
        try:
            return self._api.sessions.authenticate(
                api_key, call.parameters, client_ip=self._ip, now_us=call.arrived_us
            )
        except ApiError as error:
            encoded = urlencode(_sorted(signed.values)).encode()
            if error.code != errors.INVALID_SIGNATURE or encoded == signed.signed_payload:
                raise
            return self._api.sessions.authenticate(
                api_key,
                replace(call.parameters, signed_payload=encoded),
                client_ip=self._ip,
                now_us=call.arrived_us,
            )

    async def _ping(self, _call: Call) -> dict[str, Any]:
        return {}

    async def _time(self, call: Call) -> dict[str, Any]:
        return {"serverTime": call.time(call.arrived_us)}

    async def _log_on(self, call: Call) -> dict[str, Any]:
        """session.logon: later requests need neither key nor signature, only their timestamp."""
        if self._is_stranger(call.parameters.values):
            await self._catch_up()
        principal = self._signed(call)
        call.parameters.refuse_unknown(())
        self._api_key, self._authorized_us = principal.api_key, call.arrived_us
        return await self._status(call)

    async def _status(self, call: Call) -> dict[str, Any]:
        authorized_us = self._authorized_us
        return {
            "apiKey": self._api_key or None,
            "authorizedSince": call.time(authorized_us) if self._api_key else None,
            "connectedSince": call.time(self._connected_us),
            "returnRateLimits": self._tells_limits,
            "serverTime": call.time(call.arrived_us),
            "userDataStream": False,
        }

    async def _log_out(self, call: Call) -> dict[str, Any]:
        self._api_key = ""
        return await self._status(call)

    def _rate_limits(self, call: Call) -> list[dict[str, Any]]:
        limits = self._frame.limits.published()
        used = call.weight_told(self._frame.limits)
        told = [_limit("REQUEST_WEIGHT", "MINUTE", 1, limits.request_weight_per_minute, used)]
        if ORDER_COUNT_10S in call.headers:
            count = int(call.headers[ORDER_COUNT_10S])
            told.append(_limit("ORDERS", "SECOND", 10, limits.orders_per_10s, count))
        if ORDER_COUNT_1D in call.headers:
            count = int(call.headers[ORDER_COUNT_1D])
            told.append(_limit("ORDERS", "DAY", 1, limits.orders_per_day, count))
        return told


def _read(text: str) -> _Request:
    request = _Request()
    try:
        members = parse_json(text)
        if not isinstance(members, dict):
            raise errors.invalid_json()
        request.frame_id = _frame_id(members.get("id"))
        method, params = members.get("method"), members.get("params", {})
        if not isinstance(method, str):
            raise errors.mandatory("method")
        if not isinstance(params, dict):
            raise errors.invalid_data("params")
        request.method, request.params = method.removeprefix("v3/"), params
    except ApiError as error:
        request.error = error
    return request


def _frame_id(found: Any) -> int | str | None:
    """An integer, a short word or nothing; -1100 for anything else."""
    if found is None:
        return None
    if isinstance(found, NumberText) and _INTEGER.match(found):
        return int(found)
    if type(found) is str and _IDENTIFIER.match(found):
        return found
    raise errors.illegal_characters("id", IDENTIFIER)


def _parameters(params: Mapping[str, Any]) -> Parameters:
    """What is signed: all but the signature, sorted by name, values as they were written."""
    values = text_values(params)
    payload = "&".join([f"{name}={text}" for name, text in _sorted(values)]).encode()
    values.pop("returnRateLimits", None)
    return Parameters(payload, values)


def _sorted(values: Mapping[str, str]) -> list[tuple[str, str]]:
    return sorted([item for item in values.items() if item[0] != "signature"])


def _limit(kind: str, interval: str, number: int, limit: int, count: int) -> dict[str, Any]:
    return {
        "rateLimitType": kind,
        "interval": interval,
        "intervalNum": number,
        "limit": limit,
        "count": count,
    }


def _error(error: ApiError, now_us: int) -> dict[str, Any]:
    """The number and text, and the time to try again at (in milliseconds) where there is one."""
    told: dict[str, Any] = {"code": error.code, "msg": error.msg}
    if "Retry-After" in error.headers:
        now_ms = now_us // 1_000
        retry_ms = now_ms + int(error.headers["Retry-After"]) * 1_000
        told["data"] = {"serverTime": now_ms, "retryAfter": retry_ms}
    return told
