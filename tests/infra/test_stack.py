"""What is started: on free ports that all are told, on as many nodes as have data."""

import argparse
import re
import socket
import urllib.request
from dataclasses import astuple, replace

import pytest

import logbourse
from commands import genesis
from domain.limits import DEFAULT_LIMITS, Limits
from infra import kafka_broker
from infra.demo.banner import banner
from infra.kafka_broker import kafka_processes, node_properties, plan_nodes, prepare_node
from infra.metrics import Counter, Registry, serve_metrics
from infra.ports import free_port
from infra.redis_server import plan_redis, redis_argv
from infra.refusal import Refusal
from infra.settings import load_settings, settings_file
from infra.stack import LIMITS, SUPERVISOR_METRICS, demo_processes, exchange_processes


@pytest.fixture
def settings(tmp_path):
    return load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})


def test_a_taken_port_is_passed_over():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port("127.0.0.1", port) > port
        assert free_port("127.0.0.1", port, taken=range(port, port + 5)) >= port + 5


def test_all_ports_of_three_nodes_differ(settings):
    planned, nodes = plan_nodes(settings, 3)
    ports = [port for node in nodes for port in (node.port, node.controller_port)]
    assert len(set(ports)) == 6
    assert planned.replication_factor == 3
    assert planned.kafka_bootstrap == ",".join(f"127.0.0.1:{node.port}" for node in nodes)


def kept(settings, *names: str) -> None:
    for name in names:
        (settings.data_dir / "kafka" / name).mkdir(parents=True)


@pytest.mark.parametrize(
    ("names", "count", "sentence"),
    [
        (["node-1"], 3, "--brokers must be 1 for the data in .*/kafka, was 3$"),
        (["node-1", "node-2", "node-3"], 1, "--brokers must be 3 for the data in "),
        (["node-1", "node-3"], 3, "must hold node-1 alone or node-1 to node-3, held node-1, nod"),
        (["node-1", "node-2"], 3, "must hold node-1 alone or node-1 to node-3, held node-1, nod"),
        (["node-2"], 1, "must hold node-1 alone or node-1 to node-3, held node-2$"),
    ],
)
def test_as_many_nodes_as_have_data_are_started_or_none(settings, names, count, sentence):
    kept(settings, *names)
    with pytest.raises(Refusal, match=sentence):
        plan_nodes(settings, count)
    assert sorted(path.name for path in (settings.data_dir / "kafka").iterdir()) == names


def test_the_same_nodes_are_planned_again(settings):
    kept(settings, "node-1")
    assert len(plan_nodes(settings, 1)[1]) == 1
    kept(settings, "node-2", "node-3")
    assert len(plan_nodes(settings, 3)[1]) == 3


def test_another_number_of_brokers_is_refused_before_anything_is_written(
    settings, monkeypatch, capsys
):
    kept(settings, "node-1", "node-2", "node-3")
    monkeypatch.setenv("LOGBOURSE_DATA_DIR", str(settings.data_dir))
    for name in ("run", "kafka"):
        assert logbourse.main([name]) == 1
        assert f"logbourse {name}: --brokers must be 3" in capsys.readouterr().err
    assert not settings_file(settings.data_dir).exists()
    assert not list((settings.data_dir / "kafka").glob("node-*/*"))


def test_all_nodes_have_a_folder_before_one_is_formatted(settings, monkeypatch):
    """A start that was interrupted must not look like the loss of a node."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(kafka_broker, "java_command", lambda: "java")
    monkeypatch.setattr(kafka_broker, "kafka_jars", lambda: settings.data_dir)
    monkeypatch.setattr(kafka_broker, "_archive_classes", lambda *_: None)
    monkeypatch.setattr(kafka_broker, "prepare_node", interrupted)
    planned, nodes = plan_nodes(settings, 3)
    with pytest.raises(KeyboardInterrupt):
        kafka_processes(planned, nodes)
    assert len(plan_nodes(settings, 3)[1]) == 3


def test_storage_that_cannot_be_formatted_is_a_refusal(settings, tmp_path):
    java = tmp_path / "java"
    java.write_text("#!/bin/sh\necho the disk >&2\necho is full >&2\nexit 1\n")
    java.chmod(0o700)
    _, nodes = plan_nodes(settings, 1)
    with pytest.raises(Refusal, match=r"was not; Kafka said: the disk is full$"):
        prepare_node(nodes[0], nodes, str(java), tmp_path)


def test_kafka_reads_any_path_as_it_was_meant(tmp_path):
    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path / "börse 中 😀 a\\b\tc")})
    _, nodes = plan_nodes(settings, 1)
    java = tmp_path / "java"
    java.write_text('#!/bin/sh\ntest "$LC_ALL" = C.UTF-8\n')
    java.chmod(0o700)
    prepare_node(nodes[0], nodes, str(java), tmp_path)
    text = (nodes[0].folder / "server.properties").read_bytes().decode("ascii")
    (said,) = re.findall("^log.dirs=(.*)$", text, re.MULTILINE)
    read = re.sub(r"\\(u([0-9a-f]{4})|.)", lambda e: chr(int(e[2], 16)) if e[2] else e[1], said)
    meant = str(nodes[0].folder / "data")
    assert read.encode("utf-16-be", "surrogatepass") == meant.encode("utf-16-be")


def test_a_path_with_a_comma_is_refused_in_one_sentence(tmp_path):
    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path / "a,b")})
    with pytest.raises(Refusal, match=r"must have no comma for Kafka, was .*/a,b$"):
        plan_nodes(settings, 1)
    assert not (tmp_path / "a,b").exists()


def test_two_processes_serve_metrics_side_by_side(settings):
    registry = Registry()
    Counter("commands", "Commands that were decided.", registry=registry).inc(3)
    wanted = replace(settings, metrics_port=free_port("127.0.0.1", 15_090))
    first, second = serve_metrics(wanted, registry), serve_metrics(wanted, registry)
    assert first == wanted.metrics_port != second
    for port in (first, second):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            assert b"commands_total 3.0" in answer.read()


def test_every_process_is_told_the_ports_that_were_free(settings):
    found = replace(settings, public_port=28080, redis_url="redis://127.0.0.1:26379/0")
    wanted = {"LOGBOURSE_PUBLIC_PORT": "8080", "LOGBOURSE_REDIS_URL": "redis://127.0.0.1:6379/0"}
    for process in [*exchange_processes(found), *demo_processes(found, bots=True)]:
        told = load_settings(wanted | dict(process.environment))
        assert replace(told, metrics_port=found.metrics_port) == found, process.name


def test_gateways_share_a_port_and_one_of_them_serves_operators(settings):
    def words(gateways: int) -> dict[str, set[str]]:
        processes = exchange_processes(settings, gateways)
        return {p.name: set(p.argv) for p in processes if p.name.startswith("gateway")}

    assert {name: "--share-port" in said for name, said in words(1).items()} == {"gateway": False}
    several = words(3)
    assert list(several) == ["gateway", "gateway-2", "gateway-3"]
    assert all("--share-port" in said for said in several.values())
    assert [name for name, said in several.items() if "gateway,admin" in said] == ["gateway"]


def test_every_process_has_a_metrics_port_of_its_own(settings):
    processes = exchange_processes(settings, gateways=4)
    served = [p for p in processes if not p.task]
    ports = {p.metrics_port for p in served} | {settings.metrics_port + SUPERVISOR_METRICS}
    assert len(ports) == len(served) + 1
    assert 0 not in ports
    told = [load_settings(dict(p.environment)).metrics_port for p in served]
    assert told == [p.metrics_port for p in served]


def test_a_second_process_of_shards_is_started_only_where_it_is_wanted(settings):
    names = [process.name for process in exchange_processes(settings)]
    assert "shards-standby" not in names
    processes = {p.name: p for p in exchange_processes(settings, standby=True)}
    first, second = processes["shards"], processes["shards-standby"]
    assert first.argv == second.argv, "either takes over from the other"
    assert "--standby" in first.argv


def test_matching_may_run_in_processes_of_its_own(settings):
    processes = {p.name: p.argv for p in exchange_processes(settings, standby=True, apart=True)}
    assert processes["engines"] == processes["engines-standby"]
    assert processes["engines"][-2:] == ("M0", "M1")
    assert not {"M0", "M1"} & set(processes["shards"])


def test_snapshots_are_as_often_as_asked_for(settings):
    (shards,) = [p for p in exchange_processes(settings, snapshot_seconds=7) if p.name == "shards"]
    assert shards.argv[shards.argv.index("--snapshot-seconds") + 1] == "7"


def test_behind_proxies_others_are_told_other_ports_than_the_nodes_listen_on(settings):
    apart = replace(settings, proxy_step=2_000, kafka_bootstrap="127.0.0.1:29092")
    planned, nodes = plan_nodes(apart, 3)
    told = [int(address.rpartition(":")[2]) for address in planned.kafka_bootstrap.split(",")]
    assert told == [node.port + 2_000 for node in nodes]
    properties = node_properties(nodes[0], nodes)
    assert f":{nodes[0].port}," in properties["listeners"]
    assert f":{told[0]}," in properties["advertised.listeners"]
    voters = [f"{n.node_id}@127.0.0.1:{n.controller_port + 2_000}" for n in nodes]
    assert properties["controller.quorum.voters"].split(",") == voters
    again, _ = plan_nodes(planned, 3)
    assert again.kafka_bootstrap == planned.kafka_bootstrap, "a restart finds the same ports"


def test_redis_listens_below_its_proxy(settings):
    planned = plan_redis(replace(settings, proxy_step=2_000, redis_url="redis://127.0.0.1:28379/0"))
    port = int(planned.redis_url.rpartition(":")[2].removesuffix("/0"))
    argv = redis_argv(planned)
    assert argv[argv.index("--port") + 1] == str(port - 2_000)


def test_a_new_exchange_begins_with_the_limits_that_the_banner_tells(settings, tmp_path):
    parser = argparse.ArgumentParser()
    genesis.add_arguments(parser)
    (process,) = [each for each in exchange_processes(settings) if each.name == "genesis"]
    told = parser.parse_args(process.argv[process.argv.index("genesis") + 1 :])
    begun = Limits(
        told.orders_per_10s, told.orders_per_day, told.weight_per_minute, told.requests_per_5m
    )
    assert begun == LIMITS
    text = banner(settings, tmp_path / "no keys", LIMITS)
    assert "demo account" not in text
    assert "a new exchange here begins with" in text, "an older one may have others"
    for raised, usual in zip(astuple(LIMITS), astuple(DEFAULT_LIMITS), strict=True):
        assert raised > usual
        assert f"{raised:,} " in text
