"""Which loopback ports a stack may take."""

import socket
from collections.abc import Iterable

HIGHEST_PORT = 65_535


def free_port(host: str, wanted: int, taken: Iterable[int] = ()) -> int:
    """`wanted` if nobody listens there and it is not in `taken`, else the next free one above."""
    avoided = set(taken)
    for port in range(wanted, HIGHEST_PORT + 1):
        if port not in avoided and _is_free(host, port):
            return port
    raise OSError(f"a port from {wanted} up must be free on {host}, none was")


def any_port(host: str) -> int:
    """A port that nobody has now, chosen by the kernel: for tests that run beside other stacks."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        return int(probe.getsockname()[1])


def _is_free(host: str, port: int) -> bool:
    with socket.socket() as probe:
        # As servers do: a port whose last connections are still fading counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True
