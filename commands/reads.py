"""Private reads on a WebSocket: passed to the query API as the REST requests that they are."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

from commands.proxy import Proxy
from domain.accounts.messages import Scope
from infra.http.app import Call
from infra.http.errors import ApiError
from infra.http.ws_api import Method
from infra.keys import Vouch

READS = (
    ("order.status", "/api/v3/order"),
    ("openOrders.status", "/api/v3/openOrders"),
    ("allOrders", "/api/v3/allOrders"),
    ("myTrades", "/api/v3/myTrades"),
    ("account.status", "/api/v3/account"),
    ("account.rateLimits.orders", "/api/v3/rateLimit/order"),
)
"""Each method, and the path that answers it and weighs it: here it has no weight."""


class Reads:
    """Asks on behalf of a sender whom the gateway has authenticated already."""

    def __init__(self, proxy: Proxy, vouch: Vouch) -> None:
        self._proxy = proxy
        self._vouch = vouch

    def methods(self) -> list[Method]:
        """What this serves."""
        return [Method(name, self._reader(path), 0, Scope.READ) for name, path in READS]

    def _reader(self, path: str) -> Callable[[Call], Any]:
        async def read(call: Call) -> Any:
            status, body, headers = await self._proxy.fetch(
                self._origin_form(path, call),
                api_key=call.sender.api_key,
                client_ip=call.client_ip,
                microseconds=call.microseconds,
            )
            call.position = headers.get("X-Log-Position", "")
            if used := headers.get("X-MBX-USED-WEIGHT-1M"):
                call.weight_used = int(used)
            if status != 200:
                again = headers.get("Retry-After")
                told = {"Retry-After": again} if again else None
                raise ApiError(status, body["code"], body["msg"], headers=told)
            return body

        return read

    def _origin_form(self, path: str, call: Call) -> str:
        """Path and query, vouched for: what the client signed was no query, or its session."""
        values = {n: text for n, text in call.parameters.values.items() if n != "signature"}
        query = urlencode(values)
        signature = self._vouch(call.sender.api_key, query.encode())
        return f"{path}?{query}&signature={signature}"
