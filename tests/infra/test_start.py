"""What a start of `logbourse run`, `kafka` or `redis` leaves for the next one in settings.json."""

import json
import os
import socket
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest

import logbourse
from infra import kafka_broker, redis_server, stack
from infra.ports import claimed_port
from infra.refusal import Refusal
from infra.settings import Settings, load_settings, settings_file
from infra.supervisor import Process

ROOT = Path(__file__).parents[2]


class NoSupervisor:
    """Takes what the supervisor takes, and has ended at once."""

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def run(self) -> int:
        return 0


@pytest.fixture(autouse=True)
def nothing_runs(tmp_path, monkeypatch) -> None:
    """A data directory of its own, and a supervisor that starts nothing."""
    monkeypatch.setenv("LOGBOURSE_DATA_DIR", str(tmp_path))
    for module in (stack, kafka_broker, redis_server):
        monkeypatch.setattr(module, "Supervisor", NoSupervisor)
    for module in (stack, kafka_broker):
        monkeypatch.setattr(module, "kafka_processes", lambda *_: [])
    monkeypatch.setattr(stack, "serve_metrics", lambda settings: settings.metrics_port)


@pytest.fixture
def usual(tmp_path) -> Settings:
    """The first start, which finds the usual ports free: they stand in the file."""
    first = 10_000 + os.getpid() % 50 * 100
    while any(claimed_port("127.0.0.1", port) != port for port in range(first, first + 100)):
        first += 100
    places = wanted_from(first)
    settings_file(tmp_path).write_text(json.dumps(places))
    found = start("run")
    assert {name: getattr(found, name) for name in places} == places
    return found


def wanted_from(first: int) -> dict[str, object]:
    ports = {"public_port": first, "query_port": first + 10, "admin_port": first + 20}
    ports["metrics_port"] = first + 30
    return ports | {
        "kafka_bootstrap": f"127.0.0.1:{first + 40}",
        "redis_url": f"redis://127.0.0.1:{first + 50}/0",
    }


def start(*words: str) -> Settings:
    """What a command typed beside it would find."""
    assert logbourse.main(list(words)) == 0
    return load_settings()


def taken(port: int) -> closing[socket.socket]:
    server = socket.socket()
    server.bind(("127.0.0.1", port))
    server.listen()
    return closing(server)


def test_ports_that_were_taken_once_are_wanted_again(usual):
    first = usual.public_port
    with taken(first), taken(first + 30), taken(first + 40), taken(first + 50):
        beside = start("run")
    assert beside.public_port == first + 1
    assert beside.metrics_port == first + 30 + stack.METRICS_STEPS
    assert beside.kafka_bootstrap == f"127.0.0.1:{first + 41}"
    assert beside.redis_url == f"redis://127.0.0.1:{first + 51}/0"
    with taken(first):
        assert start("run").public_port == beside.public_port
    assert start("run") == usual


@pytest.mark.parametrize("step", [3, stack.AUDITOR_METRICS, stack.SUPERVISOR_METRICS])
def test_a_stranger_at_any_of_the_metrics_ports_is_passed_over(usual, tmp_path, step):
    """Its process would take any free port, and Prometheus would watch the stranger."""
    with taken(usual.metrics_port + step):
        found = start("run")
    assert found.metrics_port == usual.metrics_port + stack.METRICS_STEPS
    told = json.loads((tmp_path / "run" / "metrics.json").read_text())
    ports = {int(each["targets"][0].rpartition(":")[2]) for each in told}
    assert usual.metrics_port + step not in ports


def test_what_an_operator_has_written_into_the_file_since_is_what_is_wanted(usual, tmp_path):
    with taken(usual.public_port):
        start("run")
    file, chosen = settings_file(tmp_path), usual.public_port + 5
    file.write_text(json.dumps(json.loads(file.read_text()) | {"public_port": chosen}))
    assert start("run").public_port == chosen


def test_kafka_and_redis_alone_stay_where_those_that_run_know_them(usual):
    first = usual.public_port
    with taken(first + 40), taken(first + 50):
        start("kafka")
        beside = start("redis")
        assert beside.kafka_bootstrap == f"127.0.0.1:{first + 41}"
        assert beside.redis_url == f"redis://127.0.0.1:{first + 51}/0"
    assert start("redis") == start("kafka") == beside


def test_kafka_and_redis_that_start_at_once_leave_each_others_address(usual, monkeypatch):
    first = usual.public_port

    def slow(*_: object) -> list[Process]:
        with taken(first + 50):
            start("redis")
        return []

    monkeypatch.setattr(kafka_broker, "kafka_processes", slow)
    with taken(first + 40):
        found = start("kafka")
    assert found.kafka_bootstrap == f"127.0.0.1:{first + 41}"
    assert found.redis_url == f"redis://127.0.0.1:{first + 51}/0"
    assert replace(found, kafka_bootstrap=usual.kafka_bootstrap, redis_url=usual.redis_url) == usual


@pytest.mark.parametrize("name", ["run", "kafka", "redis"])
def test_other_partitions_are_refused_and_not_saved(usual, monkeypatch, capsys, tmp_path, name):
    monkeypatch.setenv("LOGBOURSE_LEDGER_PARTITIONS", "4")
    assert logbourse.main([name]) == 1
    wanted = f"LOGBOURSE_LEDGER_PARTITIONS must be 2 as in {settings_file(tmp_path)}, was 4"
    assert capsys.readouterr().err == f"logbourse {name}: {wanted}\n"
    monkeypatch.delenv("LOGBOURSE_LEDGER_PARTITIONS")
    assert load_settings() == usual


@pytest.mark.parametrize("port", ["-1", "0", "65536", "x", "٩"])
def test_a_port_that_there_is_not_is_refused_in_one_sentence(capsys, port):
    with pytest.raises(SystemExit) as ended:
        logbourse.main(["prometheus", f"--port={port}"])
    assert ended.value.code == 2
    sentence = f"logbourse prometheus: argument --port: 1 to 65535 is wanted, was {port!r}\n"
    assert capsys.readouterr().err == sentence


def test_the_first_start_chooses_the_partitions(monkeypatch):
    monkeypatch.setenv("LOGBOURSE_MATCHING_PARTITIONS", "3")
    start("run")
    monkeypatch.delenv("LOGBOURSE_MATCHING_PARTITIONS")
    assert load_settings().matching_partitions == 3


def test_a_start_that_cannot_have_its_parts_leaves_no_settings(monkeypatch, tmp_path):
    def missing(*_: object) -> list[Process]:
        raise Refusal("Java must be installed")

    monkeypatch.setattr(stack, "kafka_processes", missing)
    assert logbourse.main(["run"]) == 1
    assert not settings_file(tmp_path).exists()


def test_who_starts_beside_a_stack_that_does_not_listen_yet_has_other_ports(usual, tmp_path):
    """Both would have found these free, and taken for their own whatever answered there first."""
    claim_sixty = f"""
from infra.ports import claimed_port
first = {usual.public_port}
while any(claimed_port("127.0.0.1", port) != port for port in range(first, first + 60)):
    first += 100
print(first)
input()
"""
    argv, pipe = [sys.executable, "-uc", claim_sixty], subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, cwd=ROOT, text=True) as beside:
        assert beside.stdout is not None
        first = int(beside.stdout.readline())
        settings_file(tmp_path).write_text(json.dumps(wanted_from(first)))
        found = start("run")
        beside.communicate("\n")
    ports = [found.public_port, found.query_port, found.admin_port, found.metrics_port]
    ports += [int(found.kafka_bootstrap.rpartition(":")[2]), urlsplit(found.redis_url).port or 0]
    assert min(ports) >= first + 60
    assert len(set(ports)) == len(ports), "nor one of its own parts'"
