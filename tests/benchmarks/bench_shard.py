"""Commands per second of one shard's worker on real Kafka, its input written there before."""

import tempfile
import time
from pathlib import Path

from infra.clock import SystemClock
from infra.files import Directory
from infra.kafka import KafkaLog, create_topics
from infra.kafka_broker import running_kafka
from infra.settings import Settings, load_settings
from schemas.topics import catalogue, inbox
from streams.families import decider_of
from streams.host import Host, HostPolicy
from streams.metrics import WorkerMetrics
from streams.snapshots import Fork, SnapshotStore
from streams.worker import Worker
from tests.benchmarks.child import in_child
from tests.benchmarks.exchange import MATCHERS, MemoryExchange
from tests.benchmarks.mix import BLOCK, LEDGERS, MIX, draw
from tests.benchmarks.report import Effort, Figure, build_here, median_of, when_compiled

COMMANDS = 200_000
RUNS_MOST = 3
FLUSH_S = 60.0
FLOORS = {"M0": 200_000, "L0": 120_000}
NAMES = {"M0": "matching", "L0": "ledger"}


def measure(effort: Effort) -> list[Figure]:
    """The rates of a matching and of a ledger shard, a second of processor and by the clock."""
    count = effort.count(COMMANDS, least=BLOCK * LEDGERS)
    exchange = MemoryExchange()
    mix = draw(count)
    exchange.play(mix)
    # From the first record on: a turn reads hundreds, so that a later one could not be met.
    count += len(mix.opening)
    counts = {"M0": count, "L0": sum(1 for n in range(count) if n // BLOCK % LEDGERS == 0)}
    found: dict[str, list[tuple[float, float]]] = {shard: [] for shard in counts}
    for _ in range(min(effort.runs, RUNS_MOST)):
        for shard, seconds in _run(exchange, list(counts)).items():
            found[shard].append(seconds)
    method = (
        f"shard: a worker in a process of its own, its whole input in Kafka before it starts; "
        f"{count:,} commands in records of {BLOCK} ({MIX}), a ledger has every other record of "
        "them and settles its side of every trade, and takes 1,000 users' deposits besides, which "
        "are not counted; read, decided, written and acknowledged "
        "(one broker, acks=all, in its page cache, no fsync per record), marks every second, no "
        "snapshots; the processor of all threads of the worker, Kafka's client included"
    )
    figures = []
    for shard, spent in found.items():
        name = f"shard on Kafka, {NAMES[shard]}"
        a_core, by_clock = ([counts[shard] / each[n] for each in spent] for n in (0, 1))
        floor = when_compiled(FLOORS[shard])
        figures.append(median_of(f"{name}, a core", "commands/s", a_core, method, floor=floor))
        figures.append(median_of(f"{name}, by the clock", "commands/s", by_clock, method))
    return figures


def _run(exchange: MemoryExchange, shards: list[str]) -> dict[str, tuple[float, float]]:
    """Seconds of processor and of the clock for each shard, on a broker of their own."""
    spent = {}
    with tempfile.TemporaryDirectory(prefix="logbourse-bench-") as folder:
        wished = load_settings({"LOGBOURSE_DATA_DIR": folder})
        with running_kafka(wished) as settings:
            create_topics(settings, catalogue(LEDGERS, MATCHERS))
            inputs = {shard: exchange.partitions[inbox(shard)] for shard in shards}
            # All before the first runs: what one says to the other comes behind its input.
            for shard, values in inputs.items():
                _write(settings, shard, values)
            for shard, values in inputs.items():
                address = [folder, settings.kafka_bootstrap]
                told = in_child("bench_shard", "work", *address, shard, len(values))
                assert told[2] == build_here(), "the hot modules changed during the measurement"
                spent[shard] = (told[0], told[1])
    return spent


def _write(settings: Settings, shard: str, values: list[bytes]) -> None:
    log = KafkaLog(settings, outside=True)
    for value in values:
        log.produce(*inbox(shard), value)
    assert log.flush(FLUSH_S), "the log must take the input"
    log.close()


def work(folder: str, bootstrap: str, shard: str, end: int) -> tuple[float, float, str]:
    """Run the shard up to `end`; seconds of processor and of the clock, and the build."""
    address = {"LOGBOURSE_DATA_DIR": folder, "LOGBOURSE_KAFKA_BOOTSTRAP": bootstrap}
    settings = load_settings(address)
    log = KafkaLog(settings)
    snapshots = SnapshotStore(Directory(Path(folder) / shard), Fork())
    policy = HostPolicy(snapshot_interval_s=1e9, snapshot_records=1 << 60)
    host = Host(shard, decider_of(shard), log, SystemClock(), snapshots, policy, _fail)
    worker = Worker([host], log, WorkerMetrics())
    worker.start()
    processor_s, clock_s = time.process_time(), time.perf_counter()
    while host.position < end:
        worker.turn(0.05)
    worker.finish()
    processor_s, clock_s = time.process_time() - processor_s, time.perf_counter() - clock_s
    log.close()
    return processor_s, clock_s, build_here()


def _fail(event: str, detail: str) -> None:
    raise AssertionError(f"{event}: {detail}")
