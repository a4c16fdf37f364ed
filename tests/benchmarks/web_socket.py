"""An open-loop WebSocket client: as `open_loop`, with many requests under way on a connection.

Frames are made beforehand and sent on plain sockets in turn; an answer is found by its id, which
is the number of its shot.
"""

import base64
import json
import os
import select
import socket
import struct
import time
from collections.abc import Sequence

from tests.benchmarks.open_loop import GIVE_UP_S, Hit, Shot

PATH = "/ws-api/v3"
TEXT, CLOSE, PING, PONG = 1, 8, 9, 10
# A client must mask what it sends. Nothing is between us and the server that masking would protect,
# and zeros leave the bytes as they are.
_MASKED, _MASK = 0x80, bytes(4)


def text_frame(text: str) -> bytes:
    """A text message as one frame of a client."""
    return _frame(TEXT, text.encode())


def fire_frames(
    host: str, port: int, shots: Sequence[Shot], start_s: float, connections: int
) -> list[Hit]:
    """Send the frames, the first at wall time `start_s`; the hits in the order of the shots."""
    wires = [_Wire(host, port) for _ in range(connections)]
    begin_s = time.perf_counter() + max(0.0, start_s - time.time())
    try:
        return _run(wires, shots, begin_s)
    finally:
        for wire in wires:
            wire.close()


def _run(wires: list["_Wire"], shots: Sequence[Shot], begin_s: float) -> list[Hit]:
    hits = [Hit(0.0, GIVE_UP_S, 0, b"") for _ in shots]
    due, open_ = 0, 0
    give_up_s = begin_s + shots[-1].at_s + GIVE_UP_S
    while (due < len(shots) or open_) and time.perf_counter() < give_up_s:
        while due < len(shots) and begin_s + shots[due].at_s <= time.perf_counter():
            wires[due % len(wires)].send(shots[due].request)
            hits[due].late_s = time.perf_counter() - begin_s - shots[due].at_s
            hits[due].own_late_s = hits[due].late_s
            due, open_ = due + 1, open_ + 1
        wait_s = 0.05
        if due < len(shots):
            wait_s = max(0.0, min(wait_s, begin_s + shots[due].at_s - time.perf_counter()))
        readable, _, _ = select.select(wires, [], [], wait_s)
        for wire in readable:
            for payload in wire.answers():
                _note(hits, shots, payload, begin_s)
                open_ -= 1
    return hits


def _note(hits: list[Hit], shots: Sequence[Shot], payload: bytes, begin_s: float) -> None:
    told = json.loads(payload)
    number = told.get("id")
    if not isinstance(number, int):
        raise OSError(f"an answer with the id of a request was wanted, was {payload[:200]!r}")
    hit = hits[number]
    hit.latency_s = time.perf_counter() - begin_s - shots[number].at_s
    hit.status = int(told.get("status", 0))
    hit.body = payload


class _Wire:
    """One connection after its handshake."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port), timeout=5.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._found = b""
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET {PATH} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
            f"Sec-WebSocket-Key: {key}\r\n\r\n"
        )
        self._socket.sendall(request.encode())
        head = b""
        # Byte by byte, so that what the server says next is left for `answers`.
        while not head.endswith(b"\r\n\r\n"):
            found = self._socket.recv(1)
            if not found:
                raise OSError(f"{PATH} must take a WebSocket, closed the connection")
            head += found
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise OSError(f"{PATH} must take a WebSocket, said {head[:60]!r}")

    def fileno(self) -> int:
        """For `select`."""
        return self._socket.fileno()

    def send(self, frame: bytes) -> None:
        """One frame."""
        self._socket.sendall(frame)

    def answers(self) -> list[bytes]:
        """The text messages that are complete now; pings are answered."""
        found = self._socket.recv(262_144)
        if not found:
            raise OSError("the WebSocket was closed in the middle of a run")
        self._found += found
        texts = []
        while (frame := _first_frame(self._found)) is not None:
            kind, payload, length = frame
            self._found = self._found[length:]
            if kind == TEXT:
                texts.append(payload)
            elif kind == PING:
                self.send(_frame(PONG, payload))
            elif kind == CLOSE:
                raise OSError(f"the server closed the WebSocket: {payload[2:]!r}")
        return texts

    def close(self) -> None:
        self._socket.close()


def _frame(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        head = struct.pack("!BB", 0x80 | kind, _MASKED | size)
    elif size < 1 << 16:
        head = struct.pack("!BBH", 0x80 | kind, _MASKED | 126, size)
    else:
        head = struct.pack("!BBQ", 0x80 | kind, _MASKED | 127, size)
    return head + _MASK + payload


def _first_frame(found: bytes) -> tuple[int, bytes, int] | None:
    """Kind, payload and length in all of the first frame; None if it is not there yet."""
    if len(found) < 2:
        return None
    size, start = found[1] & 0x7F, 2
    if size == 126:
        if len(found) < 4:
            return None
        size, start = struct.unpack_from("!H", found, 2)[0], 4
    elif size == 127:
        if len(found) < 10:
            return None
        size, start = struct.unpack_from("!Q", found, 2)[0], 10
    end = start + size
    return (found[0] & 0x0F, found[start:end], end) if len(found) >= end else None
