"""A process that runs any set of shards: one reader, one producer, one loop."""

import argparse
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from itertools import cycle

from domain.rules import SUPPORTED_RULES
from infra.clock import Clock, SystemClock
from infra.collector import leave_to_reference_counts
from infra.ending import EXIT_STATUS_HALTED
from infra.files import Directory
from infra.kafka import KafkaLog
from infra.lease import Gathering, Hindrances, Lease
from infra.lease_keeper import LeaseKeeper
from infra.lease_stores import is_gone, open_lease_store, this_holder
from infra.log import Log, LogFailure, Partition
from infra.logging import configure_logging, get_logger, say
from infra.recoveries import expect_no_recovery
from infra.settings import Settings, load_settings
from native.selection import build_in_use
from streams.families import decider_of
from streams.halts import ShardHalted
from streams.host import Host, HostPolicy
from streams.leadership import EXIT_STATUS_STEPPED_DOWN, Leadership, LeaseLost, Member
from streams.metrics import WorkerMetrics
from streams.shadow import Shadow
from streams.shard_names import named_shards
from streams.snapshots import Fork, SnapshotStore

READ_RECORDS = 500
IDLE_S = 0.05
FLUSH_S = 10.0
PAUSE_S = (0.2, 2.0)
"""How long leases are left to others that need them together with theirs: between the two."""

_logger = get_logger("shard")


class Worker:
    """Runs hosts on one log handle, turn by turn."""

    def __init__(
        self,
        hosts: Sequence[Member],
        log: Log,
        metrics: WorkerMetrics,
        leadership: Leadership | None = None,
    ) -> None:
        """Without `leadership` every host leads."""
        self._hosts = {(host.topic, host.partition): host for host in hosts}
        self._readers: dict[Partition, Member] = dict(self._hosts)
        self._readers |= {host.outbox: host for host in hosts if isinstance(host, Shadow)}
        self._in_turn = cycle(self._hosts.values())
        self._log = log
        self._metrics = metrics
        self._leadership = leadership

    def start(self) -> None:
        """Recover every host. Raises `ShardHalted`."""
        for host in self._hosts.values():
            host.start()
        if self._leadership is not None:
            self._leadership.begin()

    def turn(self, timeout_s: float) -> int:
        """Read what there is, apply it, and do what is due; how many records were read.

        One host is tended a turn: storing the marks of all would keep the input waiting.
        """
        records = self._log.read(READ_RECORDS, timeout_s)
        if self._leadership is not None:
            # Right before the work: this process may have stood still while it waited.
            self._leadership.look()
        for record in records:
            host = self._readers[(record.topic, record.partition)]
            known = host.counts.duplicates
            with self._metrics.step_time(host.id):
                host.take(record)
            if host.counts.duplicates != known:
                self._metrics.duplicate(host.id, record.value)
        self._log.poll()
        next(self._in_turn).tend()
        return len(records)

    def finish(self) -> None:
        """Wait until all outputs are replicated and commit the marks."""
        if not self._log.flush(FLUSH_S):
            raise LogFailure(f"outputs were not replicated within {FLUSH_S:.0f} s")
        for host in self._hosts.values():
            host.finish()

    def observe(self, end_seen: Callable[[str, int], int]) -> None:
        """Refresh the metrics that are read from the hosts; `end_seen` must not wait for anybody.

        All shards stand still while this goes on: a broker that is away must not hold them up.
        """
        for host in self._hosts.values():
            end = max(host.position, end_seen(host.topic, host.partition))
            self._metrics.observe(host, end)


def await_leases(leases: Sequence[Lease], stopping: Callable[[], bool]) -> bool:
    """Wait until all leases are held, and say what for; False if asked to stop before that."""
    gathering = Gathering(leases, time.monotonic, lambda: random.uniform(*PAUSE_S))
    hindrances = Hindrances(
        leases,
        time.monotonic,
        lambda lease: lease.hindrance,
        lambda why: _logger.warning("waiting for leases", why=why),
    )
    while not gathering.is_complete():
        if stopping():
            return False
        hindrances.look()
        time.sleep(IDLE_S)
    return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse shard`."""
    parser.add_argument("shards", nargs="+", metavar="SHARD", help="shards to run, such as L0 M0")
    parser.add_argument(
        "--standby",
        action="store_true",
        help="compute along with whoever leads, and take over when nobody does",
    )
    policy = HostPolicy()
    parser.add_argument(
        "--snapshot-seconds",
        type=float,
        metavar="S",
        default=policy.snapshot_interval_s,
        help=f"so long after a snapshot take the next ({policy.snapshot_interval_s:.0f})",
    )
    parser.add_argument(
        "--snapshot-records",
        type=int,
        metavar="N",
        default=policy.snapshot_records,
        help=f"sooner, after so many records ({policy.snapshot_records:,})",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run the shards until SIGTERM; the exit status (3: a shard halted, its reason is printed).

    Raises `Misunderstood` for a shard that the exchange does not have, and `Refusal` while a
    recovery is not finished.
    """
    settings = load_settings()
    configure_logging(settings.log_level)
    policy = HostPolicy(
        snapshot_interval_s=arguments.snapshot_seconds,
        snapshot_records=arguments.snapshot_records,
    )
    expect_no_recovery(settings.data_dir)
    shard_ids = named_shards(arguments.shards, settings)
    store = open_lease_store(settings)
    able = not arguments.standby  # A shadow is able once it has recovered.
    leases = [
        Lease(shard, this_holder(), store, time.monotonic, is_gone=is_gone, able=able)
        for shard in shard_ids
    ]
    keeper = LeaseKeeper(leases)
    keeper.start()
    try:
        return _run_shards(leases, keeper, settings, policy, standby=arguments.standby)
    finally:
        keeper.close()


def _run_shards(
    leases: Sequence[Lease],
    keeper: LeaseKeeper,
    settings: Settings,
    policy: HostPolicy,
    *,
    standby: bool,
) -> int:
    stopped = False

    def stop(*_: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    metrics = WorkerMetrics.serve(settings)
    if not standby and not await_leases(leases, lambda: stopped):
        return 0
    log = KafkaLog(settings)
    clock = SystemClock()
    kind = Shadow if standby else Host
    told = metrics.reported
    members = [_member(kind, lease.name, log, clock, settings, policy, told) for lease in leases]
    leadership = Leadership(leases, {member.id: member for member in members}, keeper, clock)
    worker = Worker(members, log, metrics, leadership)
    try:
        worker.start()
        leave_to_reference_counts()
        _say_started(leases, standby=standby)
        _turn_until(worker, log, leases, lambda: stopped or leadership.asked)
        leadership.yield_all()
        worker.finish()
    except (ShardHalted, LeaseLost, LogFailure) as why:
        return _status_after(why)
    finally:
        log.close()
    _logger.info("shards stopped", shards=_names(leases))
    return 0 if stopped else EXIT_STATUS_STEPPED_DOWN


def _say_started(leases: Sequence[Lease], *, standby: bool) -> None:
    """`rules` are what an operator looks at before other rules are activated."""
    build, rules = build_in_use(), list(SUPPORTED_RULES)
    shards = _names(leases)
    _logger.info("shards started", shards=shards, standby=standby, build=build, rules=rules)


def _status_after(why: ShardHalted | LeaseLost | LogFailure) -> int:
    """Say why the process ends; its exit status."""
    match why:
        case ShardHalted():
            _logger.error("shard halted", shard=why.shard, reason=why.reason, detail=str(why))
            say(str(why))
            return EXIT_STATUS_HALTED
        case LeaseLost():
            _logger.warning("stepped down", detail=str(why))
            return EXIT_STATUS_STEPPED_DOWN
        case LogFailure():
            _logger.error("log failed", detail=str(why))
            say(f"the log failed: {why}")
            return 1


def _names(leases: Sequence[Lease]) -> list[str]:
    return [lease.name for lease in leases]


def _turn_until(
    worker: Worker, log: KafkaLog, leases: Sequence[Lease], stopping: Callable[[], bool]
) -> None:
    next_observation_s = 0.0
    # Who leads goes on without the store; who stands by could never take over.
    hindrances = Hindrances(
        leases,
        time.monotonic,
        lambda lease: lease.error,
        lambda why: _logger.warning("leases not reached", why=why),
    )
    while not stopping():
        worker.turn(IDLE_S)
        if time.monotonic() >= next_observation_s:
            next_observation_s = time.monotonic() + 5.0
            worker.observe(log.end_seen)
            hindrances.look()


def _member(
    kind: type[Host] | type[Shadow],
    shard_id: str,
    log: KafkaLog,
    clock: Clock,
    settings: Settings,
    policy: HostPolicy,
    reported: Callable[[str, str], None],
) -> Member:
    def report(event: str, detail: str) -> None:
        reported(shard_id, event)
        _logger.warning(event, shard=shard_id, detail=detail)

    directory = Directory(settings.snapshots_dir / shard_id)
    snapshots = SnapshotStore(directory, Fork(), writer=f"-{os.getpid()}")
    return kind(shard_id, decider_of(shard_id), log, clock, snapshots, policy, report)
