"""KafkaLog and topic settings on a real broker."""

import itertools
import threading
import time
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import NewTopic

from infra.children import spawn, stop, wait_until
from infra.java import java_command, kafka_jars
from infra.kafka import (
    KafkaLog,
    TopicRefused,
    admin_client,
    broker_count,
    check_topics,
    create_topics,
    kafka_log,
)
from infra.kafka_broker import node_argv, plan_nodes, prepare_node, with_any_port
from infra.log import LogFailure, LogRecord, Mark
from infra.settings import Settings

pytestmark = pytest.mark.integration

names = (f"topic-{number}" for number in itertools.count())


@dataclass
class Wanted:
    name: str
    partitions: int = 2
    inbox: bool = True


@pytest.fixture
def topic(kafka) -> str:
    wanted = Wanted(next(names))
    assert create_topics(kafka, [wanted]) == [wanted.name]
    return wanted.name


@pytest.fixture
def log(kafka):
    handle = KafkaLog(kafka)
    yield handle
    handle.close()


def append(log: KafkaLog, topic: str, partition: int, values: list[bytes]) -> None:
    for value in values:
        log.produce(topic, partition, value)
    assert log.flush(20)


def read_all(log: KafkaLog, count: int) -> list[LogRecord]:
    records: list[LogRecord] = []
    give_up_s = time.monotonic() + 20
    while len(records) < count and time.monotonic() < give_up_s:
        records += log.read(1_000, 0.5)
    return records


def test_records_come_back_in_order_and_bit_for_bit(log, topic):
    values = [bytes([n % 256]) * n for n in range(1, 500)]
    append(log, topic, 1, values)
    log.seek(topic, 1, 0)
    records = read_all(log, len(values))
    assert [record.value for record in records] == values
    assert [record.offset for record in records] == list(range(len(values)))
    assert {(record.topic, record.partition) for record in records} == {(topic, 1)}
    assert log.ends(topic, 1) == (0, len(values))
    assert log.ends(topic, 0) == (0, 0)


def test_acks_are_called_in_order_by_poll_or_flush_alone(log, topic):
    acked: list[int] = []
    for number in range(50):
        log.produce(topic, 0, b"x", acked=lambda number=number: acked.append(number))
    time.sleep(0.5)
    assert acked == []
    assert log.flush(20)
    assert acked == list(range(50))


def test_a_record_keeps_the_time_it_was_given(log, topic):
    time_us = time.time_ns() // 1_000 - 5_000_000
    log.produce(topic, 0, b"x", time_us=time_us)
    assert log.flush(20)
    (record,) = log.scan(topic, 0, 0, 1)
    assert record.timestamp_ms == time_us // 1_000


def test_a_partition_that_was_left_is_read_again_from_where_it_is_sought(log, topic):
    append(log, topic, 0, [b"%d" % n for n in range(20)])
    append(log, topic, 1, [b"other"])
    log.seek(topic, 0, 0)
    assert read_all(log, 20)
    log.leave(topic, 0)
    log.leave(topic, 0)
    append(log, topic, 0, [b"unread"])
    log.seek(topic, 1, 0)
    assert [record.value for record in read_all(log, 1)] == [b"other"]
    assert log.read(10, 0.5) == []
    log.seek(topic, 0, 19)
    assert [record.value for record in read_all(log, 2)] == [b"19", b"unread"]


def test_a_seek_forgets_what_was_fetched_and_leaves_other_partitions_alone(log, topic):
    append(log, topic, 0, [b"a%d" % n for n in range(100)])
    append(log, topic, 1, [b"b%d" % n for n in range(100)])
    log.seek(topic, 0, 0)
    log.seek(topic, 1, 95)
    assert len(read_all(log, 105)) == 105
    log.seek(topic, 0, 98)
    assert [record.value for record in read_all(log, 2)] == [b"a98", b"a99"]
    log.seek(topic, 0, 50)
    log.read(10, 1.0)
    log.seek(topic, 0, 97)
    assert [record.value for record in read_all(log, 3)] == [b"a97", b"a98", b"a99"]
    assert log.read(10, 0.2) == []


def test_a_read_takes_no_more_than_it_was_asked_for(log, topic):
    append(log, topic, 0, [b"%d" % n for n in range(30)])
    log.seek(topic, 0, 0)
    batches = [log.read(7, 5.0) for _ in range(4)]
    assert all(1 <= len(batch) <= 7 for batch in batches)


def test_a_scan_gives_exactly_its_range_beside_a_read(log, topic):
    append(log, topic, 0, [b"%d" % n for n in range(40)])
    log.seek(topic, 0, 0)
    assert [record.offset for record in log.scan(topic, 0, 10, 15)] == [10, 11, 12, 13, 14]
    assert list(log.scan(topic, 0, 15, 15)) == []
    assert [record.offset for record in log.scan(topic, 0, 38, 40)] == [38, 39]
    assert [record.offset for record in read_all(log, 40)] == list(range(40))


def test_a_scan_waits_for_what_is_not_shown_yet_and_is_never_short(log, topic, monkeypatch):
    """A new leader learns a moment later that its followers have a record, too."""
    append(log, topic, 0, [b"0", b"1"])
    found = log.scan(topic, 0, 0, 3)
    assert [next(found).offset, next(found).offset] == [0, 1]
    threading.Timer(0.7, append, (log, topic, 0, [b"2"])).start()
    assert [record.value for record in found] == [b"2"]
    monkeypatch.setattr(kafka_log, "SHOWN_WITHIN_S", 0.5)
    with pytest.raises(LogFailure, match="must show its records before offset 4"):
        list(log.scan(topic, 0, 2, 4))
    assert [record.offset for record in log.scan(topic, 0, 0, 3)] == [0, 1, 2]


def test_two_scans_at_once_do_not_disturb_each_other(log, topic):
    append(log, topic, 0, [b"%d" % n for n in range(20)])
    pairs = zip(log.scan(topic, 0, 0, 10), log.scan(topic, 0, 10, 20), strict=True)
    assert [(a.offset, b.offset) for a, b in pairs] == [(n, n + 10) for n in range(10)]


def test_a_mark_is_kept_with_its_metadata_for_the_next_handle(kafka, log, topic):
    assert log.committed(topic, 0) is None
    log.commit(topic, 0, Mark(7, "n=7 hash=00ff"))
    log.commit(topic, 1, Mark(1, ""))
    log.commit(topic, 0, Mark(9, "n=9 hash=a0b1"))
    other = KafkaLog(kafka)
    assert other.committed(topic, 0) == Mark(9, "n=9 hash=a0b1")
    assert other.committed(topic, 1) == Mark(1, "")
    other.close()


class MovingCoordinator:
    """A consumer whose coordinator is not there for the first questions, as of a new broker."""

    def __init__(self, consumer, code, times):
        self.consumer, self.code, self.times = consumer, code, times

    def committed(self, places, timeout):
        self.times -= 1
        if self.times >= 0:
            raise KafkaException(KafkaError(self.code))
        return self.consumer.committed(places, timeout=timeout)

    def close(self):
        self.consumer.close()


def test_a_mark_is_asked_again_of_a_coordinator_that_moves(log, topic):
    log.commit(topic, 0, Mark(7, "n"))
    log._consumer = MovingCoordinator(log._consumer, KafkaError.NOT_COORDINATOR, 3)
    assert log.committed(topic, 0) == Mark(7, "n")
    log._consumer.code, log._consumer.times = KafkaError.GROUP_AUTHORIZATION_FAILED, 1
    with pytest.raises(LogFailure, match="must tell its mark"):
        log.committed(topic, 0)


def test_two_handles_commit_marks_of_different_shards(kafka, log, topic):
    other = KafkaLog(kafka)
    for number in range(5):
        log.commit(topic, 0, Mark(number, "a"))
        other.commit(topic, 1, Mark(number, "b"))
    assert log.committed(topic, 1) == Mark(4, "b")
    assert other.committed(topic, 0) == Mark(4, "a")
    other.close()


def test_an_offset_the_log_does_not_have_is_a_failure_not_a_jump(log, topic):
    append(log, topic, 0, [b"x"])
    log.seek(topic, 0, 5)
    with pytest.raises(LogFailure, match="must be readable"):
        read_all(log, 1)


def test_a_topic_that_does_not_exist_is_a_failure(log, monkeypatch):
    monkeypatch.setattr("infra.kafka.kafka_log.ANSWER_TIMEOUT_S", 1.0)
    with pytest.raises(LogFailure):
        log.ends("nowhere", 0)


@pytest.mark.parametrize(
    "code",
    [
        KafkaError._DESTROY_BROKER,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        # A broker that has just begun knows no topic yet.
        KafkaError._UNKNOWN_PARTITION,
    ],
)
def test_whoever_leads_now_is_asked_for_the_ends_when_a_leader_is_gone(
    kafka, topic, code, monkeypatch
):
    """Else all hosts of all its shards would end at the loss of one broker, shadows too."""

    class Asker:
        """The first one goes on asking the broker that led; only a new one learns who does."""

        made = 0

        def __init__(self) -> None:
            Asker.made += 1
            self.stale = Asker.made == 1

        def get_watermark_offsets(self, *_: object, **__: object) -> tuple[int, int]:
            if self.stale:
                raise KafkaException(KafkaError(code))
            return (0, 7)

        def close(self) -> None:
            pass

    monkeypatch.setattr("infra.kafka.kafka_log.ANSWER_TIMEOUT_S", 1.0)
    log = KafkaLog(kafka)
    log._scanner = Asker  # type: ignore[method-assign, assignment]
    assert log.ends(topic, 0) == (0, 7)
    log.close()


def test_the_end_that_was_seen_costs_no_question(log, topic):
    assert log.end_seen(topic, 0) == 0
    append(log, topic, 0, [b"a", b"b"])
    log.seek(topic, 0, 0)
    assert len(read_all(log, 2)) == 2
    assert log.end_seen(topic, 0) == 2


def test_a_clock_that_runs_ahead_is_refused_and_the_next_record_passes(kafka, topic):
    gateway = KafkaLog(kafka, outside=True)
    acked: list[str] = []
    now_us = time.time_ns() // 1_000
    gateway.produce(topic, 0, b"fast", time_us=now_us + 3_600_000_000)
    with pytest.raises(LogFailure, match=r"must store a record, said: .*[Tt]imestamp"):
        gateway.flush(20)
    gateway.produce(topic, 0, b"good", time_us=now_us, acked=lambda: acked.append("good"))
    assert gateway.flush(20)
    assert acked == ["good"]
    assert [record.value for record in gateway.scan(topic, 0, 0, 1)] == [b"good"]
    gateway.close()


def test_a_failure_of_a_shard_is_final(kafka, topic):
    shard = KafkaLog(kafka)
    shard.produce(topic, 0, b"fast", time_us=time.time_ns() // 1_000 + 3_600_000_000)
    with pytest.raises(LogFailure):
        shard.flush(20)
    with pytest.raises(LogFailure):
        shard.poll()
    with pytest.raises(LogFailure):
        shard.read(1, 0.1)
    shard.close()


def test_a_record_above_four_megabytes_is_refused(log, topic):
    with pytest.raises(LogFailure, match="must take a record"):
        log.produce(topic, 0, bytes(5 * 1024 * 1024))


def test_topics_are_made_once_and_found_again(kafka):
    wanted = [Wanted(next(names)), Wanted(next(names), partitions=3, inbox=False)]
    assert create_topics(kafka, wanted) == [topic.name for topic in wanted]
    assert create_topics(kafka, wanted) == []
    check_topics(kafka, wanted)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"cleanup.policy": "compact"}, "must have cleanup.policy=delete, had compact"),
        ({"retention.ms": "1000"}, "must have retention.ms=-1, had 1000"),
        ({"retention.bytes": "1"}, "must have retention.bytes=-1, had 1"),
        ({"max.message.bytes": "9"}, "must have max.message.bytes=4194304, had 9"),
        (
            {"message.timestamp.type": "LogAppendTime"},
            "must have message.timestamp.type=CreateTime, had LogAppendTime",
        ),
        ({}, "must have message.timestamp.after.max.ms=1000, had 3600000"),
    ],
)
def test_a_topic_with_other_settings_is_refused_by_name(kafka, settings, sentence):
    wanted = Wanted(next(names))
    ours = {"retention.ms": "-1", "retention.bytes": "-1", "max.message.bytes": "4194304"}
    new = NewTopic(wanted.name, num_partitions=2, replication_factor=1, config=ours | settings)
    admin = admin_client(kafka)
    for future in admin.create_topics([new]).values():
        future.result(20)
    with pytest.raises(TopicRefused, match=f"{wanted.name} {sentence}"):
        create_topics(kafka, [wanted])


def test_a_topic_with_other_partitions_or_none_is_refused(kafka, topic):
    with pytest.raises(TopicRefused, match=f"{topic} must have 3 partitions, had 2"):
        check_topics(kafka, [Wanted(topic, partitions=3)])
    with pytest.raises(TopicRefused, match="missing must have 2 partitions, had None"):
        check_topics(kafka, [Wanted("missing")])


@pytest.mark.slow
def test_a_shard_outlives_a_broker_that_is_killed(tmp_path):
    settings, nodes = plan_nodes(with_any_port(Settings(data_dir=tmp_path)), 1)
    java, jars = java_command(), kafka_jars()
    prepare_node(nodes[0], nodes, java, jars)

    def start():
        child = spawn(node_argv(nodes[0], nodes, java, jars), tmp_path / "kafka.log")
        wait_until(lambda: broker_count(settings) == 1, 60, "Kafka must answer")
        return child

    broker = start()
    try:
        create_topics(settings, [Wanted("t")])
        log, acked = KafkaLog(settings), []
        append(log, "t", 0, [b"before"])
        log.commit("t", 0, Mark(1, "before"))
        log.seek("t", 0, 0)
        assert len(read_all(log, 1)) == 1
        broker.kill()
        broker.wait()
        for number in range(100):
            log.produce("t", 0, b"%d" % number, acked=lambda: acked.append(1))
        assert not log.flush(1.0)
        broker = start()
        assert log.flush(60)
        assert len(acked) == 100
        assert [r.value for r in read_all(log, 100)] == [b"%d" % n for n in range(100)]
        log.commit("t", 0, Mark(101, "after"))
        assert log.committed("t", 0) == Mark(101, "after")
        assert log.ends("t", 0) == (0, 101)
        log.close()
    finally:
        stop(broker, 20)


@pytest.mark.slow
def test_three_brokers_replicate_and_survive_the_loss_of_one(tmp_path):
    settings, nodes = plan_nodes(with_any_port(Settings(data_dir=tmp_path)), 3)
    java, jars = java_command(), kafka_jars()
    children = []
    try:
        for node in nodes:
            prepare_node(node, nodes, java, jars)
            argv = node_argv(node, nodes, java, jars)
            children.append(spawn(argv, tmp_path / f"{node.node_id}.log"))
        wait_until(lambda: broker_count(settings) == 3, 90, "three brokers must answer")
        assert create_topics(settings, [Wanted("t")]) == ["t"]
        log = KafkaLog(settings)
        append(log, "t", 0, [b"a"])
        assert [log.ends("t", 0), log.ends("t", 1)] == [(0, 1), (0, 0)]
        children[0].kill()
        children[0].wait()
        append(log, "t", 0, [b"b"])
        append(log, "t", 1, [b"c"])
        assert [log.ends("t", 0), log.ends("t", 1)] == [(0, 2), (0, 1)]
        log.seek("t", 0, 0)
        assert [record.value for record in read_all(log, 2)] == [b"a", b"b"]
        log.close()
    finally:
        for child in children:
            stop(child, 1)
