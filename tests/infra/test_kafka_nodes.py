"""Local Kafka nodes: their ports, their storage and the archive of their classes."""

import subprocess
from dataclasses import replace

import pytest

from infra import kafka_broker
from infra.java import java_command, kafka_jars
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
