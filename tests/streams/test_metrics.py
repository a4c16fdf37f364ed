"""What a worker tells Prometheus, of hosts on a log in memory."""

import os

import pytest

from domain.protocol import HaltAction, ResolveHalt
from infra.metrics import Registry
from schemas.record import record_hash
from streams.metrics import WorkerMetrics
from streams.worker import Worker
from tests.streams.echo import FAULT_IN_APPLYING
from tests.streams.records import DEADLINE_US, channel, deposit, from_outside
from tests.streams.standby_pair import Pair, deposits


class Told:
    """Metrics in a registry of their own."""

    def __init__(self, snapshots_dir=None) -> None:
        self.registry = Registry()
        self.metrics = WorkerMetrics(snapshots_dir, registry=self.registry)

    def value(self, name: str, **labels: str) -> float | None:
        labels = {"shard": "L0"} | labels
        return self.registry.get_sample_value(f"logbourse_shard_{name}", labels)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def pair() -> Pair:
    return Pair()


def test_duplicates_are_counted_by_who_sent_them(told, pair):
    first, second = channel([deposit(1)], [deposit(2)])
    pair.append(first, second, first, second)
    host = pair.leader()
    worker = Worker([host], pair.leader_log, told.metrics)
    while host.position < 5:
        worker.turn(0.0)
    assert told.value("duplicates_total", source="L1") == 2
    worker.observe(lambda *_: 7)
    assert (told.value("records_total"), told.value("lag_records")) == (5, 2)


def test_a_record_that_an_operator_passed_is_no_duplicate(told, pair):
    forged = channel([deposit(1)], [deposit(2)])[1]
    word = ResolveHalt(b"r" * 16, DEADLINE_US, record_hash(forged), HaltAction.SKIP)
    outside = from_outside(deposit(FAULT_IN_APPLYING))
    other_word = ResolveHalt(b"s" * 16, DEADLINE_US, record_hash(outside), HaltAction.SKIP)
    pair.append(forged, outside, from_outside(word), from_outside(other_word))
    host = pair.leader()
    worker = Worker([host], pair.leader_log, told.metrics)
    while host.position < 5:
        worker.turn(0.0)
    assert host.counts.duplicates == 0
    assert told.value("duplicates_total", source="L1") is None
    assert told.value("duplicates_total", source="operator") is None


def test_a_shadow_stands_by_once_it_has_caught_up_and_until_it_leads(told, pair):
    pair.append(*deposits(100, 5))
    shadow = pair.shadow()
    told.metrics.observe(shadow, 6)
    assert (told.value("leads"), told.value("stands_by")) == (0, 0)
    pair.follow(shadow)
    told.metrics.observe(shadow, 6)
    assert (told.value("leads"), told.value("stands_by")) == (0, 1)
    assert told.value("held_inputs") == 6
    shadow.promote()
    told.metrics.observe(shadow, 6)
    assert (told.value("leads"), told.value("stands_by")) == (1, 0)
    assert told.value("promotions_total") == 1


def test_log_time_is_that_of_the_shard(told, pair):
    host = pair.leader()
    pair.lead(host)
    told.metrics.observe(host, 1)
    assert told.value("log_time_seconds") == host.shard.state.time_us / 1_000_000 > 0


def test_what_alerts_are_about_is_zero_before_it_happens(told, pair):
    told.metrics.observe(pair.leader(), 1)
    assert told.value("reports_total", event="command faulted") == 0
    told.metrics.reported("L0", "command faulted")
    assert told.value("reports_total", event="command faulted") == 1


def test_the_newest_snapshot_counts_and_no_unfinished_one(tmp_path, pair):
    told, host = Told(tmp_path), pair.leader()
    told.metrics.observe(host, 1)
    began_s = told.value("snapshot_timestamp_seconds")
    folder = tmp_path / "L0"
    folder.mkdir()
    for name, written_s in (("1.snapshot", 100), ("2.snapshot", 200), ("3-7.tmp", 300)):
        (folder / name).touch()
        os.utime(folder / name, (written_s, written_s))
    told.metrics.observe(host, 1)
    assert told.value("snapshot_timestamp_seconds") == 200
    assert began_s is not None and began_s > 300
