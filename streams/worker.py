"""A process that runs any set of shards: one reader, one producer, one loop."""

import argparse
import gc
import signal
import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle

from infra.clock import Clock, SystemClock
from infra.files import Directory
from infra.kafka import KafkaLog
from infra.lease import FileLease, Lease
from infra.log import Log, LogFailure
from infra.logging import configure_logging, get_logger
from infra.settings import Settings, load_settings
from native.selection import build_in_use
from schemas.topics import shards
from streams.families import decider_of
from streams.halts import EXIT_STATUS_HALTED, ShardHalted
from streams.host import Host, HostPolicy
from streams.metrics import WorkerMetrics
from streams.snapshots import Fork, SnapshotStore

READ_RECORDS = 500
IDLE_S = 0.05
FLUSH_S = 10.0

_logger = get_logger("shard")


class Worker:
    """Runs hosts on one log handle, turn by turn."""

    def __init__(self, hosts: Sequence[Host], log: Log, metrics: WorkerMetrics) -> None:
        self._hosts = {(host.topic, host.partition): host for host in hosts}
        self._in_turn = cycle(self._hosts.values())
        self._log = log
        self._metrics = metrics

    def start(self) -> None:
        """Recover every host. Raises `ShardHalted`."""
        for host in self._hosts.values():
            host.start()
        # What was recovered stays: the collector need not look at it again and again.
        gc.freeze()

    def turn(self, timeout_s: float) -> int:
        """Read what there is, apply it, and do what is due; how many records were read.

        One host is tended a turn: storing the marks of all would keep the input waiting.
        """
        records = self._log.read(READ_RECORDS, timeout_s)
        for record in records:
            host = self._hosts[(record.topic, record.partition)]
            with self._metrics.step_time(host.id):
                host.take(record)
        self._log.poll()
        next(self._in_turn).tend()
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


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse shard`."""
    parser.add_argument("shards", nargs="+", metavar="SHARD", help="shards to run, such as L0 M0")
    policy = HostPolicy()
    parser.add_argument("--snapshot-seconds", type=float, default=policy.snapshot_interval_s)
    parser.add_argument("--snapshot-records", type=int, default=policy.snapshot_records)


def run(arguments: argparse.Namespace) -> int:
    """Run the shards until SIGTERM; the exit status (3: a shard halted, its reason is printed)."""
    settings = load_settings()
    known = shards(settings.ledger_partitions, settings.matching_partitions)
    unknown = [shard for shard in arguments.shards if shard not in known]
    if unknown:
        print(f"shards must be among {' '.join(known)}, was {unknown[0]}", file=sys.stderr)
        return 2
    configure_logging(settings.log_level)
    policy = HostPolicy(
        snapshot_interval_s=arguments.snapshot_seconds,
        snapshot_records=arguments.snapshot_records,
    )
    return _run_shards(list(dict.fromkeys(arguments.shards)), settings, policy)


def _run_shards(shard_ids: Sequence[str], settings: Settings, policy: HostPolicy) -> int:
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    leases = [FileLease(settings.data_dir / "leases" / shard) for shard in shard_ids]
    if not await_leases(leases, lambda: stopped):
        return 0
    metrics = WorkerMetrics.serve(settings)
    log = KafkaLog(settings)
    hosts = [_host(shard, log, SystemClock(), settings, policy) for shard in shard_ids]
    worker = Worker(hosts, log, metrics)
    try:
        worker.start()
        _logger.info("shards started", shards=list(shard_ids), build=build_in_use())
        _turn_until(worker, lambda: stopped)
        worker.finish()
    except ShardHalted as halted:
        metrics.halted(halted)
        _logger.error("shard halted", shard=halted.shard, reason=halted.reason, detail=str(halted))
        print(halted, file=sys.stderr)
        return EXIT_STATUS_HALTED
    except LogFailure as failure:
        _logger.error("log failed", detail=str(failure))
        print(f"the log failed: {failure}", file=sys.stderr)
        return 1
    finally:
        log.close()
    _logger.info("shards stopped", shards=list(shard_ids))
    return 0


def _turn_until(worker: Worker, stopping: Callable[[], bool]) -> None:
    next_observation_s = 0.0
    while not stopping():
        worker.turn(IDLE_S)
        if time.monotonic() >= next_observation_s:
            next_observation_s = time.monotonic() + 5.0
            worker.observe()


def _host(shard_id: str, log: Log, clock: Clock, settings: Settings, policy: HostPolicy) -> Host:
    def report(event: str, detail: str) -> None:
        _logger.warning(event, shard=shard_id, detail=detail)

    snapshots = SnapshotStore(Directory(settings.snapshots_dir / shard_id), Fork())
    return Host(shard_id, decider_of(shard_id), log, clock, snapshots, policy, report)
