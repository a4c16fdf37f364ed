"""The views against the log: P1, P2 and P3, by the product's own fold and by obvious ones.

The product's fold has every key and row, and is wrong where the projector is. What shares nothing
with it knows balances, and of markets all but volatility and risk samples; it does not know the
other views of users.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from domain.decider import Message
from infra.log import Partition
from projections.changes import PlacedRecord, Row
from projections.follower import projector_for
from projections.layout import (
    BUILD_KEY,
    FED_TABLES,
    FIRST_BUILD,
    LEDGER_EVENTS,
    MATCHING_EVENTS,
    TABLES,
    Balance,
    MarketRisk,
    Position,
    Ticker,
    UserRisk,
    database,
    position_key,
    redis_key,
    unpack,
)
from schemas.record import Record, decode_envelope, decode_record
from tests.oracles import naive_markets, naive_views
from tests.oracles.naive_markets import INTERVALS, Market
from tests.simulation.clickhouse import SimClickHouse, Table
from tests.simulation.log import LogWorld
from tests.simulation.projectors import fed
from tests.simulation.redis import SimRedis
from tests.simulation.world import World

TRADE_COLUMNS = (
    *("trade_id", "price", "quantity", "quote", "time_us", "taker_side"),
    *("maker_order_id", "taker_order_id"),
)
CANDLE_COLUMNS = (
    *("open_us", "open_price", "high_price", "low_price", "close_price", "quantity", "quote"),
    *("trades", "taker_buy_quantity", "taker_buy_quote", "first_trade_id", "last_trade_id"),
)
"""The columns of history in the order of what `naive_markets` tells."""


class Folded:
    """All that a partition comes to, folded once and record by record; `markets` by naive folds."""

    def __init__(self, log: LogWorld, place: Partition) -> None:
        projector = projector_for(*place)
        self.place = place
        self.events: list[tuple[int, Message]] = []
        self.cells: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)
        now_us = 0
        for offset, record in _records(log, place):
            now_us = record.time_us
            self.events += [(record.time_us, message) for message in record.messages]
            changes = projector.apply([PlacedRecord(offset, record)])
            for (key, name), text in changes.cells.items():
                self.cells[key].pop(name, None)
                if text is not None:
                    self.cells[key][name] = text
            for table, rows in changes.rows.items():
                self.rows[table] += rows
        self.position: Position = projector.position
        listed = naive_markets.market_ids(self.events) if place[0] == MATCHING_EVENTS else ()
        self.markets = [Market(self.events, market_id, now_us) for market_id in listed]


def check_redis(store: SimRedis, folds: list[Folded]) -> Iterator[str]:
    """P1, P2: the store holds what the log comes to, and says that it stands at its end."""
    if store.texts.get(BUILD_KEY) != FIRST_BUILD:
        yield f"P1: the build must be {FIRST_BUILD}, was {store.texts.get(BUILD_KEY)}"
    expected: dict[str, dict[str, str]] = {}
    for fold in folds:
        name = position_key(*fold.place)
        told = store.hashes.get(redis_key(FIRST_BUILD, name), {}).get("cseq")
        if told != str(fold.position.cseq):
            yield f"P2: {name} must be {fold.position.cseq}, was {told}"
        expected |= {redis_key(FIRST_BUILD, key): cells for key, cells in fold.cells.items()}
        yield from _check_balances(store, fold)
        yield from _check_markets(store, fold)
    for key in sorted(expected.keys() | store.hashes.keys()):
        if ":position:" in key:
            continue
        wanted, found = _timeless(expected.get(key, {})), _timeless(store.hashes.get(key, {}))
        if wanted != found:
            names = [n for n in wanted.keys() | found.keys() if wanted.get(n) != found.get(n)]
            name = min(names)
            yield f"P1: {key} {name} must be {wanted.get(name)}, was {found.get(name)}"


def check_clickhouse(store: SimClickHouse, folds: list[Folded]) -> Iterator[str]:
    """P1, P2, P3: each row once, as the log has it; candles are the sums of their trades."""
    base = database(FIRST_BUILD)
    expected: dict[str, dict[Row, Row]] = {name: {} for name in TABLES}
    for fold in folds:
        for name, rows in fold.rows.items():
            for row in rows:
                key, values = _keyed(store.tables[f"{base}.{name}"], row)
                expected[name][key] = values
        positions = store.tables[f"{base}.positions"].final()
        told = {
            str(row["table_name"]): Position(row["cseq"], row["offset"], row["time_us"])
            for row in positions
            if (row["topic"], row["partition"]) == fold.place
        }
        tables = FED_TABLES[fold.place[0]]
        if {name: at.cseq for name, at in told.items()} != dict.fromkeys(
            tables, fold.position.cseq
        ):
            yield f"P2: {fold.place} must stand at {fold.position}, was at {told}"
        for market in fold.markets:
            yield from _check_trades(store.tables[f"{base}.trades"], market)
            yield from _check_candles(store.tables[f"{base}.candles"], market)
    for name, rows_by_key in expected.items():
        table = store.tables[f"{base}.{name}"]
        found = dict(_keyed(table, tuple(row.values())) for row in table.final())
        for key in sorted(found.keys() | rows_by_key.keys()):
            if found.get(key) != rows_by_key.get(key):
                wanted = rows_by_key.get(key)
                yield f"P1: {name} {key} must be {wanted}, was {found.get(key)}"
                break


def folded(world: World) -> list[Folded]:
    """What each feeding partition comes to."""
    return [Folded(world.log, place) for place in fed(world)]


def _check_balances(store: SimRedis, fold: Folded) -> Iterator[str]:
    """P1 by an obvious fold that shares nothing with the projector."""
    if fold.place[0] != LEDGER_EVENTS:
        return
    for (user, asset), amounts in naive_views.balances(fold.events).items():
        text = store.hashes.get(redis_key(FIRST_BUILD, f"balances:{user}"), {}).get(str(asset))
        found = unpack(Balance, text) if text is not None else Balance(0, 0)
        if found != amounts:
            yield f"P1: user {user} must have {amounts} of {asset}, was {found}"


def _check_markets(store: SimRedis, fold: Folded) -> Iterator[str]:
    """P1 of depth, tickers, last trades and last candles, by an obvious fold as well."""
    for market in fold.markets:
        wanted = market.cells()
        found = {name: store.hashes.get(redis_key(FIRST_BUILD, name), {}) for name in wanted}
        yield from (f"P1: {each}" for each in naive_markets.cells_differ(wanted, found))


def _check_trades(table: Table, market: Market) -> Iterator[str]:
    """P1 of the market's trades, by an obvious fold."""
    found = sorted(_read(table, market, TRADE_COLUMNS))
    if found != market.trades:
        odd = min({*found} ^ {*market.trades}, default=())
        yield f"P1: trades of market {market.market_id} must be its events', were not at {odd}"


def _check_candles(table: Table, market: Market) -> Iterator[str]:
    """P3, in all intervals, by an obvious fold."""
    for interval in INTERVALS:
        rows = _read(table, market, CANDLE_COLUMNS, interval=interval)
        found = {row[0]: row for row in rows}
        if found != (wanted := market.candles(interval)):
            yield f"P3: {interval} of market {market.market_id} must be {wanted}, was {found}"


def _read(table: Table, market: Market, columns: Sequence[str], **where: str) -> list[Row]:
    """Columns of the market's rows, as a read with FINAL has them."""
    asked = {"market_id": market.market_id, **where}
    return [
        tuple(int(row[name]) for name in columns)
        for row in table.final()
        if all(row[name] == value for name, value in asked.items())
    ]


def _timeless(cells: Mapping[str, str]) -> dict[str, object]:
    """Cells without the moments at which they were told, which depend on how steps were cut."""
    found: dict[str, object] = dict(cells)
    if "ticker" in cells:
        found["ticker"] = unpack(Ticker, cells["ticker"])[2:]
        risk = unpack(MarketRisk, cells["risk"])
        found["risk"] = (risk.bid_notional, risk.ask_notional, risk.last_price)
    elif "risk" in cells:
        user = unpack(UserRisk, cells["risk"])
        found["risk"] = (user.exposure, user.open_notional, user.volume_24h)
    return found


def _keyed(table: Table, row: Row) -> tuple[Row, Row]:
    """The row's key, and what it says apart from when candles and samples were written."""
    values = dict(zip(table.columns, row, strict=True))
    key = tuple(values[name] for name in table.keys)
    if table.version:
        return key, tuple(v for n, v in values.items() if n not in ("cseq", "time_us"))
    return key, row


def _records(log: LogWorld, place: Partition) -> Iterator[tuple[int, Record]]:
    """All records of an outbox from the first on, each once."""
    cseq = 0
    for offset, value in enumerate(log.partitions[place]):
        if decode_envelope(value).cseq == cseq + 1:
            cseq += 1
            yield offset, decode_record(value)
