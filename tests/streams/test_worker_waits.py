"""A process of shards that is kept from leading says why, and can be looked at meanwhile."""

from functools import partial
from types import SimpleNamespace

import pytest
from structlog.testing import capture_logs

from infra.lease import Lease, LeaseEntry, Phase
from infra.settings import load_settings
from streams import worker
from streams.host import HostPolicy
from tests.infra.dict_lease_store import DictStore, Now


@pytest.fixture
def store(monkeypatch) -> DictStore:
    monkeypatch.setattr("infra.lease.TOLD_AFTER_S", 0.0)
    return DictStore()


@pytest.fixture
def leases(store) -> list[Lease]:
    return [Lease(name, "me", store, Now()) for name in ("L0", "M0")]


def test_shards_that_wait_for_their_leases_say_what_for(leases, store, monkeypatch):
    monkeypatch.setattr(worker, "IDLE_S", 0.0)
    store.entries["M0"] = LeaseEntry("other", 7, Phase.LEADING)
    for each in leases:
        each.tend()
    turns = iter(range(3))
    with capture_logs() as lines:
        assert not worker.await_leases(leases, lambda: next(turns, None) is None)
    assert [line["event"] for line in lines] == ["waiting for leases"]
    assert lines[0]["why"] == "M0: held by other"


def test_shards_that_run_say_that_the_store_of_leases_is_away(leases, store, monkeypatch):
    """Who stands by could not take over, and waited without a word."""
    store.away = True
    for each in leases:
        each.tend()
    clock = iter(range(0, 60, 3))
    monkeypatch.setattr(worker, "time", SimpleNamespace(monotonic=lambda: next(clock)))
    idle = SimpleNamespace(turn=lambda _: 0, observe=lambda _: None)
    turns = iter(range(4))
    with capture_logs() as lines:
        log = SimpleNamespace(end_seen=None)
        until = lambda: next(turns, None) is None  # noqa: E731
        worker._turn_until(idle, log, leases, until)  # type: ignore[arg-type]
    assert [line["event"] for line in lines] == ["leases not reached"]
    assert lines[0]["why"] == "L0: away; M0: away"


def test_metrics_are_served_while_it_waits(monkeypatch, tmp_path):
    order: list[str] = []

    def never_held(*_: object) -> bool:
        order.append("leases")
        return False

    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})
    monkeypatch.setattr("signal.signal", lambda *_: None)
    monkeypatch.setattr("streams.worker.WorkerMetrics.serve", lambda _: order.append("metrics"))
    monkeypatch.setattr(worker, "await_leases", never_held)
    run = partial(worker._run_shards, [], None, settings, HostPolicy())  # type: ignore[arg-type]
    assert run(standby=False) == 0
    assert order == ["metrics", "leases"]
