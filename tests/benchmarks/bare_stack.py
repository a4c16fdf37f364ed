"""Kafka and shards without anything else, each stage in a process of its own; views if wanted."""

import re
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from subprocess import Popen

from commands.genesis import write_genesis
from domain.decider import Message
from domain.orders.messages import OrderAccepted, OrderClosed
from infra.children import make_nice, spawn, stop, wait_until
from infra.kafka import KafkaLog, create_topics
from infra.kafka_broker import kafka_processes, plan_nodes, with_any_port
from infra.ports import any_port
from infra.redis_server import plan_redis, redis_process
from infra.settings import Settings, load_settings, save_settings, to_environment
from infra.stack import exchange_processes
from infra.supervisor import Process
from schemas.record import decode_envelope, decode_record, encode_message, outside_record
from schemas.topics import catalogue, inbox, outbox
from tests.benchmarks.opening import FEES, UNLIMITED, opening
from tests.benchmarks.process_cost import processor_s

START_S = 60.0
SPREAD_S = 0.3
DAY_US = 86_400_000_000
LOOK_RECORDS = 3
SHARDS = {"ledger": ("A0", "L0"), "matching": ("M0",)}
"""What each shard process runs; accounts have nothing to do while trading goes on."""

DURABILITY = (
    "one Kafka broker, acks=all, written to the page cache, no fsync per record, one ledger and "
    "one matching shard in a process each, marks every second"
)


@dataclass(slots=True)
class BareStack:
    """The running processes by name: kafka, ledger, matching, and the views' if there are any."""

    settings: Settings
    children: dict[str, Popen[bytes]]

    def processor_s(self) -> dict[str, float]:
        """Seconds of processor of each process so far; 0 for one that ended."""
        return {name: processor_s(child.pid) for name, child in self.children.items()}

    def ended(self) -> str:
        """Which process ended, and what it said last; empty if all run."""
        for name, child in self.children.items():
            if child.poll() is not None:
                said = (self.settings.logs_dir / f"{name}.log").read_text(errors="replace")
                last = said.strip().rpartition("\n")[2]
                return f"{name} ended with {child.returncode}: {last[:160]}"
        return ""

    def build(self) -> str:
        """Which build its shards run."""
        builds = {build_told(self.settings.logs_dir / f"{name}.log") for name in SHARDS}
        assert len(builds) == 1, f"all shards must run one build, ran {sorted(builds)}"
        return builds.pop()


def build_told(log: Path) -> str:
    """The build that a process of shards named in its log when it started."""
    found = re.findall(r'"build": "(\w+)"', log.read_text(errors="replace"))
    assert found, f"{log} must name a build"
    return str(found[-1])


@contextmanager
def bare_stack(data_dir: Path, users: int, *, views: bool = False) -> Iterator[BareStack]:
    """One broker, a ledger and a matching process, one market, `users` with money.

    With `views` also Redis and its projection, ClickHouse with the query API, and a gateway.
    """
    wished = load_settings({"LOGBOURSE_DATA_DIR": str(data_dir)})
    public, query, admin, metrics, redis = (any_port(wished.host) for _ in range(5))
    wished = replace(wished, ledger_partitions=1, matching_partitions=1, metrics_port=metrics)
    wished = replace(wished, public_port=public, query_port=query, admin_port=admin)
    settings, nodes = plan_nodes(with_any_port(wished), 1)
    settings = plan_redis(replace(settings, redis_url=f"redis://{settings.host}:{redis}/0"))
    save_settings(settings)
    with ExitStack() as ending:
        stack = BareStack(settings, {})

        def start(process: Process) -> None:
            log = settings.logs_dir / f"{process.name}.log"
            child = spawn(process.argv, log, process.environment)
            ending.callback(stop, child, process.stop_timeout_s)
            stack.children[process.name] = child
            if process.niceness:
                wait_until(
                    lambda: make_nice(child.pid, process.niceness), 5.0, "a child must be nice"
                )
            if process.ready is not None:
                wanted = f"{process.name} must be ready, see {log}"
                wait_until(process.ready, START_S, wanted)

        start(kafka_processes(settings, nodes)[0])
        create_topics(settings, catalogue(1, 1))
        _begin(settings)
        for name, shards in SHARDS.items():
            start(_logbourse(settings, name, "shard", *shards))
        _open(settings, users)
        if views:
            start(redis_process(settings))
            for process in exchange_processes(settings):
                if process.name not in ("topics", "genesis", "shards"):
                    start(process)
        yield stack


def _logbourse(settings: Settings, name: str, *words: str) -> Process:
    environment = to_environment(replace(settings, metrics_port=any_port(settings.host)))
    return Process(name, (sys.executable, "-m", "logbourse", *words), environment=environment)


def _begin(settings: Settings) -> None:
    """Genesis, before any shard runs."""
    log = KafkaLog(settings, outside=True)
    write_genesis(
        log,
        exchange="bench",
        ledger_partitions=1,
        matching_partitions=1,
        limits=UNLIMITED,
        fee_tiers=FEES,
        now_us=_now_us(),
    )
    log.close()


def _open(settings: Settings, users: int) -> None:
    """A market and users; each record is applied, and has spread, before the next is sent."""
    log, tip = KafkaLog(settings, outside=True), Tip(settings)
    _wait_for_time(tip, ("accounts.ev", "ledger.ev", "matching.ev"), _now_us())
    for sent in opening(count(1), _now_us() + DAY_US, ledgers=1, users_per_ledger=users):
        now_us = _now_us()
        value = outside_record("operator", now_us, [encode_message(each) for each in sent.messages])
        log.produce(*inbox(sent.shard), value, time_us=now_us)
        assert log.flush(START_S), "the log must take what operators send"
        _wait_for_time(tip, (outbox(sent.shard)[0],), now_us)
        time.sleep(SPREAD_S)
    tip.close()
    log.close()


def _wait_for_time(tip: "Tip", topics: Sequence[str], time_us: int) -> None:
    wait_until(
        lambda: all(tip.time_us(topic) >= time_us for topic in topics),
        START_S,
        f"{', '.join(topics)} must go on",
    )


def _now_us() -> int:
    return time.time_ns() // 1_000


class Tip:
    """Looks at the ends of `ledger.ev` and `matching.ev` from outside."""

    def __init__(self, settings: Settings) -> None:
        self._log = KafkaLog(settings, outside=True)

    def lag_s(self) -> float:
        """Seconds from when an order was sent until it is settled, for those that settle now.

        How far the log time of what matching said last lies behind the clock, which the ledger's
        delay is part of, and once more the ledger's, through which the fills come back.
        """
        now_us = _now_us()
        behind_us = [now_us - self.time_us(topic) for topic in ("ledger.ev", "matching.ev")]
        return sum(max(0, each) for each in behind_us) / 1e6

    def time_us(self, topic: str) -> int:
        """The log time of the last record of partition 0; 0 if there is none."""
        _, end = self._log.ends(topic, 0)
        for stored in self._log.scan(topic, 0, max(0, end - 1), end):
            return decode_envelope(stored.value).time_us
        return 0

    def accepted(self) -> int:
        """How many orders the ledger has accepted, which numbers them."""
        return next(
            (each.order_id for each in self._backwards() if isinstance(each, OrderAccepted)), 0
        )

    def closed(self, order_id: int) -> bool:
        """Whether `ledger.ev` tells the end of this order before that of any earlier acceptance."""
        for event in self._backwards():
            if isinstance(event, OrderClosed) and event.order_id == order_id:
                return True
            if isinstance(event, OrderAccepted) and event.order_id < order_id:
                return False
        return False

    def close(self) -> None:
        """Give the handle back."""
        self._log.close()

    def _backwards(self) -> Iterator[Message]:
        """The events of `ledger.ev`, the last one first."""
        _, end = self._log.ends("ledger.ev", 0)
        while end:
            start = max(0, end - LOOK_RECORDS)
            for stored in reversed(list(self._log.scan("ledger.ev", 0, start, end))):
                yield from reversed(decode_record(stored.value).messages)
            end = start
