"""`logbourse recover` on a real Kafka whose data files were cut: copied, cut, written, proved."""

import argparse
import io
import os
from collections.abc import Callable
from dataclasses import replace

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ResourceType

from infra.data_lock import owned_data
from infra.kafka import KafkaLog, admin_client, create_topics, own_settings
from infra.log import LogFailure
from infra.refusal import Refusal
from infra.settings import Settings, load_settings, to_environment
from schemas.topics import catalogue
from streams.recovery import command, walk
from streams.recovery.brokers import running_brokers
from streams.recovery.journal import Journal
from tests.simulation.world import LEDGERS, MATCHERS
from tests.streams.audited_log import traded

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def damaged(tmp_path) -> Settings:
    """A stopped exchange; of one inbox the last third of the file is gone."""
    data_dir = tmp_path / "data"
    settings = replace(load_settings({"LOGBOURSE_DATA_DIR": str(data_dir)}), replication_factor=1)
    world = traded(6)
    with running_brokers(settings, 1) as reachable:
        create_topics(reachable, catalogue(LEDGERS, MATCHERS))
        flush_each_record(reachable, "ledger.in")
        log = KafkaLog(reachable)
        for (topic, partition), values in world.log.partitions.items():
            for value in values:
                log.produce(topic, partition, value)
                log.flush(10.0)
        for (topic, partition), mark in world.log.marks.items():
            log.commit(topic, partition, mark)
        log.close()
    for shard, files in world.files.items():
        folder = settings.snapshots_dir / shard
        folder.mkdir(parents=True, exist_ok=True)
        for name in files.names():
            (folder / name).write_bytes(files.read(name))
    (settings.data_dir / "redis").mkdir()
    cut_off(settings, "ledger.in-0")
    return settings


def flush_each_record(settings: Settings, topic: str) -> None:
    """As an operator does with Kafka's own tools (docs/operating.md)."""
    entry = ConfigEntry("flush.messages", "1", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=[entry])
    admin = admin_client(settings)
    for future in admin.incremental_alter_configs([resource]).values():
        future.result(20)


def cut_off(settings: Settings, partition: str) -> None:
    """What power loss leaves of a file that was not synced, and of the node's clean stop."""
    data = settings.data_dir / "kafka" / "node-1" / "data"
    (data / ".kafka_cleanshutdown").unlink(missing_ok=True)
    path = data / partition / f"{0:020d}.log"
    os.truncate(path, path.stat().st_size * 2 // 3)


@pytest.fixture(autouse=True)
def environment(damaged, monkeypatch) -> None:
    for name, value in to_environment(damaged).items():
        monkeypatch.setenv(name, value)


def recovered(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


def interrupted(*_: object) -> None:
    raise LogFailure("Kafka is away")


def killed_before(step: str, note: Callable[[Journal, str], None]) -> Callable[..., None]:
    """A journal that gets no further than this note."""

    def noted(journal: Journal, noted_step: str) -> None:
        if noted_step == step:
            interrupted()
        note(journal, noted_step)

    return noted


def test_an_operator_is_led_back(damaged, capsys, monkeypatch):
    with owned_data(damaged), pytest.raises(Refusal, match="must be used by one stack"):
        recovered("--yes")
    monkeypatch.setattr("sys.stdin", io.StringIO("no\n"))
    assert recovered() == 1
    said = capsys.readouterr().out
    assert "ledger.in.0 ends at" in said
    assert "records are gone without a trace" in said
    assert "Do this?" in said
    assert not list((damaged.data_dir / "recovery").glob("*")), "nothing is left of a no"

    with monkeypatch.context() as patched:
        patched.setattr(Journal, "note", killed_before("log set aside", Journal.note))
        with pytest.raises(LogFailure):
            recovered("--yes")
    aside = damaged.data_dir / "recovery" / "1"
    assert (aside / "kafka").exists()
    assert "done: log set aside" not in capsys.readouterr().out

    with monkeypatch.context() as patched:
        patched.setattr(walk, "commit_marks", interrupted)
        with pytest.raises(LogFailure):
            recovered("--yes")
    assert "done: log written" in capsys.readouterr().out

    assert recovered("--yes") == 0
    said = capsys.readouterr().out
    assert "done: log written" not in said, "it goes on where it was"
    assert "done: marks set" in said
    assert "replay: EQUAL\naudit: SOUND" in said
    assert {"kafka", "log", "redis", "snapshots", "report.json"} <= set(os.listdir(aside))
    assert not (damaged.data_dir / "redis").exists()
    with running_brokers(damaged, 1) as reachable:
        kept = own_settings(reachable, catalogue(LEDGERS, MATCHERS))
    assert kept == {"ledger.in": {"flush.messages": "1"}}, "what was set by hand is kept"


def test_a_kafka_that_runs_elsewhere_is_replaced_by_its_operator(damaged, monkeypatch, capsys):
    elsewhere = replace(damaged, data_dir=damaged.data_dir / "elsewhere")
    (elsewhere.data_dir).mkdir()
    (damaged.data_dir / "kafka").rename(elsewhere.data_dir / "kafka")
    with running_brokers(elsewhere, 1) as reachable:
        monkeypatch.setenv("LOGBOURSE_KAFKA_BOOTSTRAP", reachable.kafka_bootstrap)
        with pytest.raises(Refusal, match="must be empty now"):
            recovered("--yes")
        with pytest.raises(Refusal, match="must be empty now"):
            recovered("--yes")
    (elsewhere.data_dir / "kafka").rename(elsewhere.data_dir / "kafka-before")
    with running_brokers(elsewhere, 1) as reachable:
        monkeypatch.setenv("LOGBOURSE_KAFKA_BOOTSTRAP", reachable.kafka_bootstrap)
        assert recovered("--yes") == 0
    assert "replay: EQUAL\naudit: SOUND" in capsys.readouterr().out
