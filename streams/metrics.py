"""What a worker tells Prometheus: positions, lag, rates, step times and snapshots."""

import os
import time
from contextlib import AbstractContextManager, suppress
from pathlib import Path

from infra.metrics import REGISTRY, Counter, Gauge, Histogram, Registry, serve_metrics
from infra.settings import Settings
from schemas.record import decode_envelope
from streams.host import Host
from streams.shadow import FOREIGN_RECORD, Shadow

_STEP_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)

_COUNTS = {
    "records": "Input records taken since start",
    "commands": "Commands decided since start",
    "quarantined": "Records and messages set aside since start, replay included",
    "snapshots": "Snapshots that are complete since start",
    "snapshot_failures": "Snapshots that could not be written since start",
}


ALARMING = ("command faulted", FOREIGN_RECORD, "quarantined")
"""Reports that alerts are about: told as 0 from the start, so that the first one is an increase."""


class WorkerMetrics:
    """The worker's metrics; a registry takes them once.

    `snapshots_dir` has a folder per shard, whose newest file is the shard's newest snapshot.
    """

    def __init__(self, snapshots_dir: Path | None = None, *, registry: Registry = REGISTRY) -> None:
        self._snapshots_dir = snapshots_dir
        self._started_s = time.time()

        def gauge(name: str, text: str) -> Gauge:
            return Gauge(f"logbourse_shard_{name}", text, ["shard"], registry=registry)

        def counter(name: str, label: str, text: str) -> Counter:
            labels = ["shard", label]
            return Counter(f"logbourse_shard_{name}", text, labels, registry=registry)

        self._position = gauge("position", "Next input offset")
        self._lag = gauge("lag_records", "Input records not yet applied")
        self._log_time = gauge("log_time_seconds", "Logical time that is reached")
        self._counts = {name: gauge(f"{name}_total", text) for name, text in _COUNTS.items()}
        self._snapshot_time = gauge(
            "snapshot_timestamp_seconds", "When the newest snapshot was written, or the start"
        )
        self._leads = gauge("leads", "1: leads, 0: stands by")
        self._held = gauge("held_inputs", "Inputs a shadow holds the outputs of")
        self._compared = gauge("compared_total", "Outbox records a shadow compared")
        self._promotions = gauge("promotions_total", "Promotions of a shadow since start")
        self._stands_by = gauge("stands_by", "1: a shadow that has caught up and could take over")
        self._step = Histogram(
            "logbourse_shard_step_seconds",
            "Time of one input record",
            ["shard"],
            buckets=_STEP_BUCKETS_S,
            registry=registry,
        )
        self._duplicates = counter(
            "duplicates", "source", "Records dropped since they came before, by who sent them"
        )
        self._reports = counter(
            "reports", "event", "What was reported to operators, not again in a replay"
        )

    @classmethod
    def serve(cls, settings: Settings) -> "WorkerMetrics":
        """Metrics that are served on loopback at `/metrics`."""
        metrics = cls(settings.snapshots_dir)
        serve_metrics(settings)
        return metrics

    def step_time(self, shard: str) -> AbstractContextManager[object]:
        """Measures the time of one input record."""
        return self._step.labels(shard).time()

    def observe(self, host: Host | Shadow, end: int) -> None:
        """Take over the host's position and counts; `end` is the end of its input."""
        shard = host.id
        shadow = host if isinstance(host, Shadow) else None
        self._leads.labels(shard).set(shadow is None or shadow.leading)
        if shadow is not None:
            self._held.labels(shard).set(shadow.held_inputs)
            self._compared.labels(shard).set(shadow.compared)
            self._promotions.labels(shard).set(shadow.promotions)
            ready = not shadow.leading and shadow.in_touch and shadow.caught_up()
            self._stands_by.labels(shard).set(ready)
        state = host.host.shard.state if isinstance(host, Shadow) else host.shard.state
        self._log_time.labels(shard).set(state.time_us / 1_000_000)
        self._position.labels(shard).set(host.position)
        self._lag.labels(shard).set(end - host.position)
        self._snapshot_time.labels(shard).set(self._newest_snapshot_s(shard))
        for event in ALARMING:
            self._reports.labels(shard, event)
        for name, gauge in self._counts.items():
            gauge.labels(shard).set(getattr(host.counts, name))

    def duplicate(self, shard: str, value: bytes | None) -> None:
        """Count a record that was dropped."""
        self._duplicates.labels(shard, decode_envelope(value).src).inc()

    def reported(self, shard: str, event: str) -> None:
        """Count what the log file has in words."""
        self._reports.labels(shard, event).inc()

    def _newest_snapshot_s(self, shard: str) -> float:
        newest_s = self._started_s
        if self._snapshots_dir is not None:
            with suppress(OSError), os.scandir(self._snapshots_dir / shard) as files:
                written_s = [f.stat().st_mtime for f in files if f.name.endswith(".snapshot")]
                newest_s = max(written_s, default=newest_s)
        return newest_s
