"""What a worker tells Prometheus: positions, lag, rates, step times and halts."""

from contextlib import AbstractContextManager

from infra.metrics import Counter, Gauge, Histogram, serve_metrics
from infra.settings import Settings
from streams.halts import ShardHalted
from streams.host import Host
from streams.shadow import Shadow

_STEP_BUCKETS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5)


class WorkerMetrics:
    """The worker's metrics, in the process's default registry."""

    def __init__(self) -> None:
        labels = ["shard"]
        self._position = Gauge("logbourse_shard_position", "Next input offset", labels)
        self._lag = Gauge("logbourse_shard_lag_records", "Input records not yet applied", labels)
        self._counts = {
            name: Gauge(f"logbourse_shard_{name}_total", f"{name} since start", labels)
            for name in (
                "records", "commands", "duplicates", "quarantined", "snapshots",
                "snapshot_failures",
            )
        }  # fmt: skip
        self._step = Histogram(
            "logbourse_shard_step_seconds", "Time of one input record", labels,
            buckets=_STEP_BUCKETS_S,
        )  # fmt: skip
        self._leads = Gauge("logbourse_shard_leads", "1: leads, 0: stands by", labels)
        self._held = Gauge(
            "logbourse_shard_held_inputs", "Inputs a shadow holds the outputs of", labels
        )
        self._compared = Gauge(
            "logbourse_shard_compared_total", "Outbox records a shadow compared", labels
        )
        self._promotions = Gauge(
            "logbourse_shard_promotions_total", "Promotions of a shadow since start", labels
        )
        self._halts = Counter("logbourse_shard_halts_total", "Halts", ["shard", "reason"])

    @classmethod
    def serve(cls, settings: Settings) -> "WorkerMetrics":
        """Metrics that are served on loopback at `/metrics`."""
        metrics = cls()
        serve_metrics(settings)
        return metrics

    def step_time(self, shard: str) -> AbstractContextManager[object]:
        """Measures the time of one input record."""
        return self._step.labels(shard).time()

    def observe(self, host: Host | Shadow, end: int) -> None:
        """Take over the host's position and counts; `end` is the end of its input."""
        shadow = host if isinstance(host, Shadow) else None
        self._leads.labels(host.id).set(shadow is None or shadow.leading)
        if shadow is not None:
            self._held.labels(host.id).set(shadow.held_inputs)
            self._compared.labels(host.id).set(shadow.compared)
            self._promotions.labels(host.id).set(shadow.promotions)
        self._position.labels(host.id).set(host.position)
        self._lag.labels(host.id).set(end - host.position)
        for name, gauge in self._counts.items():
            gauge.labels(host.id).set(getattr(host.counts, name))

    def halted(self, halted: ShardHalted) -> None:
        """Count a halt by reason."""
        self._halts.labels(halted.shard, halted.reason).inc()
