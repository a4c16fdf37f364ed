"""The simulated exchange: processes that run the real hosts, killed and restarted by the seed."""

import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.decider import Decider, Message
from schemas.record import encode_message, outside_record
from schemas.topics import inbox, shards
from streams.families import decider_of
from streams.halts import ShardHalted
from streams.host import Host, HostPolicy
from streams.snapshots import Inline, SnapshotStore
from tests.simulation.faults import Crash, Faults
from tests.simulation.files import SimFiles
from tests.simulation.log import LogWorld, SimLog

LEDGERS = 2
MATCHERS = 2
START_US = 1_700_000_000_000_000
POLICY = HostPolicy(commit_interval_s=0.05, snapshot_interval_s=1e9, snapshot_records=7)
MAX_TURNS = 100_000


class SimClock:
    """A clock that the world moves."""

    def __init__(self) -> None:
        self.elapsed_us = 0

    def now_us(self) -> int:
        return START_US + self.elapsed_us

    def monotonic_s(self) -> float:
        return self.elapsed_us / 1e6


@dataclass
class Process:
    """One process of the exchange and the hosts it runs, None while it is down."""

    shard_ids: Sequence[str]
    files: dict[str, SimFiles]
    log: SimLog | None = None
    hosts: list[Host] = field(default_factory=list)


class World:
    """All processes of an exchange around one simulated log."""

    def __init__(self, faults: Faults) -> None:
        self.faults = faults
        self.clock = SimClock()
        self.log = LogWorld(faults)
        self.files = {shard: SimFiles(faults) for shard in shards(LEDGERS, MATCHERS)}
        self.deciders: dict[str, Decider[Any]] = {
            shard: decider_of(shard) for shard in shards(LEDGERS, MATCHERS)
        }
        self.halted: dict[str, ShardHalted] = {}
        self.processes = [Process(group, self.files) for group in _groups(faults.rng)]
        self.crashes = 0
        self.stopped_at: dict[str, int] = {}
        self.cut_at: dict[str, int] = {}

    def send(self, shard: str, source: str, messages: Sequence[Message]) -> None:
        """Append an outside record to the shard's inbox, as a gateway or operator would."""
        value = outside_record(
            source, self.clock.now_us(), [encode_message(message) for message in messages]
        )
        self.log.append(inbox(shard), value)

    def drain(self) -> None:
        """Run until nothing is left to do, restarting what crashes, halted processes apart."""
        calm = 0
        for _ in range(MAX_TURNS):
            process = self.faults.rng.choice(self.processes)
            worked = self._turn(process)
            calm = 0 if worked or not self._quiet() else calm + 1
            if calm > 2 * len(self.processes):
                return
        raise AssertionError("the exchange did not come to rest")

    def run(self, turns: int) -> None:
        """Let a random process work for each of so many turns, at rest or not."""
        for _ in range(turns):
            self._turn(self.faults.rng.choice(self.processes))

    def restart_all(self) -> None:
        """Kill and restart every process, so that recovery is exercised at least once."""
        for process in self.processes:
            self.kill(process)
        self.drain()

    def hosts(self) -> dict[str, Host]:
        """The running hosts by shard id."""
        return {host.id: host for process in self.processes for host in process.hosts}

    def _turn(self, process: Process) -> bool:
        if any(shard in self.halted for shard in process.shard_ids):
            self.log.move_some()
            return False
        self.clock.elapsed_us += self.faults.rng.randrange(20_000)
        self.log.move_some()
        try:
            if process.log is None:
                self._start(process)
            return self._work(process)
        except Crash:
            self.crashes += 1
            self.kill(process)
            if self.faults.chance(0.1):
                process.files[self.faults.rng.choice(process.shard_ids)].spoil_newest()
            return True
        except ShardHalted as halted:
            self.halted[halted.shard] = halted
            self.kill_host_of(halted.shard)
            return True

    def _start(self, process: Process) -> None:
        process.log = log = SimLog(self.log)
        process.hosts = [
            Host(
                shard,
                self.deciders[shard],
                log,
                self.clock,
                SnapshotStore(process.files[shard], Inline()),
                POLICY,
                _ignore,
            )
            for shard in process.shard_ids
        ]
        for host in process.hosts:
            host.start()

    def _work(self, process: Process) -> bool:
        assert process.log is not None
        by_partition = {(host.topic, host.partition): host for host in process.hosts}
        records = process.log.read(1, 0.0)
        for record in records:
            by_partition[(record.topic, record.partition)].take(record)
        process.log.poll()
        for host in process.hosts:
            host.tend()
        return bool(records)

    def kill(self, process: Process) -> None:
        """End a process; what it had under way may arrive, late, in part or not at all."""
        if process.log is not None:
            self.log.lose_producer(process.log)
        self.stopped_at.update({host.id: host.position for host in process.hosts})
        process.log = None
        process.hosts = []

    def double(self) -> None:
        """Start one more process for shards that run already, on a machine of its own."""
        shard_ids = self.faults.rng.choice(self.processes).shard_ids
        files = {shard: SimFiles(self.faults) for shard in shard_ids}
        self.processes.append(Process(shard_ids, files))
        self.faults.happened["second leader"] += 1

    def kill_host_of(self, shard: str) -> None:
        """End the process that runs the shard."""
        for process in self.processes:
            if shard in process.shard_ids:
                self.kill(process)

    def _quiet(self) -> bool:
        return self.log.idle() and all(
            any(shard in self.halted for shard in process.shard_ids)
            or (
                process.log is not None
                and all(
                    host.position == self.log.end((host.topic, host.partition))
                    for host in process.hosts
                )
            )
            for process in self.processes
        )


def _groups(rng: random.Random) -> list[list[str]]:
    """A random placement of all shards on processes."""
    groups: list[list[str]] = [[] for _ in range(rng.randint(1, 6))]
    for shard in shards(LEDGERS, MATCHERS):
        rng.choice(groups).append(shard)
    return [group for group in groups if group]


def _ignore(event: str, detail: str) -> None:
    """Reports are for operators."""
