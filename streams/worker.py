"""A process that runs any set of shards: one reader, one producer, one loop."""

import signal
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from infra.clock import Clock, SystemClock
from infra.files import Directory
from infra.kafka import KafkaLog
from infra.lease import FileLease, Lease
from infra.log import Log, LogFailure
from infra.logging import get_logger
from infra.settings import Settings
from streams.families import decider_of
from streams.halts import EXIT_STATUS_HALTED, ShardHalted
from streams.host import Host, HostPolicy
from streams.metrics import WorkerMetrics
from streams.snapshots import Fork, SnapshotStore

READ_RECORDS = 500
IDLE_S = 0.05
FLUSH_S = 10.0


class Worker:
    """Runs hosts on one log handle, turn by turn."""

    def __init__(self, hosts: Sequence[Host], log: Log, metrics: WorkerMetrics) -> None:
        self._hosts = {(host.topic, host.partition): host for host in hosts}
        self._log = log
        self._metrics = metrics

    def start(self) -> None:
        """Recover every host. Raises `ShardHalted`."""
        for host in self._hosts.values():
            host.start()

    def turn(self, timeout_s: float) -> int:
        """Read what there is, apply it, and do what is due; how many records were read."""
        records = self._log.read(READ_RECORDS, timeout_s)
        for record in records:
            host = self._hosts[(record.topic, record.partition)]
            with self._metrics.step_time(host.id):
                host.take(record)
        self._log.poll()
        for host in self._hosts.values():
            host.tend()
        return len(records)

    def finish(self) -> None:
        """Wait until all outputs are replicated and commit the marks."""
        if not self._log.flush(FLUSH_S):
            raise LogFailure(f"outputs were not replicated within {FLUSH_S:.0f} s")
        for host in self._hosts.values():
            host.finish()

    def observe(self) -> None:
        """Refresh the metrics that are read from the hosts."""
        for host in self._hosts.values():
            _, end = self._log.ends(host.topic, host.partition)
            self._metrics.observe(host, end)


def await_leases(leases: Sequence[Lease], stopping: Callable[[], bool]) -> bool:
    """Wait until all leases are held; False if asked to stop before that."""
    while not all(lease.acquire() for lease in leases):
        if stopping():
            return False
        time.sleep(0.1)
    return True


def main(shard_ids: Sequence[str], settings: Settings, policy: HostPolicy) -> int:
    """Run these shards until SIGTERM; the exit status (3: a shard halted, see the log)."""
    logger = get_logger("shard")
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    leases = [FileLease(Path(settings.data_dir) / "leases" / shard) for shard in shard_ids]
    if not await_leases(leases, lambda: stopped):
        return 0
    metrics = WorkerMetrics.serve(settings)
    log = KafkaLog(settings)
    worker = Worker(
        [_host(shard, log, SystemClock(), settings, policy) for shard in shard_ids], log, metrics
    )
    try:
        worker.start()
        logger.info("shards started", shards=list(shard_ids))
        _turn_until(worker, lambda: stopped)
        worker.finish()
    except ShardHalted as halted:
        metrics.halted(halted)
        logger.error("shard halted", shard=halted.shard, reason=halted.reason, detail=str(halted))
        print(halted, file=sys.stderr)
        return EXIT_STATUS_HALTED
    except LogFailure as failure:
        logger.error("log failed", detail=str(failure))
        print(f"the log failed: {failure}", file=sys.stderr)
        return 1
    finally:
        log.close()
    logger.info("shards stopped", shards=list(shard_ids))
    return 0


def _turn_until(worker: Worker, stopping: Callable[[], bool]) -> None:
    next_observation_s = 0.0
    while not stopping():
        worker.turn(IDLE_S)
        if time.monotonic() >= next_observation_s:
            next_observation_s = time.monotonic() + 5.0
            worker.observe()


def _host(
    shard_id: str, log: Log, clock: Clock, settings: Settings, policy: HostPolicy
) -> Host:
    logger = get_logger("shard")

    def report(event: str, detail: str) -> None:
        logger.warning(event, shard=shard_id, detail=detail)

    snapshots = SnapshotStore(Directory(Path(settings.data_dir) / "snapshots" / shard_id), Fork())
    return Host(shard_id, decider_of(shard_id), log, clock, snapshots, policy, report)
