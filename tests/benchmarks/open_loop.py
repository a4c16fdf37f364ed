"""An open-loop HTTP client: requests leave when they are planned, whatever became of others.

Latency counts from the planned moment, so that a server that stalls is charged for every request
that would have come meanwhile (no coordinated omission). One thread, plain sockets and `select`,
whose time limits are finer than an event loop's milliseconds.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

GIVE_UP_S = 10.0


@dataclass(slots=True)
class Shot:
    """A request, and when it is to leave in seconds after the start; `fill`: answered by fills."""

    at_s: float
    request: bytes
    fill: bool = False


@dataclass(slots=True)
class Hit:
    """What became of a shot: seconds after the planned moment it left and was answered.

    `status` is the answer's HTTP status, 0 if none came. `own_late_s` is the part of the lateness
    that is the client's: a connection was free.
    """

    late_s: float
    latency_s: float
    status: int
    body: bytes
    own_late_s: float = 0.0


def fire(
    host: str, port: int, shots: Sequence[Shot], start_s: float, connections: int
) -> list[Hit]:
    """Send the shots, the first at wall time `start_s`; the hits in the order of the shots.

    A shot that finds all connections taken waits for one, at the server's cost.
    """
    gallery = _Gallery(host, port, shots, connections)
    begin_s = time.perf_counter() + max(0.0, start_s - time.time())
    try:
        return gallery.run(begin_s)
    finally:
        gallery.close()


class _Gallery:
    """The connections, and which shot each of them carries."""

    def __init__(self, host: str, port: int, shots: Sequence[Shot], connections: int) -> None:
        self._shots = shots
        self._hits = [Hit(0.0, GIVE_UP_S, 0, b"") for _ in shots]
        self._free: deque[socket.socket] = deque()
        self._freed_s: dict[socket.socket, float] = {}
        for _ in range(connections):
            connection = socket.create_connection((host, port), timeout=5.0)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._free.append(connection)
        self._busy: dict[socket.socket, int] = {}
        self._answers: dict[socket.socket, bytes] = {}

    def run(self, begin_s: float) -> list[Hit]:
        due, shots = 0, self._shots
        give_up_s = begin_s + shots[-1].at_s + GIVE_UP_S
        while due < len(shots) or self._busy:
            now_s = time.perf_counter()
            while self._free and due < len(shots) and begin_s + shots[due].at_s <= now_s:
                self._send(due, begin_s)
                due += 1
            if now_s > give_up_s:
                break
            wait_s = 0.05
            if self._free and due < len(shots):
                wait_s = max(0.0, min(wait_s, begin_s + shots[due].at_s - time.perf_counter()))
            readable, _, _ = select.select(list(self._busy), [], [], wait_s)
            for connection in readable:
                self._receive(connection, begin_s)
        return self._hits

    def close(self) -> None:
        for connection in (*self._free, *self._busy):
            connection.close()

    def _send(self, number: int, begin_s: float) -> None:
        connection = self._free.popleft()
        connection.sendall(self._shots[number].request)
        self._busy[connection] = number
        self._answers[connection] = b""
        now_s, hit = time.perf_counter(), self._hits[number]
        hit.late_s = now_s - begin_s - self._shots[number].at_s
        hit.own_late_s = min(hit.late_s, now_s - self._freed_s.get(connection, begin_s))

    def _receive(self, connection: socket.socket, begin_s: float) -> None:
        found = connection.recv(65_536)
        answer = self._answers[connection] = self._answers[connection] + found
        head, ended, body = answer.partition(b"\r\n\r\n")
        if found and (not ended or len(body) < _length(head)):
            return
        number = self._busy.pop(connection)
        hit = self._hits[number]
        hit.latency_s = time.perf_counter() - begin_s - self._shots[number].at_s
        if found:
            hit.status, hit.body = int(head[9:12]), body
            self._free.append(connection)
            self._freed_s[connection] = time.perf_counter()
        else:
            connection.close()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    raise ValueError(f"an answer with a length was wanted, was {head!r}")
