"""The watch over Redis: what stood there before it began is looked at, not only what is written."""

from typing import Any

import pytest
from fakeredis import FakeRedis

from infra.settings import Settings
from projections import live_cells, view_auditor, view_watch
from projections.history_client import HistoryClient
from projections.view_watch import ViewWatch
from tests.projections.scenarios import busy_exchange
from tests.projections.test_view_auditor import Stage, invented_user


class Silent:
    """What Redis tells where nobody writes."""

    working = True

    def __init__(self, *_: object) -> None:
        type(self).working = True

    def take(self) -> list[str]:
        return []

    def works(self) -> bool:
        return self.working

    def close(self) -> None:
        """Nothing is kept."""


class NoHistory(HistoryClient):
    """Answers nothing."""

    def _get(self, path: str, timeout_s: float = 1.0) -> Any:
        raise OSError(path)


class Watched:
    """A stage whose view is looked at by a watch instead of by hand."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.stage = Stage(busy_exchange(5, 80))
        for topic, values in self.stage.values.items():
            self.stage.feed(topic, len(values))
        monkeypatch.setattr(view_watch, "redis_client", self._client)
        monkeypatch.setattr(view_watch, "Touched", Silent)
        monkeypatch.setattr(live_cells, "LISTED_AT_ONCE", 7)
        self.watch = ViewWatch(
            Settings(),
            NoHistory("", ""),
            self.stage.views,
            self.stage.told.append,
            lambda _: None,
            repairs=True,
        )

    def _client(self, *_: object, **__: object) -> FakeRedis:
        return self.stage.client

    def look(self, times: int) -> None:
        for _ in range(times):
            self.watch._next_live_s = 0.0
            self.watch.tend(lambda topic, _: len(self.stage.values[topic]))

    def read_all(self) -> None:
        for topic, values in self.stage.values.items():
            self.stage.show(topic, len(values))


STRANGERS = {
    "balances:77": {"1": "[5,5]"},
    "open:7": {"9": "[9,7,1]"},
    "bids:3": {"100": "7"},
    "balances:077": {"1": "[5,5]"},
}


def test_keys_that_no_log_has_and_that_stood_there_before_it_began_are_removed(monkeypatch):
    watched = Watched(monkeypatch)
    stage = watched.stage
    for name, cells in STRANGERS.items():
        stage.client.hset(stage.key(name), mapping=cells)
    stage.client.set(stage.key("balances:78"), "no hash: nobody reads it")
    before = {key for key in stage.client.scan_iter() if key.decode()[5:] not in STRANGERS}
    watched.look(3)
    assert stage.told == [], "the fold has not come to where the view stands"
    watched.read_all()
    watched.look(20)
    assert {c.where.split()[1] for c in stage.told} == STRANGERS.keys()
    assert all(c.words.endswith("; repaired") for c in stage.told)
    assert set(stage.client.scan_iter()) == before


def test_keys_that_were_written_while_redis_told_nothing_are_found_too(monkeypatch):
    watched = Watched(monkeypatch)
    stage = watched.stage
    watched.read_all()
    watched.look(20)
    invented_user(stage)
    watched.look(20)
    assert stage.told == [], "nobody has told, and it is no key of the fold"
    Silent.working = False
    watched.watch._next_tracking_s = 0.0
    watched.look(20)
    assert [c.where.split()[1] for c in stage.told] == ["balances:77"]
    assert not stage.client.exists(stage.key("balances:77"))


def test_a_view_that_cannot_be_compared_yet_holds_the_list_up_not_the_memory(monkeypatch):
    monkeypatch.setattr(view_auditor, "STRANGERS_AT_MOST", 10)
    watched = Watched(monkeypatch)
    stage = watched.stage
    for user in range(100, 200):
        stage.client.hset(stage.key(f"balances:{user}"), "1", "[5,5]")
    watched.look(50)
    assert sum(map(len, stage.views._strangers.values())) < 50
    watched.read_all()
    watched.look(100)
    assert len(stage.told) == 100
    assert not stage.client.exists(*(stage.key(f"balances:{user}") for user in range(100, 200)))
