"""History under load: so many questions may wait, and the next one is refused at once."""

import asyncio
import threading
from typing import Any, cast

import pytest

from infra.clickhouse import ClickHouseClient
from infra.http.errors import ApiError
from projections.query import history
from projections.query.history import History


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
