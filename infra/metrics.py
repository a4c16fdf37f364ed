"""Numbers about a running process: Prometheus metrics, served on the loopback."""

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import start_http_server

from infra.settings import Settings

__all__ = ["Counter", "Gauge", "Histogram", "Registry", "serve_metrics"]

Registry = CollectorRegistry


def serve_metrics(settings: Settings, registry: Registry = REGISTRY) -> int:
    """Answer GET /metrics from a thread that ends with the process; returns the port it got.

    That is `metrics_port`, or any free one if another process has it.
    """
    try:
        server, _ = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError:
        server, _ = start_http_server(0, settings.host, registry)
    return int(server.server_port)
