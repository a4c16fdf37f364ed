"""What a gateway tells Prometheus of itself: whether it is ready, and how far it has read."""

from collections.abc import Collection
from functools import partial

from commands.follower import Follower
from commands.write_side import WriteSide
from infra.metrics import Gauge

_READY = Gauge("logbourse_gateway_ready", "1 while /health/ready says 200", ("role",))
_LOG_TIME = Gauge(
    "logbourse_gateway_log_time_seconds", "Log time of what was read of its outbox", ("shard",)
)


def tell_readiness(side: WriteSide, roles: Collection[str]) -> None:
    """Let the metrics ask the write side whenever they are read."""
    for role in roles:
        _READY.labels(role).set_function(lambda: not side.health.missing())
    for shard in side.follower.shards():
        _LOG_TIME.labels(shard).set_function(partial(_log_time_s, side.follower, shard))


def _log_time_s(follower: Follower, shard: str) -> float:
    return follower.log_time_us(shard) / 1_000_000
