"""A host for benchmarks: it publishes no snapshots, and whatever it reports is a failure."""

from infra.clock import SystemClock
from infra.log import Log
from streams.families import decider_of
from streams.host import Host, HostPolicy
from streams.snapshots import SnapshotStore

NO_SNAPSHOTS = HostPolicy(snapshot_interval_s=1e9, snapshot_records=1 << 60)


def lone_host(shard: str, log: Log, snapshots: SnapshotStore) -> Host:
    """The host of a shard; `AssertionError` where others would report something."""
    return Host(shard, decider_of(shard), log, SystemClock(), snapshots, NO_SNAPSHOTS, _fail)


def _fail(event: str, detail: str) -> None:
    raise AssertionError(f"{event}: {detail}")
