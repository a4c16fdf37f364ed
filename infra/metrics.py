"""Numbers about a running process: Prometheus metrics, served on the loopback."""

import math
import shutil
from pathlib import Path

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import start_http_server

from infra.settings import Settings

__all__ = ["REGISTRY", "Counter", "Gauge", "Histogram", "Registry", "serve_metrics"]

Registry = CollectorRegistry

_DISK = Gauge("logbourse_data_disk_bytes", "Size of the disk that holds the data directory")
_DISK_FREE = Gauge("logbourse_data_disk_free_bytes", "What is free on that disk for this user")


def serve_metrics(settings: Settings, registry: Registry = REGISTRY) -> int:
    """Answer GET /metrics from a thread that ends with the process; returns the port it got.

    That is `metrics_port`, or any free one if another process has it.
    """
    _DISK.set_function(lambda: _disk_bytes(settings.data_dir, "total"))
    _DISK_FREE.set_function(lambda: _disk_bytes(settings.data_dir, "free"))
    try:
        server, _ = start_http_server(settings.metrics_port, settings.host, registry)
    except OSError:
        server, _ = start_http_server(0, settings.host, registry)
    return int(server.server_port)


def _disk_bytes(folder: Path, what: str) -> float:
    """NaN where there is no such folder, so that all else can still be read."""
    try:
        return float(getattr(shutil.disk_usage(folder), what))
    except OSError:
        return math.nan
