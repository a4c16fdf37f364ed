"""A client of the WebSocket API: many requests at once, answers by their ids."""

import asyncio
import base64
import itertools
import json
from contextlib import asynccontextmanager
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.commands.world import User, World, hmac_hex

PATH = "/ws-api/v3"


class SocketClient:
    """One connection. `user` signs what `signed` makes."""

    def __init__(self, socket, user: User) -> None:
        self.socket = socket
        self.user = user
        self._ids = itertools.count(1)

    def signed(self, key: Ed25519PrivateKey | None = None, **params: Any) -> dict[str, Any]:
        """The parameters with key, time and signature: HMAC, or Ed25519 with `key`."""
        params = {"apiKey": self.user.api_key, "timestamp": self.user.world.now_ms} | params
        payload = "&".join(f"{name}={params[name]}" for name in sorted(params))
        if key is None:
            signature = hmac_hex(self.user.secret, payload.encode())
        else:
            signature = base64.b64encode(key.sign(payload.encode())).decode()
        return params | {"signature": signature}

    async def send(self, method: str, **params: Any) -> int:
        """The id of a request on its way."""
        number = next(self._ids)
        await self.socket.send_json({"id": number, "method": method, "params": params})
        return number

    async def answer(self) -> dict[str, Any]:
        """The next answer, whatever it answers."""
        async with asyncio.timeout(10):
            return await self.socket.receive_json()

    async def ask(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a request that is alone."""
        number = await self.send(method, **params)
        answer = await self.answer()
        assert answer["id"] == number
        return answer

    async def say(self, text: str) -> dict[str, Any]:
        """What a frame of any text is answered with."""
        await self.socket.send_str(text)
        return await self.answer()


@asynccontextmanager
async def connected(world: World, user: User, query: str = ""):
    """A client on a connection of its own."""
    async with world.gateway.ws_connect(f"{PATH}?{query}") as socket:
        yield SocketClient(socket, user)


def frame(method: str, **params: Any) -> str:
    """A request without an id that matters."""
    return json.dumps({"id": None, "method": method, "params": params})
