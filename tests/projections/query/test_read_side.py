"""The whole read side: outboxes of a small exchange, projectors, both stores, and the API."""

from collections import Counter, defaultdict
from copy import copy
from decimal import Decimal

import pytest
from fakeredis import FakeRedis

from domain.accounts.messages import AssetListed, UserRegistered
from domain.limits import DEFAULT_LIMITS
from domain.markets import MarketListed
from domain.matching.messages import TradeExecuted
from domain.orders.messages import OrderClosed, Side
from domain.protocol import Genesis
from domain.reference import ReferenceData
from infra.clickhouse import clickhouse_client
from projections.clickhouse_sink import ClickHouseSink
from projections.layout import Position
from projections.redis_sink import RedisSink
from tests.projections.query.world import World, signed, tiers
from tests.projections.scenarios import assets_told, busy_exchange, feed
from tests.projections.small_exchange import SmallExchange

USERS = (1, 2, 3)
ONE = {"symbol": "BTCUSDT"}
MANY = ONE | {"limit": "1000"}
LOTS = Decimal(100_000)
TABLES = ("trades", "orders", "fills", "ledger_entries", "candles", "risk_samples", "memory")


def reference_of(exchange: SmallExchange) -> ReferenceData:
    """What `accounts.ev` would tell: one partition of each family."""
    reference = ReferenceData()
    reference.apply(Genesis("test", "accounts", 0, 1, 1, 1, DEFAULT_LIMITS, tiers()))
    for _, event in exchange.matching.events:
        if isinstance(event, AssetListed | MarketListed):
            reference.apply(event)
    for user in USERS:
        reference.apply(UserRegistered(b"", f"u{user}", 1, 0, user, bytes(32), 0))
    return reference


async def project(world: World, exchange: SmallExchange) -> None:
    """Let both stores hold what the exchange has written; the log ends there."""
    await world.redis.flushall()
    feed(exchange, RedisSink(FakeRedis(server=world.redis_server)))
    client = clickhouse_client(world.store.dsn)
    world.store.filled.update(TABLES, ["positions"])
    world.store.empty()
    feed(exchange, ClickHouseSink(client), step=50)
    client.close()
    world.store.filled.update(TABLES, ["positions"])
    world.reference = reference_of(exchange)
    world.clock.time_us = exchange.time_us
    world.reference_at = {("accounts.ev", 0): Position(9, 9, exchange.time_us)}
    for topic, values in exchange.outboxes().items():
        world.ends[topic, 0] = len(values)


@pytest.fixture
async def exchange(world):
    """Two hundred random steps, projected into both stores."""
    exchange = busy_exchange(seed=20260101, steps=200)
    exchange.tick(1)
    await project(world, exchange)
    return exchange


@pytest.fixture
async def api(world, exchange):
    client = await world.start()
    yield client
    await client.close()


async def get(api, path, user=0, **parameters):
    response = await api.get(path, params=parameters, headers=signed(user) if user else {})
    assert response.status == 200, await response.text()
    return await response.json()


def trades_of(exchange):
    return [
        (at, event) for at, event in exchange.matching.events if isinstance(event, TradeExecuted)
    ]


async def test_market_data_are_those_of_the_log(exchange, api):
    trades = trades_of(exchange)
    assert len(trades) > 50, "a busy exchange trades"
    lots = sum(event.lots for _, event in trades)

    rows = await get(api, "/api/v3/trades", **MANY)
    assert [(row["id"], row["time"]) for row in rows] == [
        (event.trade_id, at // 1_000) for at, event in trades
    ]
    assert await get(api, "/api/v3/historicalTrades", **MANY, fromId="1") == rows
    aggregates = await get(api, "/api/v3/aggTrades", **MANY, fromId="1")
    assert aggregates == await get(api, "/api/v3/aggTrades", **MANY)
    assert aggregates == await get(api, "/api/v3/aggTrades", **MANY, startTime="1")
    assert aggregates == await get(
        api, "/api/v3/aggTrades", **MANY, endTime=str(exchange.time_us // 1_000)
    )
    assert sum(Decimal(row["q"]) for row in aggregates) == lots / LOTS
    for interval in ("1m", "1h", "1d", "1w", "1M"):
        candles = await get(api, "/api/v3/klines", **MANY, interval=interval)
        assert sum(row[8] for row in candles) == len(trades), "P3"
        assert sum(Decimal(row[5]) for row in candles) == lots / LOTS, "P3"
        assert candles[0][1] == rows[0]["price"]
        assert candles[-1][4] == rows[-1]["price"]
        assert max(row[2] for row in candles) == max(row["price"] for row in rows)
    ticker = await get(api, "/api/v3/ticker/24hr", **ONE)
    week = await get(api, "/api/v3/ticker", **ONE, windowSize="7d")
    assert (ticker["count"], ticker["lastPrice"]) == (len(trades), rows[-1]["price"])
    assert {name: week[name] for name in ("count", "volume", "quoteVolume", "highPrice")} == {
        name: ticker[name] for name in ("count", "volume", "quoteVolume", "highPrice")
    }


async def test_the_book_is_that_of_the_log(exchange, api):
    levels: dict[Side, Counter[int]] = {Side.BUY: Counter(), Side.SELL: Counter()}
    for order in exchange.book:
        levels[order.side][order.price] += order.open
    book = await get(api, "/api/v3/depth", **MANY)
    assert book["lastUpdateId"] == exchange.book_seq
    for name, side, direction in (("bids", Side.BUY, -1), ("asks", Side.SELL, 1)):
        found = [(int(Decimal(p) * 100), int(Decimal(q) * LOTS)) for p, q in book[name]]
        assert found == [(p, levels[side][p]) for p in sorted(levels[side])[::direction]]


async def test_accounts_are_those_of_the_log(exchange, api):
    closed: dict[int, dict[int, OrderClosed]] = defaultdict(dict)
    for _, event in exchange.ledger.events:
        if isinstance(event, OrderClosed):
            closed[event.user_id][event.order_id] = event
    free = Decimal(0)
    for user in USERS:
        mine = [order for order in exchange.book if order.user_id == user]
        open_orders = await get(api, "/api/v3/openOrders", user, **ONE)
        assert [row["orderId"] for row in open_orders] == sorted(o.order_id for o in mine)
        every = await get(api, "/api/v3/allOrders", user, **MANY)
        assert [row["orderId"] for row in every] == sorted(
            [*closed[user], *(o.order_id for o in mine)]
        )
        assert [row for row in every if row["status"] in ("NEW", "PARTIALLY_FILLED")] == open_orders
        for row in every:
            ended = closed[user].get(row["orderId"])
            if ended is not None:
                assert Decimal(row["executedQty"]) * LOTS == ended.filled_lots
            assert await get(api, "/api/v3/order", user, **ONE, orderId=str(row["orderId"])) == row
        fills = await get(api, "/api/v3/myTrades", user, **MANY)
        assert sum(Decimal(row["qty"]) for row in fills) == sum(
            Decimal(row["executedQty"]) for row in every
        )
        account = await get(api, "/api/v3/account", user)
        held = sum(o.price * o.open * 10 for o in mine if o.side is Side.BUY)
        usdt = next(row for row in account["balances"] if row["asset"] == "USDT")
        assert Decimal(usdt["locked"]) * 10**8 == held
        free += Decimal(usdt["free"]) + Decimal(usdt["locked"])
        fees = [row for row in fills if row["commissionAsset"] == "USDT"]
        free += sum(Decimal(row["commission"]) for row in fees)
    assert free * 10**8 == len(USERS) * 10**15, "what was deposited is there, fees included"


async def test_every_view_stands_at_the_end(exchange, api):
    rows = (await get(api, "/x/v1/positions"))["positions"]
    ends = {topic: len(values) for topic, values in exchange.outboxes().items()}
    for row in rows:
        if row["topic"] in ends:
            assert (row["sequence"], row["lagRecords"]) == (ends[row["topic"]], 0), row
    assert len(rows) > 8


async def test_orders_read_alike_where_the_ledger_knew_the_assets_last(world):
    lived = busy_exchange(seed=7, steps=60)
    lived.tick(61)
    told = [event for _, event in lived.ledger.events if isinstance(event, AssetListed)]
    found = []
    for place in (0, 1_000_000):
        exchange = copy(lived)
        exchange.ledger = assets_told(lived, [(asset, place) for asset in told])
        await project(world, exchange)
        async with await world.start() as api:
            reads = ("openOrders", "allOrders", "myTrades")
            answers = [
                await get(api, f"/api/v3/{path}", user, **ONE) for path in reads for user in USERS
            ]
            risks = [await get(api, f"/x/v1/risk/users/{user}", user) for user in USERS]
            found.append(answers + [{**risk, "meta": None} for risk in risks])
    assert all(found[0]), "every user has orders and fills"
    assert found[0] == found[1]
