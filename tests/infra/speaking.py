"""Servers that say the same to whoever connects, in HTTP or not."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

NO_HTTP = [b"", b"SSH-2.0-OpenSSH_9.2\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"]


@contextmanager
def speaking(words: bytes) -> Iterator[int]:
    """The port of a server that says these bytes to whoever connects, whatever is asked."""

    def speak() -> None:
        while True:
            try:
                connection, _ = server.accept()
            except OSError:
                return
            with connection:
                connection.recv(65_536)
                connection.sendall(words)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=speak, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


def told(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n%b" % (status.encode(), len(body), body)
