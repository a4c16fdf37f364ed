"""How many connections one process takes; one more is told to come again, and hung up on."""

import asyncio
import json
import resource
from collections.abc import Callable

from aiohttp import web

from infra.http.errors import overloaded
from infra.http.metrics import count_malformed
from infra.metrics import Counter, Gauge

MAX_CONNECTIONS = 5_000
FILES_PART = 2
"""Half of the files that this process may open are left to all else."""

_OPEN = Gauge("logbourse_http_connections", "Open connections of clients", ("port",))
_LIMIT = Gauge("logbourse_http_connections_limit", "How many there may be", ("port",))
_REFUSED = Counter("logbourse_http_connections_refused", "Connections beyond that", ("port",))


class BoundedSite(web.BaseSite):
    """A port that serves at most so many connections at once."""

    def __init__(
        self,
        runner: web.AppRunner,
        host: str,
        port: int,
        *,
        share_port: bool,
        most: int,
        log_position: Callable[[], str],
    ) -> None:
        super().__init__(runner)
        self._host = host
        self._port = port
        self._share_port = share_port
        self._most = most
        self._log_position = log_position

    @property
    def name(self) -> str:
        """The address, as aiohttp names its sites."""
        return f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Listen. Raises `OSError` if the port is taken."""
        count_malformed()
        await super().start()
        server = self._runner.server
        assert server is not None, "the runner is set up before its sites start"

        def protocol() -> asyncio.Protocol:
            if len(server.connections) < self._most:
                return server()
            _REFUSED.labels(self._port).inc()
            return _Full(self._log_position())

        _OPEN.labels(self._port).set_function(lambda: len(server.connections))
        _LIMIT.labels(self._port).set(self._most)
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            protocol,
            self._host,
            self._port,
            backlog=self._backlog,
            reuse_port=self._share_port or None,
        )


def most_connections(wanted: int) -> int:
    """So many, or fewer where this process may not open so many files."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return wanted if files == resource.RLIM_INFINITY else min(wanted, files // FILES_PART)


class _Full(asyncio.Protocol):
    """Says -1008 (503) before anything is asked, and hangs up."""

    def __init__(self, position: str) -> None:
        self._position = position

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        error = overloaded()
        body = json.dumps({"code": error.code, "msg": error.msg}).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Connection": "close",
            **error.headers,
        }
        if self._position:
            headers["X-Log-Position"] = self._position
        lines = [f"HTTP/1.1 {error.status} Service Unavailable"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        transport.write("\r\n".join([*lines, "", ""]).encode() + body)
        transport.close()
