"""Clients of Kafka, against the brokers that the library plays itself."""

import json
import socket
import time
from types import SimpleNamespace

import pytest

from infra.kafka import clients
from infra.kafka.clients import TopicPartition, broker_count, consumer, is_reachable
from infra.settings import Settings

BROKERS = 3
WAIT_S = 10.0


def test_a_consumer_is_connected_to_brokers_that_lead_nothing_it_reads():
    """Only these can tell it of another leader when its own is cut off and does not know it."""
    told = {}

    def note(text):
        told.update(json.loads(text)["brokers"])

    reader = consumer(
        Settings(), test_mock_num_brokers=BROKERS, statistics_interval_ms=50, stats_cb=note
    )
    try:
        reader.assign([TopicPartition("quotes", 0, 0)])
        give_up_s = time.monotonic() + WAIT_S
        while _connected(told) < BROKERS and time.monotonic() < give_up_s:
            reader.poll(0.05)
    finally:
        reader.close()
    assert _connected(told) == BROKERS, told


@pytest.mark.parametrize(
    "address", ["a..b:9092", f"{'a' * 64}.org:9092", "127.0.0.1:99999", "127.0.0.1:", "127.0.0.1:x"]
)
def test_nobody_listens_where_no_address_is(address):
    assert not is_reachable(address)
    assert broker_count(Settings(kafka_bootstrap=address)) == 0


def _connected(told):
    return sum(each["source"] == "learned" and each["state"] == "UP" for each in told.values())


def test_brokers_of_another_cluster_do_not_count(monkeypatch):
    told = SimpleNamespace(cluster_id="theirs", brokers={1: "a", 2: "b"})
    admin = SimpleNamespace(list_topics=lambda timeout: told)
    monkeypatch.setattr(clients, "admin_client", lambda _settings: admin)
    with socket.create_server(("127.0.0.1", 0)) as server:
        settings = Settings(kafka_bootstrap=f"127.0.0.1:{server.getsockname()[1]}")
        assert broker_count(settings) == broker_count(settings, "theirs") == 2
        assert broker_count(settings, "ours") == 0
