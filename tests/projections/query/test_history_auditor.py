"""What history adds up to in the real engine, beside the fold: equal, or named after two looks."""

import asyncio
import json
import urllib.request
from collections.abc import AsyncIterator
from random import Random
from time import monotonic
from typing import Any, cast

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient
from fakeredis import FakeRedis

from infra.log import Log, LogRecord
from projections import layout
from projections.candle_sums import CandleSums
from projections.clickhouse_sink import ClickHouseSink
from projections.follower import Follower
from projections.history_auditor import HistoryAuditor
from projections.history_client import HistoryClient
from projections.view_auditor import Complaint, ViewAuditor
from tests.faults.market_views import MarketCheck
from tests.projections.list_log import ListLog
from tests.projections.query.world import BUILD, TOKEN, Store, World
from tests.projections.scenarios import busy_exchange, offer, raw

pytestmark = pytest.mark.integration
DATABASE = layout.database(BUILD)


class Stage:
    """A history that is written in steps, the API over it, and an auditor that has read it all."""

    def __init__(self, store: Store, api: TestClient, seed: int) -> None:
        self.store = store
        self.exchange = busy_exchange(seed, 150)
        self.sink = ClickHouseSink(store.client)
        self.views = ViewAuditor(1, 1, lambda _: None, Random(seed))
        url = f"http://{api.host}:{api.port}"
        self.history = HistoryAuditor(HistoryClient(url, TOKEN), self.views)
        self.rng = Random(seed)
        self.told: list[Complaint] = []
        self.followers = {t: Follower(t, 0, self.sink) for t in self.exchange.outboxes()}
        for follower in self.followers.values():
            follower.load()
        store.filled |= {*layout.TABLES, "memory", "positions"}

    def store_up_to(self, part: float) -> None:
        """Write so much of the log, in steps of random size."""
        for topic, values in self.exchange.outboxes().items():
            follower = self.followers[topic]
            records = raw(values)[follower.position.offset + 1 : int(len(values) * part)]
            while records:
                step = self.rng.randint(20, 90)
                assert offer(self.sink, follower, records[:step]) is None
                records = records[step:]

    def fold_up_to(self, part: float) -> None:
        """Read and fold so much of it in the auditor."""
        for (topic, _), fold in self.views.folds.items():
            values = self.exchange.outboxes()[topic]
            for offset in range(fold.seen, len(values)):
                fold.take(LogRecord(topic, 0, offset, -1, values[offset]))
            fold.fold_to(int(len(values) * part))

    async def rounds(self, count: int) -> list[Complaint]:
        """So many looks, without the pauses between them."""
        for _ in range(count):
            self.history._next_s = 0.0
            self.history.tend(self.told.append, self.end_of)
            assert self.history._running is not None
            await asyncio.wait([asyncio.wrap_future(self.history._running)])
            self.history.tend(self.told.append, self.end_of)
        return self.told

    def end_of(self, topic: str, _partition: int) -> int:
        """Where the log ends, whatever was read or stored of it."""
        return len(self.exchange.outboxes()[topic])

    async def settled(self) -> None:
        """Everything is written and folded, and once found right."""
        self.store_up_to(1)
        self.fold_up_to(1)
        assert await self.rounds(3) == []
        assert self.views.checks["P1"] >= 4
        assert self.views.checks["P3"] >= 16

    def spoil(self, sql: str) -> None:
        self.store.client.command(sql, settings={"mutations_sync": 2})


@pytest_asyncio.fixture
async def stage(store: Store) -> AsyncIterator[Stage]:
    world = World(store)
    api = await world.start()
    found = Stage(store, api, 4)
    yield found
    found.history.close()
    await api.close()
    store.empty()
    await world.redis.aclose()


async def test_history_that_is_behind_the_fold_or_ahead_of_it_is_no_complaint(stage, monkeypatch):
    monkeypatch.setattr("projections.history_auditor.SHOWN_WITHIN_S", 0.0)
    for stored, folded in ((0.2, 0.1), (0.3, 0.6), (0.5, 0.7), (0.9, 0.7), (1, 0.8), (1, 1)):
        stage.store_up_to(stored)
        stage.fold_up_to(folded)
        assert await stage.rounds(3) == []
    assert stage.views.checks["P1"] > 20


async def test_history_that_has_not_begun_is_late_and_one_that_is_gone_is_wrong(stage):
    stage.fold_up_to(1)
    assert await stage.rounds(3) == []
    stage.store_up_to(1)
    assert await stage.rounds(2) == []
    stage.spoil(f"TRUNCATE TABLE {DATABASE}.candles")
    told = await stage.rounds(2)
    assert {complaint.invariant for complaint in told} == {"P3"}
    assert any("candles have ended, there are none" in complaint.words for complaint in told)


@pytest.mark.parametrize(
    ("sql", "invariant", "where"),
    [
        ("ALTER TABLE {}.trades DELETE WHERE trade_id = 3", "P1", "clickhouse trades of"),
        ("ALTER TABLE {}.trades UPDATE price = price + 1 WHERE trade_id = 2", "P1", "trades"),
        ("ALTER TABLE {}.orders UPDATE client_order_id = 'x' WHERE order_id = 1", "P1", "orders"),
        ("INSERT INTO {0}.ledger_entries SELECT * REPLACE(99 AS leg) FROM {0}.ledger_entries "
         "LIMIT 1", "P1", "ledger_entries"),
        ("INSERT INTO {0}.candles SELECT * REPLACE(cseq + 1 AS cseq, 2 * quantity AS quantity) "
         "FROM {0}.candles FINAL WHERE interval = '1s' ORDER BY open_us LIMIT 1",
         "P3", "candles 1s of market 1"),
        ("INSERT INTO {0}.candles SELECT * REPLACE(cseq + 1 AS cseq, 2 * quantity AS quantity) "
         "FROM {0}.candles FINAL WHERE interval = '1M'", "P3", "candles 1M of market 1"),
    ],
)  # fmt: skip
async def test_a_row_that_is_dropped_changed_or_doubled_is_named(stage, sql, invariant, where):
    await stage.settled()
    stage.spoil(sql.format(DATABASE))
    assert await stage.rounds(1) == [], "one look may have met a switch of builds"
    (complaint,) = await stage.rounds(1)
    assert complaint.invariant == invariant
    assert where in complaint.where
    assert await stage.rounds(2) == [complaint], "it is said once"


INVENTED = "INSERT INTO {0}.{1} SELECT * REPLACE({2}) FROM {0}.{1} LIMIT 1"


@pytest.mark.parametrize("table", ["orders", "fills", "ledger_entries", "trades"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (f"{1 << 60} AS cseq", f"a row says #{1 << 60}, the log ends at #"),
        ("7 AS partition", "rows are of a partition that there is not"),
        ("-1 AS partition", "rows are of a partition that there is not"),
    ],
)
async def test_a_row_that_is_in_no_sum_is_named(stage, monkeypatch, table, change, words):
    monkeypatch.setattr("projections.history_auditor.SHOWN_WITHIN_S", 0.0)
    await stage.settled()
    stage.spoil(INVENTED.format(DATABASE, table, change))
    (complaint,) = await stage.rounds(3)
    assert complaint.invariant == "P1"
    assert complaint.where.startswith(f"clickhouse {table} of ")
    assert words in complaint.words
    assert await stage.rounds(3) == [complaint], "it is said once"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ("open_us + 9000000000 AS open_us", "the log ends at"),
        ("last_trade_id + 900 AS last_trade_id", "the log ends at"),
        ("9 AS market_id", "there was no trade"),
    ],
)
async def test_a_candle_that_the_log_does_not_have_yet_or_at_all_is_named(
    stage, monkeypatch, change, words
):
    monkeypatch.setattr("projections.history_auditor.SHOWN_WITHIN_S", 0.0)
    await stage.settled()
    stage.spoil(
        f"INSERT INTO {DATABASE}.candles SELECT * REPLACE(cseq + 1 AS cseq, {change}) "
        f"FROM {DATABASE}.candles FINAL WHERE interval = '1m' ORDER BY open_us DESC LIMIT 1"
    )
    (complaint,) = await stage.rounds(3)
    assert complaint.invariant == "P3"
    assert "candles 1m of market" in complaint.where
    assert words in complaint.words
    assert await stage.rounds(3) == [complaint], "it is said once"


async def test_a_row_whose_position_is_not_told_yet_is_honest(stage, monkeypatch):
    """As after a kill between the two, for as long as its worker is away."""
    stage.store_up_to(1)
    stage.spoil(f"TRUNCATE TABLE {DATABASE}.positions")
    topics = layout.FED_TABLES.items()
    told = [(table, topic, 0, 9, 8, 0) for topic, tables in topics for table in tables]
    stage.store.insert("positions", told)
    stage.fold_up_to(0.05)
    greatest: list[int] = []
    right = stage.history._client.tables

    def tables(*asked, **how):
        found = right(*asked, **how)
        greatest.extend(cseq for each in found.greatest.values() for cseq in each.values())
        return found

    monkeypatch.setattr(stage.history._client, "tables", tables)
    assert await stage.rounds(4) == []
    assert max(greatest) > 9, "there are such rows"
    assert stage.views.checks["P1"] > 0


async def test_a_row_beyond_the_log_is_named_once_the_log_was_read_to_its_end(stage, monkeypatch):
    stage.store_up_to(0.5)
    values = stage.exchange.outboxes()[layout.LEDGER_EVENTS]
    fold = stage.views.folds[layout.LEDGER_EVENTS, 0]
    for offset in range(len(values) // 2):
        fold.take(LogRecord(layout.LEDGER_EVENTS, 0, offset, -1, values[offset]))
    fold.fold_to(len(values) // 4)
    stage.spoil(INVENTED.format(DATABASE, "orders", f"{len(values) + 5} AS cseq"))
    assert await stage.rounds(6) == [], "it may stand in the half that was not read"
    stage.fold_up_to(0.5)
    assert await stage.rounds(6) == [], "a new leader may not show it for a moment"
    monkeypatch.setattr("projections.history_auditor.SHOWN_WITHIN_S", 0.0)
    stage.history._ahead.clear()
    told = await stage.rounds(3)
    assert [c.where for c in told] == ["clickhouse orders of ledger.ev.0 beyond the log"]


async def test_what_differed_is_looked_at_again_alone_and_at_once(stage, monkeypatch):
    await stage.settled()
    asked: list[str] = []
    told: list[int] = []
    at_once: list[bool] = []
    client, history = stage.history._client, stage.history
    right, all_candles = client.tables, client.candles

    def tables(names, upto, *, exact=False):
        asked.extend(f"{name}{' as a whole' * exact}" for name in names)
        return right(names, upto, exact=exact)

    def candles():
        asked.append("candles")
        return all_candles()

    monkeypatch.setattr(client, "tables", tables)
    monkeypatch.setattr(client, "candles", candles)
    stage.spoil(f"ALTER TABLE {DATABASE}.trades DELETE WHERE trade_id = 3")
    everything = ["orders", "fills", "ledger_entries", "trades", "candles"]
    for expected in (everything, ["trades as a whole"], everything):
        told.append(len(await stage.rounds(1)))
        at_once.append(history._next_s <= monotonic())
        assert asked == expected
        asked.clear()
    assert (told, at_once) == ([0, 1, 1], [True, False, False])


async def test_rows_that_were_stored_twice_are_no_complaint_and_hide_none(stage):
    await stage.settled()
    client = stage.store.client
    client.command(f"SYSTEM STOP MERGES {DATABASE}.trades")
    try:
        stage.spoil(f"INSERT INTO {DATABASE}.trades SELECT * FROM {DATABASE}.trades LIMIT 2")
        exact = []
        for _ in range(5):
            assert await stage.rounds(1) == []
            exact.append(bool(stage.history._doubts))
        assert exact == [True, False, False, False, False], "a table is read as a whole once"
        stage.spoil(
            f"INSERT INTO {DATABASE}.trades SELECT * REPLACE(trade_id + 1000 AS trade_id) "
            f"FROM {DATABASE}.trades LIMIT 1"
        )
        assert await stage.rounds(1) == [], "nothing is said of a table that was read by parts"
        (complaint,) = await stage.rounds(1)
        assert "clickhouse trades of" in complaint.where
        assert await stage.rounds(4) == [complaint]
        assert not stage.history._doubts, "what is being built anew is not read as a whole"
    finally:
        client.command(f"SYSTEM START MERGES {DATABASE}.trades")


async def test_a_doubt_whose_answer_never_comes_stops_no_other_check(stage, monkeypatch):
    await stage.settled()
    client = stage.store.client
    client.command(f"SYSTEM STOP MERGES {DATABASE}.trades")
    right = stage.history._client.tables

    def too_slow(names, upto, *, exact=False):
        if exact:
            raise TimeoutError
        return right(names, upto)

    monkeypatch.setattr(stage.history._client, "tables", too_slow)
    try:
        stage.spoil(f"INSERT INTO {DATABASE}.trades SELECT * FROM {DATABASE}.trades LIMIT 2")
        assert await stage.rounds(1) == []
        with pytest.raises(TimeoutError):
            await stage.rounds(1)
        stage.spoil(f"TRUNCATE TABLE {DATABASE}.candles")
        assert await stage.rounds(1) == []
        with pytest.raises(TimeoutError):
            await stage.rounds(1)
        assert {complaint.invariant for complaint in await stage.rounds(1)} == {"P3"}
    finally:
        client.command(f"SYSTEM START MERGES {DATABASE}.trades")


async def test_a_trade_that_is_on_its_way_to_history_is_no_doubled_candle(stage):
    stage.store_up_to(0.97)
    stage.fold_up_to(1)
    assert await stage.rounds(3) == []
    stage.spoil(
        f"INSERT INTO {DATABASE}.candles SELECT * REPLACE(cseq + 1 AS cseq, 2 * quantity AS "
        f"quantity) FROM {DATABASE}.candles FINAL WHERE interval = '1M'"
    )
    assert [c.invariant for c in await stage.rounds(2)] == ["P3"]


async def test_turnovers_beyond_64_bits_add_up_here_as_there(stage):
    """Here sums are kept as 64 bits hold them, there as they are."""
    sums, series = CandleSums(), (77, "1M")
    for number, turnover in enumerate((1 << 63, 5 << 63, 1 << 65), 1):
        prices, trades = (1, 1, 1, 1), (turnover, turnover, 1, turnover, turnover)
        candle = layout.Candle(number, *prices, *trades, 1, 1)
        rows = [(0, number, 0, *series, *candle)]
        stage.store.insert("candles", rows)
        sums.add(rows)
    told = (await asyncio.to_thread(stage.history._client.candles))[series]
    assert told.last == candle
    assert sums.complaint(series, told, {}) == ""
    wrong = told._replace(total=(*told.total[:-1], told.total[-1] + 1))
    assert "must add up to" in sums.complaint(series, wrong, {})


async def test_naive_folds_of_markets_judge_the_engine_as_well(stage):
    """As the fault runs do: equal where all is right, and named where a row is gone."""
    log = cast(Log, ListLog(stage.exchange.outboxes))
    check = MarketCheck(1, log, FakeRedis(), stage.history._client, 0.2)
    stage.store_up_to(1)
    assert await asyncio.to_thread(lambda: [*check.history_differs()]) == []
    stage.spoil(f"DELETE FROM {DATABASE}.trades WHERE trade_id = 3")
    stage.spoil(f"DELETE FROM {DATABASE}.candles WHERE interval = '4h'")
    said = await asyncio.to_thread(lambda: [*check.history_differs()])
    assert [each.split(" must ")[0] for each in said] == [
        "P1: trades of matching.ev.0",
        "P3: candles 4h of market 1:",
    ]


async def test_only_an_operator_is_told(stage):
    path = "/x/v1/audit/history?tables=trades&upto=0:1"

    def ask(token: str, path: str) -> Any:
        url = stage.history._client._url + path
        request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})
        try:
            with urllib.request.urlopen(request) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            return json.load(error)["code"]

    stage.store_up_to(1)
    found = await asyncio.to_thread(ask, TOKEN, path)
    assert found["positions"] == [[0, len(stage.exchange.matching.values)]]
    assert await asyncio.to_thread(ask, "guess", path) == -2015
    wrongs = ("users&upto=0:1", "trades,fills&upto=0:1", "trades&upto=0", "trades&upto=0:1;drop")
    for wrong in wrongs:
        code = await asyncio.to_thread(ask, TOKEN, f"/x/v1/audit/history?tables={wrong}")
        assert code in (-1100, -1130)
