"""Seconds from nothing to ready to lead, by the age of the snapshot: matching, and a ledger."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from time import process_time

from infra.files import Directory
from infra.log import LogRecord
from schemas.record import record_hash
from schemas.topics import inbox, outbox
from streams.families import decider_of
from streams.shard import Shard
from streams.snapshots import SnapshotStore
from tests.benchmarks.exchange import MemoryExchange
from tests.benchmarks.lone_host import lone_host
from tests.benchmarks.memory_log import MemoryLog
from tests.benchmarks.mix import BLOCK, LEDGERS, MIX, draw
from tests.benchmarks.report import Effort, Figure, median_of
from tests.simulation.background import Inline

COMMANDS = 100_000
AGES = (0.0, 0.1, 0.25, 0.5, 1.0)
"""How much of the day's commands came after the snapshot."""


def measure(effort: Effort) -> list[Figure]:
    """Two curves: recovery of a matching and of a ledger shard."""
    count = effort.count(COMMANDS, least=BLOCK * LEDGERS)
    exchange = MemoryExchange()
    exchange.play(draw(count))
    method = (
        f"recovery: a host on a log in memory that loads a snapshot and runs what came after it, "
        f"outputs included, until it could lead; {count:,} commands in records of {BLOCK} ({MIX}), "
        "a snapshot after a part of them; seconds of processor, without the log's own time"
    )
    figures = []
    for shard, name in (("M0", "matching"), ("L0", "ledger")):
        for age in AGES:
            runs = _runs(effort, exchange, shard, age)
            behind = round(count * age)
            title = f"recovery, {name} shard, snapshot {behind:,} commands old"
            figure = median_of(title, "s", runs, method, least_is_best=True)
            figure.series, figure.x = f"recovery: {name}", float(behind)
            figures.append(figure)
    return figures


def _runs(effort: Effort, exchange: MemoryExchange, shard: str, age: float) -> list[float]:
    values = exchange.partitions[inbox(shard)]
    begin = exchange.before[shard]
    offset = len(values) - round((len(values) - begin) * age)
    with tempfile.TemporaryDirectory() as folder:
        store = SnapshotStore(Directory(Path(folder)), Inline())
        told = _write(store, shard, values[:offset])
        return [_recover(store, shard, values, told) for _ in range(effort.runs)]


def _write(store: SnapshotStore, shard_id: str, values: list[bytes]) -> list[LogRecord]:
    """Publish the snapshot of a shard that has read so much; its outbox."""
    shard = Shard(shard_id, decider_of(shard_id))
    steps = [shard.step(offset, value) for offset, value in enumerate(values)]
    store.publish(store.start(len(values), shard.dump, record_hash(values[-1])))
    place = outbox(shard_id)
    told = [o.value for step in steps for o in step.outputs if (o.topic, o.partition) == place]
    return [LogRecord(*place, offset, -1, value) for offset, value in enumerate(told)]


class _Log(MemoryLog):
    """With the outbox as it was when the snapshot was made."""

    def __init__(self, shard: str, values: list[bytes], told: list[LogRecord]) -> None:
        super().__init__(*inbox(shard), values)
        self._outbox, self._told = outbox(shard), told

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        if (topic, partition) == self._outbox:
            return 0, len(self._told)
        return super().ends(topic, partition)

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        if (topic, partition) == self._outbox:
            return iter(self._told[start:stop])
        return super().scan(topic, partition, start, stop)


def _recover(store: SnapshotStore, shard: str, values: list[bytes], told: list[LogRecord]) -> float:
    """Seconds of processor until everything that is there has been applied."""
    log = _Log(shard, values, told)
    host = lone_host(shard, log, store)
    start_s = process_time()
    host.start()
    while not host.caught_up():
        for record in log.read(BLOCK, 0.0):
            host.take(record)
        log.poll()
    return process_time() - start_s
