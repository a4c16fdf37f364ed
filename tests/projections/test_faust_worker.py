"""The pump on a real broker: reads from where the sink stands, and ends when it cannot go on."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka.client import AIOKafkaClient
from faust.types import TP

from domain.orders.messages import Side
from infra.kafka import KafkaLog, consumer, create_topics
from infra.kafka.clients import TopicPartition
from infra.redis import redis_client
from infra.settings import Settings, load_settings
from projections import faust_worker
from projections.faust_worker import FaustWorker
from projections.layout import LEDGER_EVENTS, MATCHING_EVENTS, Position, position_key, redis_key
from projections.redis_sink import RedisSink
from schemas.topics import catalogue
from tests.projections.dict_sink import DictSink
from tests.projections.scenarios import busy_exchange, feed
from tests.projections.small_exchange import SmallExchange
from tests.running import running_kafka

pytestmark = pytest.mark.integration
PATIENCE_S = 30.0
NO_OFFSET = -1001


@pytest.fixture(scope="module")
def broker(tmp_path_factory) -> Iterator[Settings]:
    """A broker of this module's own, since the outboxes' names are fixed."""
    wanted = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path_factory.mktemp("pump"))})
    with running_kafka(replace(wanted, ledger_partitions=1, matching_partitions=1)) as settings:
        create_topics(settings, catalogue(1, 1))
        yield settings


@pytest.fixture(scope="module")
def life(broker) -> "Life":
    return Life(broker)


class Life:
    """An exchange whose outboxes stand in Kafka."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.exchange: SmallExchange = busy_exchange(3, 300)
        self.sent = {LEDGER_EVENTS: 0, MATCHING_EVENTS: 0}
        self.log = KafkaLog(settings)
        self.send()

    def send(self) -> None:
        for topic, values in self.exchange.outboxes().items():
            for value in values[self.sent[topic] :]:
                self.log.produce(topic, 0, value)
            self.sent[topic] = len(values)
        assert self.log.flush(10.0)

    def repeat(self, topic: str, count: int) -> None:
        """Append the last records again, as a shard does after a restart."""
        for value in self.exchange.outboxes()[topic][-count:]:
            self.log.produce(topic, 0, value)
        assert self.log.flush(10.0)

    def model(self) -> DictSink:
        sink = DictSink()
        feed(self.exchange, sink)
        return sink


@asynccontextmanager
async def running(settings, open_sink, on_failure):
    worker = FaustWorker(settings, "redis", open_sink, on_failure)
    task = asyncio.create_task(worker.run())
    yield task
    worker.stop()
    await asyncio.wait_for(task, 10.0)


def stored(client: Any, key: str) -> dict[str, str]:
    found = client.hgetall(redis_key("1", key))
    return {name.decode(): text.decode() for name, text in found.items()}


async def until(done, wanted: str) -> None:
    for _ in range(int(PATIENCE_S / 0.02)):
        if done():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"{wanted} within {PATIENCE_S} s")


def committed(settings, sink_name: str) -> list[int]:
    """The offsets that the sink's group has committed."""
    reader = consumer(settings, f"logbourse-project-{sink_name}")
    places = [TopicPartition(topic, 0) for topic in (LEDGER_EVENTS, MATCHING_EVENTS)]
    offsets = [place.offset for place in reader.committed(places, timeout=10)]
    reader.close()
    return offsets


def unexpected(sentence: str) -> None:
    raise AssertionError(f"the worker must go on, said: {sentence}")


async def test_pumps_all_there_is_from_where_the_sink_stands(broker, life, redis_server):
    settings = replace(broker, redis_url=redis_server.redis_url)
    client = redis_client(settings.redis_url)
    client.flushdb()

    def stands(topic):
        return int(client.hget(redis_key("1", position_key(topic, 0)), "cseq") or 0)

    async def caught_up():
        ends = {topic: len(values) for topic, values in life.exchange.outboxes().items()}
        await until(lambda: all(stands(t) == end for t, end in ends.items()), f"must reach {ends}")

    def check():
        for key, cells in life.model().cells.items():
            found = stored(client, key)
            assert found.keys() == cells.keys(), key
            if key.startswith(("balances:", "bids:", "asks:", "open:", "candles:")):
                assert found == cells, key

    async with running(settings, lambda: RedisSink(redis_client(settings.redis_url)), unexpected):
        await caught_up()
        check()
        life.repeat(LEDGER_EVENTS, 5)  # a restarted shard's duplicates
        life.exchange.place(1, Side.BUY, 6_000_000, 5)
        life.send()
        await caught_up()
        client.flushdb()  # Redis lost everything: the next apply is a gap
        life.exchange.place(2, Side.SELL, 6_000_000, 5)
        life.send()
        await caught_up()
        check()
    # Kafka's own tools see no lag.
    assert committed(settings, "redis") == [
        life.log.ends(topic, 0)[1] for topic in (LEDGER_EVENTS, MATCHING_EVENTS)
    ]
    client.flushdb()  # Faust's committed offsets stand at the end now; they must not count
    async with running(settings, lambda: RedisSink(redis_client(settings.redis_url)), unexpected):
        await caught_up()
        check()
    client.close()


class FailingSink(DictSink):
    def apply(self, steps):
        raise OSError("the disk is full")


async def test_an_unknown_error_ends_the_worker_before_anything_is_acknowledged(broker, life):
    failures: list[str] = []
    worker = FaustWorker(broker, "failing", FailingSink, failures.append)
    await asyncio.wait_for(worker.run(), PATIENCE_S)
    assert failures == ["OSError: the disk is full"]
    assert committed(broker, "failing") == [NO_OFFSET] * 2


class HangingSink(DictSink):
    def __init__(self, release):
        super().__init__()
        self.release = release

    def apply(self, steps):
        self.release.wait(PATIENCE_S)
        return super().apply(steps)


async def test_a_hung_apply_is_named_by_the_watchdog(broker, life, monkeypatch):
    monkeypatch.setattr(faust_worker, "HUNG_AFTER_S", 1.0)
    # This process computes, too, and may pass for one that is slow.
    monkeypatch.setattr(faust_worker, "STARVED_AFTER_S", 2.0)
    release = threading.Event()
    failures: list[str] = []
    worker = FaustWorker(broker, "hanging", lambda: HangingSink(release), failures.append)
    task = asyncio.create_task(worker.run())
    await until(lambda: failures, "the watchdog must bark")
    assert failures == ["an apply must end within 1 s, did not"]
    release.set()
    worker.stop()
    await asyncio.wait_for(task, 10.0)


class EndlessApp:
    def __init__(self):
        self.release = asyncio.Event()

    async def stop(self):
        await self.release.wait()


async def test_a_faust_that_does_not_stop_is_a_failure(broker, monkeypatch):
    monkeypatch.setattr(faust_worker, "HUNG_AFTER_S", 0.1)
    failures: list[str] = []
    worker = FaustWorker(broker, "endless", DictSink, failures.append)
    worker._app = EndlessApp()
    await worker._stop_faust()
    assert failures == ["Faust must stop within 0 s, did not"]
    worker._app.release.set()


async def test_who_is_kept_in_no_group_any_more_is_a_failure(broker, life, monkeypatch):
    """aiokafka gives up for good when brokers that come back do not know each other yet."""
    failures: list[str] = []

    async def unknown_brokers(_client, _kind, _group):
        raise AssertionError("Did we not perform bootstrap?")

    monkeypatch.setattr(AIOKafkaClient, "coordinator_lookup", unknown_brokers)
    async with running(broker, DictSink, failures.append):
        await until(lambda: failures, "the worker must say why it cannot go on")
    assert "Did we not perform bootstrap?" in failures[0]


async def test_a_view_of_another_log_is_refused(broker, life, monkeypatch):
    monkeypatch.setattr(faust_worker, "HUNG_AFTER_S", 1.0)
    failures: list[str] = []
    sink = DictSink()
    sink.positions[MATCHING_EVENTS, 0] = Position(10**6, 10**6, 10**6)
    worker = FaustWorker(broker, "foreign", lambda: sink, failures.append)
    await asyncio.wait_for(worker.run(), PATIENCE_S)
    assert "foreign must not stand beyond the end of matching.ev.0" in failures[0]
    assert failures[0].endswith(": logbourse rebuild foreign")


def test_the_embedded_engine_is_not_rebuilt_by_a_process_that_ends():
    settings = Settings(clickhouse_dsn="chdb:///data/clickhouse")
    told = "stop the exchange, move /data/clickhouse away, start it"
    assert faust_worker.way_out(settings, "clickhouse") == told
    assert faust_worker.way_out(settings, "redis") == "logbourse rebuild redis"
    server = replace(settings, clickhouse_dsn="http://127.0.0.1:8123/logbourse")
    assert faust_worker.way_out(server, "clickhouse") == "logbourse rebuild clickhouse"


def test_a_partition_that_stands_still_while_the_log_grows_is_named(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(faust_worker, "monotonic", lambda: now[0])
    health = faust_worker._Health()
    tp = TP(LEDGER_EVENTS, 0)

    def look(offset, *, behind):
        now[0] += 6.0
        health.beat_s = now[0]
        health.stuck_s(tp, offset, behind=behind)
        return health.complaint()

    assert look(5, behind=True) == ""
    assert look(9, behind=True) == ""
    assert look(9, behind=True) == ""
    assert look(9, behind=True) == "ledger.ev.0 must move on from offset 9, did not"
    assert look(9, behind=False) == ""
    now[0] += 11.0
    assert health.complaint() == "the event loop must turn, stood still for 11 s"
