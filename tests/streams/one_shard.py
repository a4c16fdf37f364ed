"""One shard whose processes come and go, on a log in memory."""

import random
from collections.abc import Callable

from schemas.record import decode_record
from streams.host import Host, HostPolicy
from streams.snapshots import SnapshotStore
from tests.simulation.background import Inline
from tests.simulation.faults import Faults
from tests.simulation.files import SimFiles
from tests.simulation.log import LogWorld, SimLog
from tests.simulation.processes import SimClock
from tests.streams.echo import Echo
from tests.streams.records import GENESIS

INBOX = ("ledger.in", 0)
OUTBOX = ("ledger.ev", 0)


class OneShard:
    """One shard that has begun: its log, its files and its clock."""

    def __init__(self) -> None:
        faults = Faults(random.Random(1), crashes_left=0, duplicate_rate=0.0)
        self.world = LogWorld(faults)
        self.files = SimFiles(faults)
        self.clock = SimClock()
        self.reports: list[str] = []
        self.append(GENESIS)

    def append(self, *values: bytes) -> None:
        for value in values:
            self.world.append(INBOX, value)


class Stage(OneShard):
    """Processes of the shard come and go."""

    def __init__(self) -> None:
        super().__init__()
        self.clock.elapsed_us = 10

    def start(
        self, snapshot_records: int = 10**9, between: Callable[[], None] = lambda: None
    ) -> Host:
        self.log = SimLog(self.world)
        self.log.between = between
        policy = HostPolicy(0.0, 1e9, snapshot_records)
        store = SnapshotStore(self.files, Inline())
        report = lambda event, detail: self.reports.append(event)  # noqa: E731
        host = Host("L0", Echo(), self.log, self.clock, store, policy, report)
        host.start()
        return host

    def run(self, host: Host, turns: int = 60) -> Host:
        for _ in range(turns):
            for record in self.log.read(5, 0.0):
                host.take(record)
            self.log.flush(0.0)
            host.tend()
        return host

    def outbox(self) -> list[int]:
        return [decode_record(value).cseq for value in self.world.partitions.get(OUTBOX, [])]

    def amounts(self, host: Host) -> list[int]:
        amounts: list[int] = host.shard.state.amounts
        return amounts
