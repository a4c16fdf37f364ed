"""The Compose file says what the settings, the catalogue and the local Kafka node say."""

import re
import tomllib
from dataclasses import fields
from importlib.metadata import version
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

import logbourse
from infra.kafka_broker import Node, node_properties
from infra.settings import Settings, load_settings
from infra.stack import exchange_processes
from schemas.topics import shards

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "infra/deploy/compose.yaml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if service["image"] == "logbourse"}
# What a container's network and volumes decide.
PLACES = ("node.id", "log.dirs", "controller.quorum.voters", "listeners", "advertised.listeners")


def settings_of(service: dict) -> Settings:
    return load_settings(service["environment"])


@pytest.mark.parametrize("name", OURS)
def test_every_variable_is_a_setting(name):
    known = {f"LOGBOURSE_{field.name.upper()}" for field in fields(Settings)}
    assert set(OURS[name]["environment"]) <= known


@pytest.mark.parametrize("name", OURS)
def test_every_address_is_a_service(name):
    settings = settings_of(OURS[name])
    addresses = [f"kafka://{settings.kafka_bootstrap}", settings.redis_url, settings.clickhouse_dsn]
    hosts = [urlsplit(address).hostname for address in addresses]
    assert hosts == ["kafka", "redis", "clickhouse"]


def test_partitions_are_those_of_a_laptop():
    defaults = Settings()
    for service in OURS.values():
        settings = settings_of(service)
        assert settings.ledger_partitions == defaults.ledger_partitions
        assert settings.matching_partitions == defaults.matching_partitions


def test_every_shard_runs_exactly_once():
    commands = [service["command"] for service in OURS.values()]
    running = [shard for command in commands if command[0] == "shard" for shard in command[1:]]
    defaults = Settings()
    assert sorted(running) == sorted(
        shards(defaults.ledger_partitions, defaults.matching_partitions)
    )


def test_its_processes_are_those_of_the_local_stack():
    """But for shards, each family apart, limits, which are not raised, and addresses."""
    settings = Settings()
    local = {each.name: list(each.argv[3:]) for each in exchange_processes(settings)}
    assert local.pop("shards")[0] == "shard"
    local["genesis"] = ["genesis"]
    local["auditor"] = ["auditor", "--queries-at", "http://query:8081"]
    own = f"http://{settings.host}:{settings.query_port}"
    wanted = {
        name: sorted(word.replace(own, "http://query:8081") for word in words)
        for name, words in local.items()
    }
    found = {name: sorted(service["command"]) for name, service in OURS.items()}
    shards_apart = {name for name, words in found.items() if "shard" in words}
    assert shards_apart == {"accounts", "ledgers", "matching"}
    assert {name: found[name] for name in found.keys() - shards_apart} == wanted


def test_no_key_comes_into_the_image():
    """Whatever git ignores, the image leaves out, wherever git does."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for pattern in (ROOT / ".gitignore").read_text().split():
        name = pattern.removesuffix("/")
        assert f"**/{name}" in ignored, pattern
    assert ".git" in ignored


@pytest.mark.parametrize("name", OURS)
def test_every_command_is_a_subcommand(name):
    assert OURS[name]["command"][0] in logbourse.SUBCOMMANDS


def test_only_the_public_port_is_published_and_on_the_loopback():
    """The operators' port listens on the container's loopback, where publishing does not reach."""
    settings = settings_of(OURS["gateway"])
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert published == [f"127.0.0.1:{settings.public_port}:{settings.public_port}"]
    assert f"http://query:{settings.query_port}" in OURS["gateway"]["command"]


def test_kafka_is_configured_as_the_local_node():
    node = Node(1, "kafka", 9092, 9093, Path("/var/lib/kafka"))
    given = SERVICES["kafka"]["environment"]
    for setting, value in node_properties(node, [node]).items():
        if setting not in PLACES:
            assert given.get("KAFKA_" + setting.upper().replace(".", "_")) == value, setting


def test_kafka_has_the_version_of_the_jars():
    found = re.search(r"<kafka.version>(.+)<", (ROOT / "infra/kafka/pom.xml").read_text())
    assert found is not None
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{found[1]}"


def test_clickhouse_is_the_engine_that_runs_in_process():
    engine = ".".join(version("chdb-core").split(".")[:2])
    assert SERVICES["clickhouse"]["image"] == f"clickhouse/clickhouse-server:{engine}"


def test_every_dependency_and_volume_exists():
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        for volume in service.get("volumes", []):
            assert volume.split(":")[0] in COMPOSE["volumes"]


def test_the_image_holds_every_package():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = project["tool"]["setuptools"]["packages"]["find"]["include"]
    copied = re.findall(r"^COPY (\w+) \w+$", (ROOT / "infra/deploy/Dockerfile").read_text(), re.M)
    assert copied == [name for name in packages if "." not in name]
