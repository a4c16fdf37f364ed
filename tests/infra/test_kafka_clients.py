"""Clients of Kafka, against the brokers that the library plays itself."""

import json
import time

from infra.kafka.clients import TopicPartition, consumer
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


def _connected(told):
    return sum(each["source"] == "learned" and each["state"] == "UP" for each in told.values())
