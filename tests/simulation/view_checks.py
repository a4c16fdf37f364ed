"""The views against the log: P1, P2 and P3, by the product's own fold and by an obvious one."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from fractions import Fraction

from domain.decider import Message
from domain.markets import MarketListed, MarketRules
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
from tests.oracles import naive_views
from tests.simulation.clickhouse import SimClickHouse, Table
from tests.simulation.log import LogWorld, Partition
from tests.simulation.projectors import fed
from tests.simulation.redis import SimRedis
from tests.simulation.world import World

PRICE_UNITS = 10**8


class Folded:
    """All that a partition comes to, folded once and record by record."""

    def __init__(self, log: LogWorld, place: Partition) -> None:
        projector = projector_for(*place)
        self.place = place
        self.events: list[tuple[int, Message]] = []
        self.cells: defaultdict[str, dict[str, str]] = defaultdict(dict)
        self.rows: defaultdict[str, list[Row]] = defaultdict(list)
        for offset, record in _records(log, place):
            self.events += [(record.time_us, message) for message in record.messages]
            changes = projector.apply([PlacedRecord(offset, record)])
            for (key, name), text in changes.cells.items():
                self.cells[key].pop(name, None)
                if text is not None:
                    self.cells[key][name] = text
            for table, rows in changes.rows.items():
                self.rows[table] += rows
        self.position: Position = projector.position


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
        yield from _check_candles(store.tables[f"{base}.candles"], fold)
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


def _check_candles(table: Table, fold: Folded) -> Iterator[str]:
    if fold.place[0] != MATCHING_EVENTS:
        return
    for _, listed in fold.events:
        if isinstance(listed, MarketListed):
            yield from _check_market(table, fold, listed.market_id, listed.rules)


def _check_market(table: Table, fold: Folded, market: int, rules: MarketRules) -> Iterator[str]:
    """P3, for markets that kept their rules."""
    # Asset decimals are equal in the simulated exchange, so that only the steps count.
    step = Fraction(rules.tick, rules.lot) * PRICE_UNITS
    for interval in ("1s", "1m", "1d"):
        rows = {
            row["open_us"]: (
                *(Fraction(row[f"{name}_price"]) / step for name in ("open", "high", "low")),
                Fraction(row["close_price"]) / step,
                Fraction(row["quantity"], rules.lot),
                row["trades"],
                Fraction(row["taker_buy_quantity"], rules.lot),
            )
            for row in table.final()
            if (row["market_id"], row["interval"]) == (market, interval)
        }
        wanted = naive_views.candles(fold.events, market, interval)
        if rows != wanted:
            yield f"P3: {interval} of market {market} must be {wanted}, was {rows}"


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
