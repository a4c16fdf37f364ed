"""What one shard's worker does a second on real Kafka, its input written there before.

Commands of the standard mix for matching and a ledger; for a ledger also orders, each of them
placed and settled, which is what its floor is about.
"""

import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from infra.collector import leave_to_reference_counts
from infra.files import Directory
from infra.kafka import KafkaLog, create_topics
from infra.settings import Settings, load_settings
from native.selection import build_in_use
from schemas.topics import catalogue, inbox
from streams.metrics import WorkerMetrics
from streams.snapshots import Fork, SnapshotStore
from streams.worker import Worker
from tests.benchmarks.child import in_child
from tests.benchmarks.exchange import MATCHERS, MemoryExchange
from tests.benchmarks.lone_host import lone_host
from tests.benchmarks.mix import BLOCK, LEDGERS, MIX, draw
from tests.benchmarks.path_orders import FLOW
from tests.benchmarks.report import Effort, Figure, median_of, when_compiled
from tests.running import running_kafka

COMMANDS, ORDERS = 200_000, 200_000
RUNS_MOST = 3
FLUSH_S = 60.0
COMMANDS_FLOOR, ORDERS_FLOOR = 200_000, 120_000
HOW = (
    "a worker in a process of its own, its whole input in Kafka before it starts; read, decided, "
    "written and acknowledged (one broker, acks=all, in its page cache, no fsync per record), "
    "marks every second, no snapshots; the processor of all threads of the worker, Kafka's client "
    "included"
)


@dataclass(slots=True, frozen=True)
class Load:
    """What a shard is measured by: how many of what unit its input holds, and the floor a core."""

    shard: str
    name: str
    unit: str
    count: int
    floor: int | None = None


def measure(effort: Effort) -> list[Figure]:
    """Rates a second of processor and by the clock: commands of two shards, orders of a ledger."""
    return _commands(effort) + _orders(effort)


def _commands(effort: Effort) -> list[Figure]:
    exchange = MemoryExchange()
    mix = draw(effort.count(COMMANDS, least=BLOCK * LEDGERS))
    exchange.play(mix)
    # From the first record on: a turn reads hundreds, so that a later one could not be met.
    count = len(mix.opening) + len(mix.commands)
    half = sum(1 for number in range(count) if number // BLOCK % LEDGERS == 0)
    method = (
        f"shard: commands: {count:,} in records of {BLOCK} ({MIX}), a ledger has every other "
        "record of them and settles its side of every trade, and takes 500 users' deposits "
        f"besides, which are not counted; {HOW}"
    )
    loads = [
        Load("M0", "matching", "commands/s", count, COMMANDS_FLOOR),
        Load("L0", "ledger", "commands/s", half),
    ]
    return _figures(effort, exchange, loads, method)


def _orders(effort: Effort) -> list[Figure]:
    exchange = MemoryExchange(ledgers=1)
    closed = exchange.play_orders(effort.count(ORDERS, least=2 * BLOCK))
    method = (
        f"shard: orders: {closed:,} in records of {BLOCK}, each placed, settled and closed by the "
        f"only ledger, which settles both sides of every trade ({FLOW}); what rests in the end and "
        f"1,000 users' deposits are worked on too but not counted; {HOW}"
    )
    loads = [Load("L0", "ledger", "orders/s", closed, ORDERS_FLOOR)]
    return _figures(effort, exchange, loads, method)


def _figures(
    effort: Effort, exchange: MemoryExchange, loads: list[Load], method: str
) -> list[Figure]:
    shards = [load.shard for load in loads]
    runs = [_run(exchange, shards) for _ in range(min(effort.runs, RUNS_MOST))]
    figures = []
    for load in loads:
        name = f"shard on Kafka, {load.name}, {load.unit.removesuffix('/s')}"
        a_core, by_clock = ([load.count / run[load.shard][n] for run in runs] for n in (0, 1))
        floor = when_compiled(load.floor) if load.floor else None
        figures.append(median_of(f"{name} a core", load.unit, a_core, method, floor=floor))
        figures.append(median_of(f"{name} by the clock", load.unit, by_clock, method))
    return figures


def _run(exchange: MemoryExchange, shards: list[str]) -> dict[str, tuple[float, float]]:
    """Seconds of processor and of the clock for each shard, on a broker of their own."""
    spent = {}
    with tempfile.TemporaryDirectory(prefix="logbourse-bench-") as folder:
        wished = load_settings({"LOGBOURSE_DATA_DIR": folder})
        with running_kafka(wished) as settings:
            create_topics(settings, catalogue(exchange.ledgers, MATCHERS))
            inputs = {shard: exchange.partitions[inbox(shard)] for shard in shards}
            # All before the first runs: what one says to the other comes behind its input.
            for shard, values in inputs.items():
                _write(settings, shard, values)
            for shard, values in inputs.items():
                address = [folder, settings.kafka_bootstrap]
                told = in_child("bench_shard", "work", *address, shard, len(values))
                assert told[2] == build_in_use(), "the hot modules changed during the measurement"
                spent[shard] = (told[0], told[1])
    return spent


def _write(settings: Settings, shard: str, values: list[bytes]) -> None:
    log = KafkaLog(settings, outside=True)
    for value in values:
        log.produce(*inbox(shard), value)
    assert log.flush(FLUSH_S), "the log must take the input"
    log.close()


def work(folder: str, bootstrap: str, shard: str, end: int) -> tuple[float, float, str]:
    """In a child: run the shard up to `end`; seconds of processor and of the clock, the build."""
    address = {"LOGBOURSE_DATA_DIR": folder, "LOGBOURSE_KAFKA_BOOTSTRAP": bootstrap}
    log = KafkaLog(load_settings(address))
    host = lone_host(shard, log, SnapshotStore(Directory(Path(folder) / shard), Fork()))
    worker = Worker([host], log, WorkerMetrics())
    worker.start()
    leave_to_reference_counts()  # as a shard's process does
    processor_s, clock_s = time.process_time(), time.perf_counter()
    while host.position < end:
        worker.turn(0.05)
    worker.finish()
    processor_s, clock_s = time.process_time() - processor_s, time.perf_counter() - clock_s
    log.close()
    return processor_s, clock_s, build_in_use()
