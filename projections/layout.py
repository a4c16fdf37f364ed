"""Names and shapes of everything the projections store: cells in Redis, tables in ClickHouse.

Redis. Every view is a hash of *cells* (key, field, text). All keys of a build start with
`lb:<build>:`; `lb:build` names the build that readers read. A key is fed by one partition of one
topic, in the same atomic step as that partition's position. Texts are whole numbers in decimal or
compact JSON lists in the field order of the named tuples below (`pack`, `unpack`).

| key | field | text | fed by |
|---|---|---|---|
| position:<topic>:<p> | cseq, offset, time_us | last applied record | itself |
| index:<topic>:<p> | (a set) | keys that the projector loads again, without prefix | itself |
| reference:<topic>:<p> | asset:<id>, market:<id>, price:<market> | known | itself |
| balances:<user> | <asset> | `Balance` | ledger.ev.p |
| open:<user> | <order> | `StoredOrder`, accepted or resting | ledger.ev.p |
| closed:<user> | <order> | `StoredOrder`, the last `CLOSED_ORDERS` that ended | ledger.ev.p |
| account:<user> | windows | `OrderWindows` | ledger.ev.p |
| account:<user> | risk | `UserRisk` | ledger.ev.p |
| account:<user> | updated_us | log time of the last change of a balance | ledger.ev.p |
| account:<user> | active_minute | log minute of the last event | ledger.ev.p |
| volume:<user> | <minute>:<quote asset> | quote units traded in that log minute | ledger.ev.p |
| bids:<market>, asks:<market> | <price> | base units at that price | matching.ev.m |
| market:<market> | book | `BookTop` | matching.ev.m |
| market:<market> | ticker | `Ticker` | matching.ev.m |
| market:<market> | risk | `MarketRisk` | matching.ev.m |
| candles:<market> | <interval> | `Candle`, the last one with a trade | matching.ev.m |
| minutes:<market> | <minute> | `Minute`, the last day's | matching.ev.m |
| trades:<market> | <trade_id mod LAST_TRADES> | `StoredTrade` | matching.ev.m |

A *price* is stored in 10^-8 quote per base (exact: see `domain.money.is_writable`), a quantity in
base units, a notional in quote units, so that a reader needs no market rules and a change of lot
or tick changes no history. Where a ledger does not know the decimals yet see `StoredOrder`; a
fill's price is 0 then, and risk samples lack it. A *minute* is log time in µs // 60,000,000.

Channels: after each apply the text of the new cseq is published on `lb:<build>:applied:<topic>:<p>`
and the names of the changed keys, separated by spaces, on `lb:<build>:changed:<topic>:<p>`.

ClickHouse. One database per build, `logbourse_<build>`; `logbourse.builds` names the current one
(`CURRENT_BUILD_SQL`). The tables are made by migrations/*.sql. Each row carries partition, cseq,
message index and log time; reads use FINAL. `positions` says how far each table stands.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeVar

import orjson

from infra.log import Partition

LEDGER_EVENTS = "ledger.ev"
MATCHING_EVENTS = "matching.ev"

CLOSED_ORDERS = 200
"""Closed orders that Redis remembers per user; older ones are in ClickHouse."""

LAST_TRADES = 1_000
"""Trades that Redis remembers per market."""

DAY_MINUTES = 1_440

WRITE_ONLY = ("trades:",)
"""Prefixes of keys that no projector loads again."""

BUILD_KEY = "lb:build"
"""Holds the id (decimal text) of the build that readers read and live workers feed."""

REBUILD_LOCK = "lb:rebuild"
"""Held by who makes a new build in Redis: two would write, and remove, the same one."""

FIRST_BUILD = "1"

CURRENT_BUILD_SQL = "SELECT argMax(build, flipped) FROM logbourse.builds"
"""Answers the id of the current build; empty if there is none yet."""

COLUMNS_SQL = """
    SELECT name, type FROM system.columns
    WHERE database = {database:String} AND table = {table:String} ORDER BY position
"""
"""Answers the names and types of a table's columns, as rows have them."""

FED_TABLES = {
    LEDGER_EVENTS: ("orders", "fills", "ledger_entries", "risk_samples"),
    MATCHING_EVENTS: ("trades", "candles", "risk_samples"),
}
"""Tables of a build that each topic feeds; `positions` has a row per table and partition."""

SUMMED = {LEDGER_EVENTS: ("orders", "fills", "ledger_entries"), MATCHING_EVENTS: ("trades",)}
"""Those of them whose rows belong to one record each, so that they can be added up by sequence."""

TABLES = tuple(dict.fromkeys(table for tables in FED_TABLES.values() for table in tables))
"""Tables of a build that hold history; `memory` and `positions` stand beside them."""


class Position(NamedTuple):
    """The last record of a partition that a view contains; cseq 0 is before the first.

    `offset` is that record's Kafka offset (-1 before the first): a hint where to read on.
    """

    cseq: int
    offset: int
    time_us: int


NOWHERE = Position(0, -1, 0)


class NoPosition(Exception):
    """What stands where a partition's position belongs is none; `args[0]` says what it is."""


class Balance(NamedTuple):
    """What a user has of an asset, in its smallest units."""

    available: int
    held: int


ACCEPTED, RESTED, CLOSED = 0, 1, 2
"""`StoredOrder.state`: on its way to the book, on the book, ended."""


class StoredOrder(NamedTuple):
    """An order as it stands; the enums of `domain.orders.messages` as their numbers.

    `price` is 0 for MARKET. Below 0 it is minus the quote units that all of the order costs: the
    ledger was told of the market before its assets, and whoever knows their decimals has the price
    from that and `quantity`, exactly. `quantity` (base units) is 0 for orders by quote,
    `quote_quantity` 0 for orders by quantity. `reason` is the `CloseReason` once `state` is CLOSED,
    -1 before.
    `rested_us` is 0 until it rests. (`cseq`, `idx`) is the event that said so last.
    """

    order_id: int
    user_id: int
    market_id: int
    client_order_id: str
    side: int
    order_type: int
    time_in_force: int
    price: int
    quantity: int
    quote_quantity: int
    filled_quantity: int
    filled_quote: int
    state: int
    reason: int
    accepted_us: int
    rested_us: int
    updated_us: int
    cseq: int
    idx: int


class OrderWindows(NamedTuple):
    """Accepted orders in the log-time windows; a count is over once its window number is past.

    The window numbers are log time // 10 s and log time // 1 day.
    """

    window_10s: int
    count_10s: int
    window_1d: int
    count_1d: int


class UserRisk(NamedTuple):
    """What the user stands to lose, as of log time `time_us`, from `ledger.ev` alone.

    `exposure`: asset → available + held. `open_notional`: quote asset → notional of what open
    orders may still trade. Orders accepted and cancels asked for in the log minute `minute` and
    in the one before. `volume_24h`: quote asset → quote units traded in the last 1,440 minutes.
    Asset ids are decimal texts.
    """

    time_us: int
    exposure: dict[str, int]
    open_notional: dict[str, int]
    minute: int
    orders_this_minute: int
    cancels_this_minute: int
    orders_last_minute: int
    cancels_last_minute: int
    volume_24h: dict[str, int]


class BookTop(NamedTuple):
    """Sequence and best prices of a book; a side that is empty has price and quantity 0."""

    book_seq: int
    time_us: int
    bid_price: int
    bid_quantity: int
    ask_price: int
    ask_quantity: int


class Ticker(NamedTuple):
    """The last 1,440 log minutes, the running one included, as of log time `time_us`.

    With no trade in them `trades`, quantities and trade ids are 0 and all prices are `last_price`.
    `previous_close` is the price before them (`open_price` if there is none).
    """

    time_us: int
    open_us: int
    open_price: int
    high_price: int
    low_price: int
    last_price: int
    last_quantity: int
    previous_close: int
    quantity: int
    quote: int
    trades: int
    first_trade_id: int
    last_trade_id: int


class MarketRisk(NamedTuple):
    """Notional on each side of the book, and how much trade prices moved, as of `time_us`.

    The volatility of a log minute is the root of the sum of squared changes from trade to trade,
    in ppm: of the last finished minute, and of the running one so far.
    """

    time_us: int
    bid_notional: int
    ask_notional: int
    volatility_1m_ppm: int
    volatility_now_ppm: int
    last_price: int


class Candle(NamedTuple):
    """Trades of one interval of one market. `open_us` is the interval's first microsecond."""

    open_us: int
    open_price: int
    high_price: int
    low_price: int
    close_price: int
    quantity: int
    quote: int
    trades: int
    taker_buy_quantity: int
    taker_buy_quote: int
    first_trade_id: int
    last_trade_id: int


class Minute(NamedTuple):
    """Trades of one log minute; `squares` sums the squared changes of price, in 10^-9 of it."""

    minute: int
    open_price: int
    high_price: int
    low_price: int
    close_price: int
    quantity: int
    quote: int
    trades: int
    first_trade_id: int
    last_trade_id: int
    squares: int


class StoredTrade(NamedTuple):
    """A trade; `taker_side` as `domain.orders.messages.Side`."""

    trade_id: int
    price: int
    quantity: int
    quote: int
    time_us: int
    taker_side: int
    maker_order_id: int
    taker_order_id: int


Shape = TypeVar("Shape", bound=tuple[Any, ...])


def pack(value: tuple[Any, ...]) -> str:
    """The text of a cell: a JSON list."""
    plain = tuple(value)  # orjson leaves named tuples to others
    try:
        return orjson.dumps(plain).decode()
    except TypeError:
        # A sum of amounts may have more than the 64 bits that orjson knows.
        return json.dumps(plain, separators=(",", ":"))


def unpack(shape: type[Shape], text: str | bytes) -> Shape:
    """The named tuple that `pack` wrote."""
    return shape(*json.loads(text))


def feeding_partitions(ledger_partitions: int, matching_partitions: int) -> list[Partition]:
    """All partitions that feed views."""
    ledgers = [(LEDGER_EVENTS, p) for p in range(ledger_partitions)]
    return ledgers + [(MATCHING_EVENTS, m) for m in range(matching_partitions)]


def redis_key(build: str, name: str) -> str:
    """The full name of a key, such as `lb:1:balances:7`."""
    return f"lb:{build}:{name}"


def position_key(topic: str, partition: int) -> str:
    """Where the partition's position stands: fields cseq, offset, time_us."""
    return f"position:{topic}:{partition}"


def position_of(stored: Mapping[str, str]) -> Position:
    """The position in the hash at `position_key`, NOWHERE in an empty one. Raises `NoPosition`."""
    try:
        return Position(*(int(stored[field]) for field in Position._fields)) if stored else NOWHERE
    except (KeyError, ValueError):
        raise NoPosition(f"holds {str(dict(stored))[:120]}") from None


def index_key(topic: str, partition: int) -> str:
    """The set of keys that the partition's projector loads again: not those in `WRITE_ONLY`."""
    return f"index:{topic}:{partition}"


def reference_key(topic: str, partition: int) -> str:
    """What the partition's projector knows of assets, markets and reference prices."""
    return f"reference:{topic}:{partition}"


def applied_channel(build: str, topic: str, partition: int) -> str:
    """The channel that tells each new cseq, as decimal text."""
    return redis_key(build, f"applied:{topic}:{partition}")


def changed_channel(build: str, topic: str, partition: int) -> str:
    """The channel that tells the names of the changed keys after each apply."""
    return redis_key(build, f"changed:{topic}:{partition}")


def database(build: str) -> str:
    """The ClickHouse database of a build."""
    return f"logbourse_{build}"


def balances_key(user_id: int) -> str:
    """Asset id → `Balance`."""
    return f"balances:{user_id}"


def open_key(user_id: int) -> str:
    """Order id → `StoredOrder` of what is not closed."""
    return f"open:{user_id}"


def closed_key(user_id: int) -> str:
    """Order id → `StoredOrder` of the last `CLOSED_ORDERS` that closed."""
    return f"closed:{user_id}"


def account_key(user_id: int) -> str:
    """Fields windows (`OrderWindows`), risk (`UserRisk`), updated_us, active_minute."""
    return f"account:{user_id}"


def volume_key(user_id: int) -> str:
    """`<minute>:<quote asset>` → quote units traded."""
    return f"volume:{user_id}"


def bids_key(market_id: int) -> str:
    """Price → base units wanted."""
    return f"bids:{market_id}"


def asks_key(market_id: int) -> str:
    """Price → base units offered."""
    return f"asks:{market_id}"


def market_key(market_id: int) -> str:
    """Fields book (`BookTop`), ticker (`Ticker`), risk (`MarketRisk`)."""
    return f"market:{market_id}"


def candles_key(market_id: int) -> str:
    """Interval → `Candle`."""
    return f"candles:{market_id}"


def minutes_key(market_id: int) -> str:
    """Minute → `Minute`."""
    return f"minutes:{market_id}"


def trades_key(market_id: int) -> str:
    """Trade id mod `LAST_TRADES` → `StoredTrade`."""
    return f"trades:{market_id}"
