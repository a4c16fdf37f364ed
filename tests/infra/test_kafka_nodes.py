"""Local Kafka nodes: their ports, their storage and the archive of their classes."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace

import pytest

from infra import kafka_broker
from infra.children import spawn, stop, wait_until
from infra.java import java_command, kafka_jars
from infra.kafka import KafkaLog, admin_client, broker_count, create_topics
from infra.kafka_broker import kafka_processes, plan_nodes, prepare_node, with_any_port
from infra.settings import Settings

pytestmark = pytest.mark.integration


def test_ports_that_are_taken_are_passed_over(kafka):
    moved, (node,) = plan_nodes(kafka, 1)
    assert moved.kafka_bootstrap != kafka.kafka_bootstrap
    assert str(node.port) in moved.kafka_bootstrap
    assert replace(moved, kafka_bootstrap=kafka.kafka_bootstrap) == kafka


def test_a_cluster_id_may_begin_with_a_dash(tmp_path):
    settings, nodes = plan_nodes(with_any_port(Settings(data_dir=tmp_path)), 1)
    folder = nodes[0].folder.parent
    folder.mkdir(parents=True)
    (folder / "cluster.id").write_text("-" + "A" * 21)
    prepare_node(nodes[0], nodes, java_command(), kafka_jars())
    assert "cluster.id=-AAAA" in (nodes[0].folder / "data" / "meta.properties").read_text()
    assert settings.replication_factor == 1


@pytest.mark.slow
def test_classes_are_archived_in_a_form_that_the_runtime_takes(tmp_path, monkeypatch):
    archive = tmp_path / "kafka.jsa"
    monkeypatch.setattr(kafka_broker, "class_archive", lambda _jars: archive)
    settings, nodes = plan_nodes(with_any_port(Settings(data_dir=tmp_path)), 1)
    (process,) = kafka_processes(settings, nodes)
    assert process.argv[1] == f"-XX:SharedArchiveFile={archive}"
    # With this option a runtime that cannot use the archive does not start.
    strictly = [process.argv[0], "-Xshare:on", *process.argv[1 : process.argv.index("kafka.Kafka")]]
    answer = subprocess.run([*strictly, "-version"], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stdout + answer.stderr
    archive.write_bytes(b"something else")
    answer = subprocess.run([*strictly, "-version"], capture_output=True, text=True, check=False)
    assert answer.returncode != 0


@contextmanager
def three_running(settings: Settings) -> Iterator[Settings]:
    """All nodes of the directory, started and stopped as the supervisor does."""
    planned, nodes = plan_nodes(settings, 3)
    processes = kafka_processes(planned, nodes)
    children = [spawn(process.argv, settings.data_dir / process.name) for process in processes]
    try:
        wait_until(lambda: broker_count(planned) == 3, 120, "three brokers must answer")
        yield planned
    finally:
        for child, process in reversed(list(zip(children, processes, strict=True))):
            stop(child, process.stop_timeout_s)


def in_sync(settings: Settings, topic: str) -> list[int]:
    partitions = admin_client(settings).list_topics(topic, timeout=10).topics[topic].partitions
    return [len(partition.isrs) for partition in partitions.values()]


@pytest.mark.slow
@pytest.mark.parametrize("node", ["node-1", "node-2"])
def test_a_node_whose_data_is_taken_away_is_copied_anew(tmp_path, node):
    """As docs/runbook.md says; `node-1` is stopped last and may have been in sync alone."""
    settings = with_any_port(Settings(data_dir=tmp_path))
    wanted = [SimpleNamespace(name="t", partitions=3, inbox=False)]
    with three_running(settings) as reachable:
        create_topics(reachable, wanted)
        log = KafkaLog(reachable)
        for number in range(30):
            log.produce("t", number % 3, b"%d" % number)
        assert log.flush(30)
        log.close()
        wait_until(lambda: in_sync(reachable, "t") == [3, 3, 3], 60, "all must be in sync")
    (tmp_path / "kafka" / node / "data").rename(tmp_path / "damaged")
    with three_running(settings) as reachable:
        wait_until(lambda: in_sync(reachable, "t") == [3, 3, 3], 120, "all must be in sync")
        log = KafkaLog(reachable, outside=True)
        found = [log.scan("t", partition, *log.ends("t", partition)) for partition in range(3)]
        values = [[record.value for record in records] for records in found]
        log.close()
    assert values == [[b"%d" % n for n in range(p, 30, 3)] for p in range(3)]
