"""Commands per second of one shard's worker on a log in memory: matching, and a ledger."""

import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from infra.files import Directory
from schemas.topics import inbox
from streams.host import Host
from streams.metrics import WorkerMetrics
from streams.snapshots import Fork, SnapshotStore
from streams.worker import Worker
from tests.benchmarks.child import both_builds
from tests.benchmarks.exchange import MemoryExchange
from tests.benchmarks.lone_host import lone_host
from tests.benchmarks.memory_log import MemoryLog
from tests.benchmarks.mix import BLOCK, LEDGERS, MIX, draw
from tests.benchmarks.report import Effort, Figure, median_of, rates, when_compiled

COMMANDS = 100_000
COMPILED_FLOOR, PURE_FLOOR = 200_000, 60_000
"""Of a matching shard."""


def measure(effort: Effort) -> list[Figure]:
    """This build's rates, and the uncompiled build's."""
    return both_builds("bench_host", effort, measure_build)


def measure_build(runs: int, scale: float) -> list[Figure]:
    """The rates of workers with one shard; all their duties but snapshots."""
    effort = Effort(runs, scale)
    count = effort.count(COMMANDS, least=BLOCK * LEDGERS)
    exchange = MemoryExchange()
    exchange.play(draw(count))
    method = (
        f"host: a worker with one shard on a log in memory that acks at once; {count:,} commands "
        f"in records of {BLOCK} ({MIX}), a ledger has every other record of them and settles its "
        "side of every trade; decoded, decided, encoded, chained, marked; per second of processor"
    )
    matching = _runs(effort, exchange, "M0", count)
    ledger = _runs(effort, exchange, "L0", _half(count))
    floor = when_compiled(COMPILED_FLOOR, pure=PURE_FLOOR)
    return [
        median_of("host, matching shard", "commands/s", matching, method, floor=floor),
        median_of("host, ledger shard", "commands/s", ledger, method),
    ]


def _half(count: int) -> int:
    """How many of the commands are those of the first ledger."""
    return sum(1 for number in range(count) if number // BLOCK % LEDGERS == 0)


def _runs(effort: Effort, exchange: MemoryExchange, shard: str, count: int) -> list[float]:
    values = exchange.partitions[inbox(shard)]
    begin = exchange.before[shard]
    metrics = _metrics()
    with tempfile.TemporaryDirectory() as folder:

        def prepare() -> Callable[[], None]:
            log = MemoryLog(*inbox(shard), values[:begin])
            host = lone_host(shard, log, SnapshotStore(Directory(Path(folder)), Fork()))
            worker = Worker([host], log, metrics)
            worker.start()
            _turn_to_the_end(worker, host, log)
            log.extend(values[begin:])
            return lambda: _turn_to_the_end(worker, host, log)

        return rates(effort, count, prepare)


@cache
def _metrics() -> WorkerMetrics:
    """One for the process, as a registry wants it."""
    return WorkerMetrics()


def _turn_to_the_end(worker: Worker, host: Host, log: MemoryLog) -> None:
    _, end = log.ends(host.topic, host.partition)
    while host.position < end:
        worker.turn(0.0)
