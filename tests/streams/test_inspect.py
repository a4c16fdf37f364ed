"""`logbourse inspect` shows a record of a running log, whatever that log begins with."""

import json

import pytest

from infra.settings import Settings
from streams.audit import inspect, live
from streams.audit.archive import BadArchive
from tests.streams.audited_log import arguments
from tests.streams.growing_log import GrowingLog, log_of, world
from tests.streams.records import deposit, from_outside


@pytest.fixture
def running(monkeypatch) -> GrowingLog:
    """The log of the running stack."""
    log = log_of(world())
    monkeypatch.setattr(live, "load_settings", lambda _environment: Settings())
    monkeypatch.setattr(live, "broker_count", lambda _settings: 1)
    monkeypatch.setattr(live.KafkaSource, "log", lambda _source: log)
    return log


def test_a_record_is_shown_where_nothing_has_begun_or_something_else_did(running, capsys):
    """So that an operator sees who wrote before `logbourse genesis`."""
    running.shown = {("ledger.in", 0): 1}
    running.whole["ledger.in", 0] = [from_outside(deposit(5), source="stranger")]
    assert inspect.run(arguments(inspect, "ledger.in", "0", "0")) == 0
    assert json.loads(capsys.readouterr().out)["record"]["src"] == "stranger"
    running.show_all()
    running.whole["accounts.in", 0] = [b"no record at all"]
    running.shown["accounts.in", 0] = 1
    assert inspect.run(arguments(inspect, "accounts.in", "0", "0")) == 0
    assert "undecodable" in json.loads(capsys.readouterr().out)["record"]


def test_partitions_that_neither_log_nor_settings_have_are_refused(running):
    running.shown["accounts.in", 0] = 0
    with pytest.raises(BadArchive, match="a partition must be among"):
        inspect.run(arguments(inspect, "ledger.in", "2", "0"))
