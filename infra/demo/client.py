"""A small client of the public API, as any trader might write it."""

import hashlib
import hmac
import time
from typing import Any
from urllib.parse import urlencode

import aiohttp


class Refused(Exception):
    """The exchange answered with a numbered error."""

    def __init__(self, status: int, code: int, text: str) -> None:
        super().__init__(f"{text} ({code}, HTTP {status})")
        self.code = code


class Client:
    """Signed requests of one API key."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, api_key: str, api_secret: str
    ) -> None:
        self._session = session
        self._url = url
        self._key = api_key
        self._secret = api_secret.encode()

    async def signed(self, method: str, path: str, **parameters: object) -> Any:
        """The answer of a signed request. Raises `Refused`."""
        stamped = {**parameters, "timestamp": time.time_ns() // 1_000_000, "recvWindow": 10_000}
        query = urlencode(stamped)
        signature = hmac.new(self._secret, query.encode(), hashlib.sha256).hexdigest()
        return await self._answer(method, f"{path}?{query}&signature={signature}")

    async def _answer(self, method: str, path: str) -> Any:
        headers = {"X-MBX-APIKEY": self._key}
        async with self._session.request(method, self._url + path, headers=headers) as response:
            body = await response.json(content_type=None)
            if response.status != 200:
                raise Refused(response.status, body.get("code", 0), body.get("msg", ""))
            return body
