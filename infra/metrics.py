"""Numbers about a running process: Prometheus metrics, served on the loopback."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import generate_latest, start_http_server

__all__ = ["Counter", "Gauge", "Histogram", "Registry", "exposition", "serve_metrics"]

Registry = CollectorRegistry


def serve_metrics(port: int, host: str = "127.0.0.1", registry: Registry = REGISTRY) -> int:
    """Answer GET /metrics from a thread that ends with the process; returns the port it got.

    Port 0 takes any free one. Raises `OSError` if the port is taken.
    """
    server, _ = start_http_server(port, addr=host, registry=registry)
    return int(server.server_port)


def exposition(registry: Registry = REGISTRY) -> bytes:
    """The text of /metrics, for a process that has a web server of its own."""
    return generate_latest(registry)
