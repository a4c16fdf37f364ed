"""A leader and a shadow of one shard, on a log in memory."""

from infra.log import Mark, Partition
from schemas.record import decode_record
from streams.host import Host, HostPolicy
from streams.shadow import Shadow
from streams.snapshots import SnapshotStore
from tests.simulation.background import Inline
from tests.simulation.log import SimLog
from tests.streams.echo import Echo
from tests.streams.one_shard import INBOX, OneShard
from tests.streams.records import deposit, from_outside


class Pair(OneShard):
    """A leader and a shadow of the shard; who does not work stands still."""

    def leader(self) -> Host:
        self.leader_log = SimLog(self.world)
        host = Host("L0", Echo(), self.leader_log, self.clock, self._store(""), *self._rest())
        host.start()
        return host

    def shadow(self, held_bytes: int = 10**6, snapshot_records: int = 10**9) -> Shadow:
        self.shadow_log = SimLog(self.world)
        shadow = Shadow(
            "L0",
            Echo(),
            self.shadow_log,
            self.clock,
            self._store("-shadow"),
            *self._rest(snapshot_records),
            held_bytes=held_bytes,
        )
        shadow.start()
        return shadow

    def lead(self, host: Host, turns: int = 30) -> None:
        for _ in range(turns):
            for record in self.leader_log.read(1, 0.0):
                host.take(record)
            self.leader_log.flush(0.0)
            host.tend()

    def follow(self, shadow: Shadow, turns: int = 60) -> None:
        for _ in range(turns):
            self.clock.elapsed_us += 100_000
            for record in self.shadow_log.read(1, 0.0):
                shadow.take(record)
            self.shadow_log.flush(0.0)
            shadow.tend()

    def cseqs(self, place: Partition) -> list[int]:
        values = self.world.partitions.get(place, [])
        return [record.cseq for record in map(decode_record, values) if record.src == "L0"]

    def commit(self, offset: int, host: Host) -> None:
        shard = host.shard
        metadata = f"{shard.ordinal} {shard.input_hash.hex()}"
        self.world.marks[INBOX] = Mark(offset, metadata)

    def _store(self, writer: str) -> SnapshotStore:
        return SnapshotStore(self.files, Inline(), writer)

    def _rest(self, snapshot_records: int = 10**9):
        report = lambda event, detail: self.reports.append(f"{event}: {detail}")  # noqa: E731
        return HostPolicy(0.0, 1e9, snapshot_records), report


def deposits(first: int, count: int) -> list[bytes]:
    return [from_outside(deposit(first + n)) for n in range(count)]
