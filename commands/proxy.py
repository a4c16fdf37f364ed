"""Passes every request that is not order entry to the query API, so that one address serves all."""

from collections.abc import Iterable, Mapping
from typing import Any

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from infra.http import errors
from infra.http.connections import most_connections

CHUNK_BYTES = 64 * 1024
MAX_CONNECTIONS = 4_000
"""More than the 3,000 reads of weight 2 that one sender may let wait at once, so that others are
served meanwhile, and less than the 5,000 that the query API takes."""

CONNECT_TIMEOUT_S = 2.0
"""Also for one of the connections to be free."""

ANSWER_TIMEOUT_S = 30.0

_HOP_BY_HOP = frozenset(
    (
        "connection",
        "host",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    )
)


class Proxy:
    """Streams requests to one server and its answers back, bytes unchanged."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url.rstrip("/")
        self._session: aiohttp.ClientSession | None = None

    async def start(self) -> None:
        """Open the pool of connections; to be called in the loop that serves."""
        timeout = aiohttp.ClientTimeout(total=ANSWER_TIMEOUT_S, connect=CONNECT_TIMEOUT_S)
        # Clients may have half of the files that this process may open, this half of the others.
        most = most_connections(2 * MAX_CONNECTIONS) // 2
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=most),
            timeout=timeout,
            auto_decompress=False,
            skip_auto_headers=("User-Agent", "Accept-Encoding", "Accept", "Content-Type"),
        )

    async def stop(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def fetch(
        self, origin_form: str, *, api_key: str, client_ip: str, microseconds: bool
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Status, JSON and headers of what a path and query give; -1008 without an answer."""
        assert self._session is not None, "start() opens the session"
        headers = {"X-MBX-APIKEY": api_key, "X-Forwarded-For": client_ip}
        if microseconds:
            headers["X-MBX-TIME-UNIT"] = "MICROSECOND"
        url = URL(self._base_url + origin_form, encoded=True)
        try:
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                return answer.status, await answer.json(), answer.headers
        except (aiohttp.ClientError, ValueError, TimeoutError):
            raise errors.overloaded() from None

    async def forward(self, request: web.Request, client_ip: str) -> web.StreamResponse:
        """The server's answer; -1008 where it cannot be reached in time."""
        assert self._session is not None, "start() opens the session"
        headers = _end_to_end(request.headers.items(), request.headers.get("Connection", ""))
        forwarded = [request.headers.get("X-Forwarded-For", ""), client_ip]
        headers["X-Forwarded-For"] = ", ".join(filter(None, forwarded))
        try:
            async with self._session.request(
                request.method,
                URL(self._base_url + _origin_form(request), encoded=True),
                headers=headers,
                data=request.content if request.body_exists else None,
                allow_redirects=False,
            ) as answer:
                return await _pass_back(request, answer)
        except (aiohttp.ClientError, TimeoutError):
            raise errors.overloaded() from None


async def _pass_back(request: web.Request, answer: aiohttp.ClientResponse) -> web.StreamResponse:
    headers = _end_to_end(answer.headers.items(), answer.headers.get("Connection", ""))
    response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
    await response.prepare(request)
    try:
        async for chunk in answer.content.iter_chunked(CHUNK_BYTES):
            await response.write(chunk)
    except (TimeoutError, aiohttp.ClientError):
        # The answer has begun: only a broken connection tells the client that it is not whole.
        if request.transport is not None:
            request.transport.abort()
    return response


def _origin_form(request: web.Request) -> str:
    """The path and query exactly as sent, without a scheme and host in front."""
    if request.raw_path.startswith("/"):
        return request.raw_path
    return URL(request.raw_path, encoded=True).raw_path_qs


def _end_to_end(headers: Iterable[tuple[str, str]], connection: str) -> CIMultiDict[str]:
    """The headers that are not about one connection (RFC 9110, section 7.6.1)."""
    named = {name.strip().lower() for name in connection.split(",")}
    dropped = _HOP_BY_HOP | named
    return CIMultiDict((name, value) for name, value in headers if name.lower() not in dropped)
