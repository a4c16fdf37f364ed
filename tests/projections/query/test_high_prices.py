"""Prices beyond 92,233,720,368 quote per base, which 64 bits do not hold in 10^-8."""

from decimal import Decimal
from pathlib import Path
from random import Random
from shutil import copy

import pytest

from domain.orders.messages import Side
from infra.log import LogRecord
from projections import layout
from projections.candle_sums import CandleSums, Told
from projections.clickhouse_builds import MIGRATIONS, make_build, remove_build
from projections.clickhouse_sink import ClickHouseSink
from projections.layout import SUMMED, Candle
from projections.view_auditor import ViewAuditor
from tests.projections.query.test_read_side import get, project
from tests.projections.query.world import BUILD, TOKEN
from tests.projections.scenarios import busy_exchange, feed
from tests.projections.small_exchange import SmallExchange

HIGH = 9_300_000_000_000
"""Ticks of 0.01: 93,000,000,000."""

PRICE = "93000000000.00000000"
ONE = {"symbol": "BTCUSDT"}


@pytest.fixture
async def high(world):
    """Two trades at the high price, two hours apart; half of their maker still rests."""
    exchange = SmallExchange(users=3)
    exchange.place(1, Side.SELL, HIGH, 4)
    exchange.place(2, Side.BUY, HIGH, 1)
    exchange.tick(7_200)
    exchange.place(2, Side.BUY, HIGH, 1)
    exchange.tick(1)
    await project(world, exchange)
    return exchange


@pytest.fixture
async def api(world, high):
    client = await world.start()
    yield client
    await client.close()


async def test_a_high_price_is_stored_and_read_back(high, api):
    for path in ("/api/v3/trades", "/api/v3/historicalTrades"):
        assert [row["price"] for row in await get(api, path, **ONE)] == [PRICE] * 2, path
    for interval, count in (("1h", 3), ("1M", 1)):
        candles = await get(api, "/api/v3/klines", **ONE, interval=interval)
        assert [candle[1:5] for candle in candles] == [[PRICE] * 4] * count
    for path in ("/api/v3/ticker/24hr", "/api/v3/ticker"):
        ticker = await get(api, path, **ONE)
        names = ("openPrice", "highPrice", "lowPrice", "lastPrice", "weightedAvgPrice")
        assert [ticker[name] for name in names] == [PRICE] * 5
    for user in (1, 2):
        fills = await get(api, "/api/v3/myTrades", user, **ONE)
        assert [row["price"] for row in fills] == [PRICE] * 2
    (resting,) = await get(api, "/api/v3/openOrders", 1, **ONE)
    assert (resting["price"], resting["origQty"]) == (PRICE, "0.00004000")
    assert (await get(api, "/api/v3/depth", **ONE))["asks"] == [[PRICE, "0.00002000"]]
    (bitcoin, _) = (await get(api, "/x/v1/risk/users/2", 2))["exposure"]
    assert bitcoin["value"] == str(Decimal(bitcoin["amount"]) * 93_000_000_000)


async def test_an_order_at_a_high_price_is_read_from_history(high, world, api):
    await world.redis.delete(f"lb:{BUILD}:closed:2")
    orders = await get(api, "/api/v3/allOrders", 2, **ONE)
    assert [row["price"] for row in orders] == [PRICE] * 2


async def test_high_prices_add_up_here_as_there(high, api):
    views = ViewAuditor(1, 1, lambda _: None, Random(0))
    words = {"Authorization": f"Bearer {TOKEN}"}
    for (topic, _), fold in views.folds.items():
        values = high.outboxes()[topic]
        for offset, value in enumerate(values):
            fold.take(LogRecord(topic, 0, offset, -1, value))
        fold.fold_to(len(values))
        for exact in ("false", "true"):
            asked = {"tables": ",".join(SUMMED[topic]), "upto": f"0:{len(values)}", "exact": exact}
            answer = await api.get("/x/v1/audit/history", params=asked, headers=words)
            blocks = (await answer.json())["blocks"]
            for table in SUMMED[topic]:
                (ours,) = fold.sums[table].blocks.values()
                assert blocks[table] == [[0, 0, *ours]], table
    answer = await api.get("/x/v1/audit/candles", headers=words)
    sums: CandleSums = views.folds[layout.MATCHING_EVENTS, 0].candles
    series = (await answer.json())["series"]
    assert len(series) == 16
    for market, interval, total, last in series:
        told = Told(tuple(total), Candle(*last))
        assert told.last == sums.last[market, interval]
        assert sums.complaint((market, interval), told, {}) == ""


def test_rows_of_the_former_type_are_kept(store, tmp_path: Path, monkeypatch):
    build, database = "904", layout.database("904")
    for name in ("0001_tables.sql", "0002_positions.sql", "0003_turnover.sql"):
        copy(MIGRATIONS / name, tmp_path)
    monkeypatch.setattr("projections.clickhouse_builds.MIGRATIONS", tmp_path)
    exchange = busy_exchange(7, 60)
    feed(exchange, ClickHouseSink(store.client, build))
    before = {table: _rows(store, database, table) for table in layout.TABLES}
    assert all(before.values())
    monkeypatch.setattr("projections.clickhouse_builds.MIGRATIONS", MIGRATIONS)

    assert make_build(store.client, build) == ["0004_prices.sql"]

    assert {table: _rows(store, database, table) for table in layout.TABLES} == before
    asked = sum(order.open for order in exchange.book if order.side is Side.SELL)
    exchange.place(1, Side.SELL, HIGH, 1)
    exchange.place(2, Side.BUY, HIGH, asked + 1)
    feed(exchange, ClickHouseSink(store.client, build))
    for table in ("trades", "fills", "orders"):
        assert max(_rows(store, database, table, "price")) == (HIGH * 10**6,), table
    remove_build(store.client, build)


def _rows(store, database, table, columns="*"):
    found = store.client.query(f"SELECT {columns} FROM {database}.{table} FINAL ORDER BY ALL")
    return found.result_rows
