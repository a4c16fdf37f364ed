"""History in the real engine: exact counts whatever crashes between an insert and its answer."""

from collections.abc import Iterator, Mapping
from itertools import count
from random import Random
from typing import cast

import pytest

from domain.orders.messages import Side
from infra.clickhouse import ClickHouseClient, clickhouse_client
from projections.clickhouse_builds import MIGRATIONS, make_build, remove_build, statements
from projections.clickhouse_sink import NOT_REMEMBERED, REMEMBER_EVERY_S, ClickHouseSink
from projections.follower import Follower, offer_all
from projections.layout import (
    FED_TABLES,
    LEDGER_EVENTS,
    MATCHING_EVENTS,
    TABLES,
    Position,
    database,
)
from tests.oracles import naive_views
from tests.projections.crashing_sink import CrashingSink, live_and_die
from tests.projections.dict_sink import Crash, DictSink
from tests.projections.scenarios import busy_exchange, feed, offer, raw
from tests.projections.small_exchange import LOT, MARKET, SmallExchange
from tests.simulation.clickhouse import Client as SimulatedClient
from tests.simulation.clickhouse import SimClickHouse
from tests.simulation.faults import Faults

pytestmark = pytest.mark.integration
numbers = count(100)


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ClickHouseClient]:
    """One for a module, since a process can have but one directory open at a time."""
    found = clickhouse_client(f"chdb://{tmp_path_factory.mktemp('history')}/store")
    yield found
    found.close()


@pytest.fixture
def build(client: ClickHouseClient) -> Iterator[str]:
    name = str(next(numbers))
    yield name
    remove_build(client, name)


def rows(client, build, table):
    name = f"{database(build)}.{table}"
    columns = client.query(f"SELECT * FROM {name} LIMIT 0").column_names
    order = ", ".join(columns)
    return client.query(f"SELECT * FROM {name} FINAL ORDER BY {order}").result_rows


def check(client, build, exchange: SmallExchange):
    """Every table holds what one run without a crash writes."""
    model = DictSink()
    feed(exchange, model)
    for table in ("trades", "orders", "fills", "ledger_entries", "risk_samples"):
        assert rows(client, build, table) == sorted(model.rows[table]), table
    naive = naive_views.trades(exchange.matching.events, MARKET)
    sums = client.query(
        f"SELECT interval, sum(quantity), sum(trades) FROM {database(build)}.candles FINAL "
        "GROUP BY interval"
    ).result_rows
    lots = sum(trade.lots for _, trade in naive)
    assert len(sums) == 16
    assert {(quantity, trades) for _, quantity, trades in sums} == {(lots * LOT, len(naive))}


def test_tables_hold_every_event_once(client, build):
    exchange = busy_exchange(1, 200)
    feed(exchange, ClickHouseSink(client, build), 60)
    check(client, build, exchange)


@pytest.mark.parametrize("after_insert", [False, True])
def test_p3_counts_are_exact_after_a_crash_at_every_insert(client, build, after_insert):
    exchange = busy_exchange(2, 120)
    call_s = REMEMBER_EVERY_S / 3
    live_and_die(client, build, exchange, after_insert=after_insert, call_s=call_s)
    check(client, build, exchange)


def test_history_of_the_former_version_goes_on(client, build):
    """Its cells came with each apply, with a position for each table, which a view copied."""
    exchange, sink = busy_exchange(8, 60), ClickHouseSink(client, build)
    feed(exchange, sink)
    stood = sink.load(LEDGER_EVENTS, 0)
    name = database(build)
    was = client.query(f"SELECT * FROM {name}.memory FINAL WHERE cell = 'position'").result_rows
    client.command(f"DELETE FROM {name}.memory WHERE cell = 'position'")
    client.command(f"TRUNCATE TABLE {name}.positions")
    former = (MIGRATIONS / "0001_tables.sql").read_text().replace("{database}", name)
    client.command(statements(former)[-1])
    client.command(f"DELETE FROM {name}.migrations WHERE name > '0002'")
    told = [
        (topic, partition, cell, table, text, gone, cseq)
        for topic, partition, cell, _, text, gone, cseq in was
        for table in FED_TABLES[topic]
    ]
    client.insert("memory", told, database=name)
    client.command(f"ALTER TABLE {name}.candles MODIFY COLUMN quote Int64")
    client.command(f"ALTER TABLE {name}.trades MODIFY COLUMN price Int64")
    later = ["0002_positions.sql", "0003_turnover.sql", "0004_prices.sql"]
    assert make_build(client, build) == later
    after = ClickHouseSink(client, build)
    assert after.load(LEDGER_EVENTS, 0) == stood
    assert after.reached(LEDGER_EVENTS, 0) == stood[0]
    for _ in range(20):
        exchange.place(1, Side.BUY, 5_999_000, 3)
    feed(exchange, after)
    check(client, build, exchange)
    assert after.load(LEDGER_EVENTS, 0)[0].cseq == len(exchange.outboxes()[LEDGER_EVENTS])


def test_a_partition_that_stands_elsewhere_holds_up_no_other(client, build):
    exchange, sink = busy_exchange(5, 60), ClickHouseSink(client, build)
    followers = [Follower(topic, 0, sink) for topic in exchange.outboxes()]
    offers = {
        follower: raw(exchange.outboxes()[follower.topic])[follower.load() :]
        for follower in followers
    }
    sink._stands[followers[0].topic, 0] = ("another", 0)
    assert offer_all(sink, offers) == {followers[0]: 0}
    stands = [len(offers[follower]) * (follower is followers[1]) for follower in followers]
    assert [follower.position.cseq for follower in followers] == stands
    assert offer_all(sink, {followers[0]: offers[followers[0]]}) == {}
    check(client, build, exchange)


def test_positions_tell_where_each_table_stands(client, build):
    exchange, sink = busy_exchange(3, 40), ClickHouseSink(client, build)
    feed(exchange, sink)
    wanted: dict[tuple[str, str, int], tuple[int, int, int]] = {}
    for topic, tables in FED_TABLES.items():
        last = len(exchange.outboxes()[topic])
        assert sink.load(topic, 0)[0] == Position(last, last - 1, exchange.time_us)
        wanted |= {(table, topic, 0): (last, last - 1, exchange.time_us) for table in tables}
    found = client.query(
        f"SELECT table_name, topic, partition, cseq, offset, time_us "
        f"FROM {database(build)}.positions FINAL"
    ).result_rows
    assert {row[:3]: row[3:] for row in found} == wanted


def test_what_was_stored_is_not_stored_again(client, build):
    exchange, sink = busy_exchange(4, 40), ClickHouseSink(client, build)
    feed(exchange, sink)
    late = Follower(MATCHING_EVENTS, 0, sink)
    assert late.load() == len(exchange.outboxes()[MATCHING_EVENTS])
    before = [rows(client, build, table) for table in TABLES]
    assert offer(sink, late, raw(exchange.outboxes()[MATCHING_EVENTS])) is None
    assert [rows(client, build, table) for table in TABLES] == before


@pytest.mark.parametrize("alone", [True, False])
def test_only_who_writes_alone_removes_what_went(client, build, alone, monkeypatch):
    monkeypatch.setattr("projections.clickhouse_sink.CLEAN_AFTER", 20)
    exchange, model = busy_exchange(9, 400), DictSink()
    sink = ClickHouseSink(client, build, count(0.0, REMEMBER_EVERY_S).__next__, alone=alone)
    feed(exchange, sink)
    feed(exchange, model)
    stored = f"FROM {database(build)}.memory"
    gone = client.query(f"SELECT uniqExact(cell, field) {stored} WHERE gone").result_rows[0][0]
    live = client.query(f"SELECT count() {stored} FINAL").result_rows[0][0]
    assert (gone < max(20, live)) is alone, (gone, live)
    cells: dict[str, Mapping[str, str]] = {}
    for topic, values in exchange.outboxes().items():
        position, found = sink.load(topic, 0)
        assert position.cseq == len(values)
        cells |= found
    wanted = {key: texts for key, texts in model.cells.items() if texts}
    assert cells == {key: wanted[key] for key in wanted if not key.startswith(NOT_REMEMBERED)}


def test_what_went_in_former_lives_is_removed_too(client, build, monkeypatch):
    monkeypatch.setattr("projections.clickhouse_sink.CLEAN_AFTER", 30)
    exchange = busy_exchange(9, 400)
    stored = f"FROM {database(build)}.memory"
    for topic, values in exchange.outboxes().items():
        records = raw(values)
        for start in range(0, len(records), 10):
            sink = ClickHouseSink(client, build, alone=True)
            follower = Follower(topic, 0, sink)
            offer(sink, follower, records[follower.load() : start + 10])
    gone = client.query(f"SELECT uniqExact(cell, field) {stored} WHERE gone").result_rows[0][0]
    live = client.query(f"SELECT count() {stored} FINAL").result_rows[0][0]
    assert gone < max(30, live) + 20, (gone, live)


def test_who_cannot_remove_what_went_goes_on(client, build, monkeypatch):
    monkeypatch.setattr("projections.clickhouse_sink.CLEAN_AFTER", 1)
    monkeypatch.setattr("projections.clickhouse_sink.CLEAN_SQL", ("OPTIMIZE TABLE nothing",))
    exchange = busy_exchange(9, 100)
    feed(exchange, ClickHouseSink(client, build, count(0.0, 2.0).__next__, alone=True))
    check(client, build, exchange)


def test_migrations_run_once(client, build):
    assert make_build(client, build) == sorted(path.name for path in MIGRATIONS.glob("*.sql"))
    assert make_build(client, build) == []


def test_statements_are_split_without_comments():
    text = "-- one; not two\nSELECT 1;\n\n-- more\nSELECT\n    2;\n"
    assert statements(text) == ["SELECT 1", "SELECT\n    2"]


def test_the_simulated_engine_holds_what_this_one_holds(client, build):
    exchange, store = busy_exchange(6, 40), SimClickHouse(Faults(Random(0), crashes_left=0))
    for engine in (client, cast(ClickHouseClient, SimulatedClient(store))):
        sink = CrashingSink(engine, build, monotonic_s=count(0.0, 0.5).__next__)
        sink.crash_at, sink.crash_after_insert = 9, True
        with pytest.raises(Crash):
            feed(exchange, sink, 20)
        feed(exchange, ClickHouseSink(engine, build, monotonic_s=count(0.0, 0.5).__next__), 30)
    for table in (*TABLES, "memory", "positions"):
        found = store.tables[f"{database(build)}.{table}"].final()
        assert sorted(tuple(row.values()) for row in found) == rows(client, build, table), table
