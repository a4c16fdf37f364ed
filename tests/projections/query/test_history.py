"""History under load, where so many questions may wait, and when it was built anew."""

import asyncio
import threading
from typing import Any, cast

import pytest

from infra.clickhouse import ClickHouseClient
from infra.http.errors import ApiError
from projections.layout import CURRENT_BUILD_SQL, Candle
from projections.query import history
from projections.query.history import History
from projections.query.market_history import MarketHistory


class SlowClient:
    """Answers once it may."""

    def __init__(self, may: threading.Event) -> None:
        self._may = may
        self.result_rows = [("1",)]

    def query(self, sql: str, parameters: Any = None) -> "SlowClient":
        assert self._may.wait(10)
        return self

    def close(self) -> None:
        pass


async def test_one_question_too_many_is_refused_at_once(monkeypatch):
    monkeypatch.setattr(history, "MAX_WAITING", 3)
    may = threading.Event()
    views = History(lambda: cast(ClickHouseClient, SlowClient(may)))
    asked = [asyncio.create_task(views.rows("SELECT 1")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(ApiError) as caught:
        await views.rows("SELECT 1")
    assert (caught.value.status, caught.value.code) == (503, -1008)
    may.set()
    assert [list(rows) for rows in await asyncio.gather(*asked)] == [[("1",)]] * 3
    assert list(await views.rows("SELECT 1")) == [("1",)]
    await views.stop()


class Builds:
    """A store whose first candle opens at another time in each build."""

    def __init__(self) -> None:
        self.build, self.asked = "7", 0
        self.result_rows: list[Any] = []

    def query(self, sql: str, parameters: Any = None) -> "Builds":
        self.result_rows = [(self.build,)]
        if sql != CURRENT_BUILD_SQL:
            self.asked += 1
            opens_us = int(str(parameters["database"]).rpartition("_")[2]) * 60_000_000
            self.result_rows = [Candle(opens_us, *[0] * (len(Candle._fields) - 1))]
        return self

    def close(self) -> None:
        pass


async def test_when_the_first_candle_opens_is_asked_once_in_each_build(monkeypatch):
    monkeypatch.setattr(history, "BUILD_KEPT_S", 0.0)
    store = Builds()
    views = History(lambda: cast(ClickHouseClient, store))
    markets = MarketHistory(views)
    assert [await markets.first_open(3, "1m") for _ in range(5)] == [420_000_000] * 5
    assert store.asked <= 2
    store.build = "8"
    # As whoever waits for the view does before: that asks which build is the current one.
    await views.rows("SELECT 1 FROM {database:Identifier}.positions")
    assert [await markets.first_open(3, "1m") for _ in range(5)] == [480_000_000] * 5
    assert store.asked <= 5
    await views.stop()
