"""A lean client of the public API: it signs once, and can send the same bytes again."""

import hmac
import http.client
import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

from tests.integration.running_stack import Account

TIMEOUT_S = 15.0
PATIENCE_S = 15.0
ORDER = {
    "symbol": "BTCUSDT",
    "side": "BUY",
    "type": "LIMIT",
    "timeInForce": "GTC",
    "quantity": "0.001",
    "price": "50000",
}
"""One that rests."""


@dataclass(slots=True, frozen=True)
class Request:
    """A signed request: the same bytes each time it is sent."""

    method: str
    path: str
    body: str
    api_key: str


@dataclass(slots=True, frozen=True)
class Answer:
    """What came back; status 0 where the connection broke."""

    status: int
    body: Any
    headers: dict[str, str]

    @property
    def code(self) -> int:
        """The number of the error; 0 for none."""
        return self.body.get("code", 0) if isinstance(self.body, dict) else 0


NO_ANSWER = Answer(0, None, {})


class Trader:
    """One user on one connection; for one thread."""

    patience_s = PATIENCE_S
    """How long a read may be answered 503 before that counts as the answer."""

    def __init__(self, url: str, account: Account) -> None:
        self.account = account
        self.busy = 0
        self._connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=TIMEOUT_S)

    def sign(self, method: str, path: str, **parameters: object) -> Request:
        """A request with timestamp and signature; `recvWindow` is a minute unless given."""
        now = {"timestamp": time.time_ns() // 1_000_000, "recvWindow": 59_999}
        payload = urlencode({**now, **parameters})
        signed = f"{payload}&signature={signature(self.account.secret, payload)}"
        return Request(method, path, signed, self.account.api_key)

    def send(self, request: Request) -> Answer:
        """One attempt; never raises for what the network does."""
        headers = {"X-MBX-APIKEY": request.api_key}
        in_query = request.method in ("GET", "DELETE")
        target = f"{request.path}?{request.body}" if in_query else request.path
        try:
            self._connection.request(
                request.method, target, None if in_query else request.body, headers
            )
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException):
            self._connection.close()
            return NO_ANSWER
        return Answer(response.status, json.loads(text), dict(response.getheaders()))

    def ask(self, method: str, path: str, **parameters: object) -> Answer:
        """Send, and again while a busy machine answers 503: a command as the same bytes.

        A read is signed anew, since it may take longer than a signature lasts. `busy` counts the
        503s.
        """
        request = self.sign(method, path, **parameters)
        give_up_s = time.monotonic() + self.patience_s
        while (answer := self.send(request)).status == 503:
            self.busy += 1
            if time.monotonic() >= give_up_s:
                break
            time.sleep(0.2)
            if method == "GET":
                request = self.sign(method, path, **parameters)
        return answer

    def good(self, method: str, path: str, **parameters: object) -> Any:
        """The body of a 200; fails for anything else."""
        answer = self.ask(method, path, **parameters)
        assert answer.status == 200, f"{method} {path} {parameters}: {answer}"
        return answer.body

    def order(self, side: str, quantity: str, price: str, **parameters: object) -> Answer:
        """POST a LIMIT GTC order for BTCUSDT unless told otherwise."""
        fields: dict[str, object] = {"symbol": "BTCUSDT", "side": side, "quantity": quantity}
        fields |= {"type": "LIMIT", "timeInForce": "GTC", "price": price}
        return self.ask("POST", "/api/v3/order", **fields | parameters)

    def balances(self) -> dict[str, tuple[int, int]]:
        """Free and locked units of 10^-8 by asset."""
        account = self.good("GET", "/api/v3/account")
        return {
            row["asset"]: (units(row["free"]), units(row["locked"])) for row in account["balances"]
        }

    def close(self) -> None:
        self._connection.close()


def signature(secret: str, text: str) -> str:
    """What a request with this text must bear, in hex."""
    return hmac.digest(secret.encode(), text.encode(), "sha256").hex()


def raw_request(
    method: str, path: str, api_key: str, body: str, kind: str = "application/json"
) -> bytes:
    """A request as it goes over the wire; `kind` is the type of the body."""
    head = (
        f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nX-MBX-APIKEY: {api_key}\r\n"
        f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return f"{head}{body}".encode()


def units(text: str) -> int:
    """A number with 8 decimals as a whole number of 10^-8."""
    whole, _, fraction = text.partition(".")
    assert len(fraction) == 8, f"8 decimals wanted, was {text}"
    return int(whole + fraction)
