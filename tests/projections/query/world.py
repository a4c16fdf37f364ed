"""A small exchange as its views would store it: two users, two markets, fakes for the log."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from aiohttp.test_utils import TestClient, TestServer
from fakeredis import FakeAsyncRedis, FakeServer

from domain.accounts.messages import AssetListed, Scope, UserRegistered
from domain.fees import FeeTier
from domain.limits import Limits
from domain.markets import MarketListed, MarketRules
from domain.orders.messages import Side
from domain.protocol import Genesis
from domain.reference import ReferenceData
from infra.clickhouse import ClickHouseClient, clickhouse_client
from infra.http import errors
from infra.http.parameters import Parameters
from infra.http.principal import Principal
from infra.log import Partition
from projections import layout
from projections.candles import Candles
from projections.clickhouse_builds import current_build
from projections.day import Day
from projections.intervals import MINUTE_US
from projections.layout import (
    BookTop,
    Position,
    StoredOrder,
    StoredTrade,
    pack,
    redis_key,
)
from projections.query.serve import Parts, build_app
from tests.projections.query.outboxes import Outboxes

T0_US = 1_767_225_600_000_000
"""The first of January 2026, a Thursday, 00:00 UTC."""

E8 = 10**8
ALICE, BOB = 2, 3
BTC, USDT, ETH = 1, 2, 3
BTCUSDT, ETHBTC = 2, 3
BUILD = layout.FIRST_BUILD
TOKEN = "operator-word"

BTCUSDT_RULES = MarketRules(
    base_asset=BTC,
    quote_asset=USDT,
    lot=1_000,
    tick=10,
    min_price_ticks=1,
    max_price_ticks=100_000_000,
    min_lots=1,
    max_lots=90_000_000,
    market_min_lots=1,
    market_max_lots=10_000_000,
    min_notional=5 * E8,
    max_notional=9_000_000 * E8,
    bid_up_ppm=5_000_000,
    bid_down_ppm=200_000,
    ask_up_ppm=5_000_000,
    ask_down_ppm=200_000,
    collar_ppm=50_000,
    max_open_orders=200,
)
"""Steps of 0.00001 BTC and 0.01 USDT."""

ETHBTC_RULES = MarketRules(
    base_asset=ETH,
    quote_asset=BTC,
    lot=10_000,
    tick=1,
    min_price_ticks=1,
    max_price_ticks=10_000_000,
    min_lots=1,
    max_lots=90_000_000,
    market_min_lots=1,
    market_max_lots=10_000_000,
    min_notional=10_000,
    max_notional=1_000 * E8,
    bid_up_ppm=5_000_000,
    bid_down_ppm=200_000,
    ask_up_ppm=5_000_000,
    ask_down_ppm=200_000,
    collar_ppm=50_000,
    max_open_orders=200,
)


class FakeClock:
    """Wall time as the test says."""

    def __init__(self, now_us: int) -> None:
        self.time_us = now_us

    def now_us(self) -> int:
        return self.time_us

    def monotonic_s(self) -> float:
        return self.time_us / 1e6


class FakeAuthenticator:
    """Whoever sends the key `key-<user>` is that user; `mute-<user>` may not read.

    `new-<user>` becomes known once `made_known` says so.
    """

    def __init__(self, made_known: Callable[[], bool]) -> None:
        self._made_known = made_known

    def knows(self, api_key: str) -> bool:
        return api_key.startswith("key-") or (api_key.startswith("new-") and self._made_known())

    def authenticate(
        self, api_key: str, parameters: Parameters, *, client_ip: str, now_us: int
    ) -> Principal:
        kind, _, user = api_key.partition("-")
        if kind != "mute" and not self.knows(api_key):
            raise errors.api_key_refused()
        scopes = frozenset[Scope]() if kind == "mute" else frozenset([Scope.READ])
        return Principal(int(user), api_key, scopes, now_us + 5_000_000)


class Store:
    """A ClickHouse with one build, for all tests of a module: each leaves it empty."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.client: ClickHouseClient = clickhouse_client(dsn)
        current_build(self.client)
        self.filled: set[str] = set()

    def insert(self, table: str, rows: Iterable[tuple[Any, ...]]) -> None:
        self.client.insert(table, list(rows), database=layout.database(BUILD))
        self.filled.add(table)

    def empty(self) -> None:
        for table in sorted(self.filled):
            self.client.command(f"TRUNCATE TABLE {layout.database(BUILD)}.{table}")
        self.filled.clear()


class World:
    """Stores of one exchange with 2 + 2 partitions, and the query API over them."""

    def __init__(self, store: "Store", now_us: int = T0_US) -> None:
        self.redis_server = FakeServer()
        self.redis = FakeAsyncRedis(server=self.redis_server)
        self.store = store
        self.clock = FakeClock(now_us)
        self.reference = reference_data()
        self.reference_at = {
            ("accounts.ev", 0): Position(40, 40, now_us),
            ("accounts.ev", 1): Position(30, 30, now_us),
        }
        self.ends: dict[Partition, int] = defaultdict(int)
        self.told_at_start = dict.fromkeys(layout.feeding_partitions(2, 2), 0)
        self.asked_ends: list[Partition] = []
        self.outboxes = Outboxes()
        self.log_failure: Exception | None = None
        self.positions: dict[Partition, Position] = {}
        self.trades: dict[int, list[StoredTrade]] = defaultdict(list)

    async def start(self) -> TestClient:
        """The API on a loopback port; every view stands where `advance` last put it."""
        parts = Parts(
            reference=self.reference,
            reference_positions=lambda: self.reference_at,
            authenticator=FakeAuthenticator(lambda: self.reference_at["accounts.ev", 1].cseq > 30),
            end_of_log=self.end_of_log,
            open_log=self.outboxes.open,  # type: ignore[arg-type]
            told_at_start=self.told_at_start,
            redis=self.redis,
            open_clickhouse=lambda: clickhouse_client(self.store.dsn),
            clock=self.clock,
            knows_log=lambda: True,
            operator_token=TOKEN,
        )
        client = TestClient(TestServer(build_app(parts)))
        await client.start_server()
        return client

    async def end_of_log(self, topic: str, partition: int) -> int:
        await asyncio.sleep(0)
        self.asked_ends.append((topic, partition))
        if self.log_failure is not None:
            raise self.log_failure
        return self.ends[topic, partition]

    def write(self, partition: Partition, cseqs: Iterable[int]) -> None:
        """Let an outbox hold records of these sequences and nothing else."""
        self.outboxes.cseqs[partition] = list(cseqs)
        self.ends[partition] = len(self.outboxes.cseqs[partition])

    async def advance(
        self, partition: Partition, position: Position, *, history: bool = True
    ) -> None:
        """Let the views of a partition stand at `position`, those of history too if wanted."""
        self.positions[partition] = position
        cells = {name: str(value) for name, value in position._asdict().items()}
        await self.redis.hset(redis_key(BUILD, layout.position_key(*partition)), mapping=cells)
        if history:
            self.advance_history({partition: position})

    def advance_history(self, positions: Mapping[Partition, Position]) -> None:
        rows = [
            (table, *partition, *position)
            for partition, position in positions.items()
            for table in layout.TABLES
        ]
        self.store.insert("positions", rows)

    async def put(self, key: str, field: object, value: Any) -> None:
        """Set one cell."""
        text = pack(value) if isinstance(value, tuple) else str(value)
        await self.redis.hset(redis_key(BUILD, key), str(field), text)

    async def put_order(self, order: StoredOrder) -> None:
        """Let Redis have an order, open or closed."""
        name = layout.closed_key if order.state == layout.CLOSED else layout.open_key
        await self.put(name(order.user_id), order.order_id, order)

    def store_order(self, order: StoredOrder) -> None:
        """Let history have one state of an order."""
        values = order._asdict()
        place = order.user_id % 2, order.cseq, order.idx, order.updated_us
        for name in ("cseq", "idx", "updated_us"):
            del values[name]
        self.store.insert("orders", [(*place, *values.values())])

    async def put_book(
        self, market: int, bids: dict[int, int], asks: dict[int, int], sequence: int
    ) -> None:
        for name, side in ((layout.bids_key, bids), (layout.asks_key, asks)):
            for price, quantity in side.items():
                await self.put(name(market), price, quantity)
        bid, ask = max(bids, default=0), min(asks, default=0)
        top = BookTop(sequence, T0_US, bid, bids.get(bid, 0), ask, asks.get(ask, 0))
        await self.put(layout.market_key(market), "book", top)

    async def trade(self, market: int, trades: list[StoredTrade]) -> None:
        """Fold trades into all that is made of them, in Redis and in history."""
        self.trades[market] += trades
        candles, day = Candles(), Day()
        closed: dict[tuple[str, int], layout.Candle] = {}
        for trade in self.trades[market]:
            candles.fold(trade)
            day.turn(trade.time_us // MINUTE_US)
            day.fold(trade)
            field = trade.trade_id % layout.LAST_TRADES
            await self.put(layout.trades_key(market), field, trade)
            closed |= {(name, row.open_us): row for name, row in candles.take_touched()}
        for interval, candle in candles.last.items():
            await self.put(layout.candles_key(market), interval, candle)
        for minute in day.minutes.values():
            await self.put(layout.minutes_key(market), minute.minute, minute)
        await self.put(
            layout.market_key(market), "ticker", day.ticker(self.trades[market][-1].time_us)
        )
        self.store_trades(market, trades)
        self.store_candles(market, closed)

    def store_trades(self, market: int, trades: list[StoredTrade]) -> None:
        rows = [
            (
                market % 2,
                trade.trade_id,
                0,
                trade.time_us,
                market,
                *(trade.trade_id, trade.price, trade.quantity, trade.quote, trade.taker_side),
                *(trade.maker_order_id, trade.taker_order_id),
            )
            for trade in trades
        ]
        self.store.insert("trades", rows)

    def store_candles(self, market: int, candles: dict[tuple[str, int], layout.Candle]) -> None:
        rows = [
            (market % 2, candle.last_trade_id, candle.open_us, market, interval, *candle)
            for (interval, _), candle in candles.items()
        ]
        self.store.insert("candles", rows)


def reference_data() -> ReferenceData:
    """Assets, markets, fees and users as `accounts.ev` would tell them."""
    reference = ReferenceData()
    events = [
        Genesis("test", "accounts", 0, 2, 2, 1, Limits(100, 200_000, 6_000, 61_000), tiers()),
        AssetListed(b"", BTC, "BTC", "Bitcoin", 8),
        AssetListed(b"", USDT, "USDT", "Tether", 8),
        AssetListed(b"", ETH, "ETH", "Ether", 8),
        MarketListed(b"", BTCUSDT, "BTCUSDT", 1, BTCUSDT_RULES, 6_000_000),
        MarketListed(b"", ETHBTC, "ETHBTC", 1, ETHBTC_RULES, 50_000),
    ]
    events += [
        UserRegistered(b"", f"user-{user}", 1, T0_US, user, bytes(32), 0) for user in (ALICE, BOB)
    ]
    for event in events:
        reference.apply(event)
    return reference


def tiers() -> list[FeeTier]:
    return [FeeTier(0, 750, 1_000)]


def order(order_id: int, **changes: Any) -> StoredOrder:
    """A resting buy of 0.5 BTC at 60,000 by Alice, apart from `changes`."""
    usual = StoredOrder(
        order_id=order_id,
        user_id=ALICE,
        market_id=BTCUSDT,
        client_order_id=f"client-{order_id}",
        side=int(Side.BUY),
        order_type=0,
        time_in_force=0,
        price=60_000 * E8,
        quantity=E8 // 2,
        quote_quantity=0,
        filled_quantity=0,
        filled_quote=0,
        state=layout.RESTED,
        reason=-1,
        accepted_us=T0_US + order_id * 1_000_000,
        rested_us=T0_US + order_id * 1_000_000,
        updated_us=T0_US + order_id * 1_000_000,
        cseq=order_id,
        idx=0,
    )
    return usual._replace(**changes)


def closed(order_id: int, **changes: Any) -> StoredOrder:
    """The same order once it is filled."""
    filled: dict[str, Any] = {
        "state": layout.CLOSED,
        "reason": 0,
        "filled_quantity": E8 // 2,
        "filled_quote": 30_000 * E8,
    }
    return order(order_id, **(filled | changes))


def trade(trade_id: int, time_us: int, **changes: Any) -> StoredTrade:
    """A trade of 0.1 BTC at 60,000 plus its id, by a taker of its own who buys."""
    price = changes.pop("price", (60_000 + trade_id) * E8)
    quantity = changes.pop("quantity", E8 // 10)
    usual = StoredTrade(
        trade_id=trade_id,
        price=price,
        quantity=quantity,
        quote=price * quantity // E8,
        time_us=time_us,
        taker_side=int(Side.BUY),
        maker_order_id=1,
        taker_order_id=1_000 + trade_id,
    )
    return usual._replace(**changes)


def fill(trade_id: int, order_id: int, **changes: Any) -> tuple[Any, ...]:
    """A row of the table of fills: Alice buys 0.1 BTC for 6,000 USDT as taker, fee in BTC."""
    row = {
        "partition": 0,
        "cseq": trade_id,
        "idx": 0,
        "time_us": T0_US + trade_id * 1_000_000,
        "user_id": ALICE,
        "market_id": BTCUSDT,
        "trade_id": trade_id,
        "order_id": order_id,
        "client_order_id": "c",
        "side": 0,
        "role": 1,
        "price": 60_000 * E8,
        "quantity": E8 // 10,
        "quote": 6_000 * E8,
        "fee_asset": BTC,
        "fee": 10_000,
    }
    return tuple((row | changes).values())


def entry(cseq: int, event: str, asset: int, amount: int, reference: str) -> tuple[Any, ...]:
    """A row of the table of ledger entries; which accounts it moved between is told elsewhere."""
    place = (0, cseq, 0, 0, T0_US + cseq * 1_000_000)
    return (*place, ALICE, asset, 2, ALICE << 3, amount, event, reference, 0, 0)


def signed(user: int) -> dict[str, str]:
    """Headers of that user."""
    return {"X-MBX-APIKEY": f"key-{user}"}
