"""The auditor's commands on a real Kafka that holds the log of a simulated exchange."""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import logbourse
from infra.kafka import KafkaLog, create_topics
from infra.settings import Settings, load_settings, to_environment
from schemas.topics import catalogue
from streams.audit import audit, export, inspect, replay
from tests.running import running_kafka
from tests.simulation.world import LEDGERS, MATCHERS, World
from tests.streams.audited_log import traded

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def world() -> World:
    return traded(6, crashes=4, duplicate_rate=0.02)


@pytest.fixture(scope="module")
def broker(world, tmp_path_factory) -> Iterator[Settings]:
    """A Kafka of its own, since the exchange's topics have fixed names."""
    data_dir = tmp_path_factory.mktemp("audited-stack")
    with running_kafka(load_settings({"LOGBOURSE_DATA_DIR": str(data_dir)})) as settings:
        create_topics(settings, catalogue(LEDGERS, MATCHERS))
        log = KafkaLog(settings)
        for (topic, partition), values in world.log.partitions.items():
            for value in values:
                log.produce(topic, partition, value)
        assert log.flush(30.0)
        for (topic, partition), mark in world.log.marks.items():
            log.commit(topic, partition, mark)
        log.close()
        yield settings


@pytest.fixture(autouse=True)
def running_stack(broker, monkeypatch) -> None:
    """What the commands find when they are told of no other log."""
    for name, value in to_environment(broker).items():
        monkeypatch.setenv(name, value)


def status(module: Any, *words: str) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    found: int = module.run(parser.parse_args(words))
    return found


def test_the_live_log_is_equal_and_sound_in_one_process_and_in_two(world, capsys):
    for processes in ("1", "2"):
        assert status(replay, "--json", "--processes", processes) == 0
        said = json.loads(capsys.readouterr().out)
        assert said["equal"]
        assert {shard: run["state_hash"] for shard, run in said["shards"].items()} == {
            shard: host.shard.state_hash().hex() for shard, host in world.hosts().items()
        }
    assert status(audit) == 0
    assert capsys.readouterr().out.rstrip().endswith("SOUND")


def test_an_export_of_it_is_the_same_and_goes_on(broker, world, tmp_path: Path, capsys):
    assert status(export, str(tmp_path), "--bootstrap", broker.kafka_bootstrap) == 0
    records = sum(map(len, world.log.partitions.values()))
    assert f"{records:,} records of it new" in capsys.readouterr().out
    assert status(export, str(tmp_path)) == 0
    assert "0 records of it new" in capsys.readouterr().out
    assert status(replay, "--from", str(tmp_path)) == 0
    assert status(audit, "--from", str(tmp_path)) == 0


def test_one_record_is_shown(world, capsys):
    assert status(inspect, "matching.ev", "1", "3") == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["record"]["src"] == "M1"
    assert shown["timestamp_ms"] > 0


@pytest.mark.parametrize("subcommand", ["replay", "audit", "export"])
def test_a_log_that_is_not_there_is_told_in_one_sentence(subcommand, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    words = [str(tmp_path / "copy")] if subcommand == "export" else []
    assert logbourse.main([subcommand, *words, "--bootstrap", "127.0.0.1:1"]) == 2
    said = capsys.readouterr().err
    assert said == f"logbourse {subcommand}: Kafka must answer at 127.0.0.1:1, did not\n"
