"""Cells are stored now and then: what a process that is killed in between finds, and goes on from.

In the simulated engine, which `test_clickhouse_sink.py` holds against the real one.
"""

from collections.abc import Callable
from random import Random
from typing import cast

import pytest

from infra.clickhouse import ClickHouseClient
from projections import clickhouse_sink
from projections.clickhouse_sink import REMEMBER_EVERY_S, ClickHouseSink
from projections.follower import Follower
from projections.layout import LEDGER_EVENTS, MATCHING_EVENTS, Position, database, unpack
from tests.projections.crashing_sink import live_and_die
from tests.projections.dict_sink import DictSink
from tests.projections.scenarios import busy_exchange, feed, offer, raw
from tests.simulation.clickhouse import Client as SimulatedClient
from tests.simulation.clickhouse import SimClickHouse
from tests.simulation.faults import Faults

BUILD = "1"
RECORDS = raw(busy_exchange(7, 120).outboxes()[LEDGER_EVENTS])


class Stage:
    """An empty store, a clock that stands still, a process that follows one partition."""

    def __init__(self) -> None:
        self.store = SimClickHouse(Faults(Random(0), crashes_left=0))
        self.client = cast(ClickHouseClient, SimulatedClient(self.store))
        self.now_s = 10.0
        self.start()

    def start(self) -> None:
        """Begin a process, which ends the one before without a word."""
        self.sink = ClickHouseSink(self.client, BUILD, monotonic_s=lambda: self.now_s)
        self.follower = Follower(LEDGER_EVENTS, 0, self.sink)
        self.begun_at = self.follower.load()

    def offer(self, start: int, end: int) -> int | None:
        return offer(self.sink, self.follower, RECORDS[start:end])

    def rows(self, table: str) -> list[tuple[object, ...]]:
        found = self.store.tables[f"{database(BUILD)}.{table}"].final()
        return sorted(tuple(row.values()) for row in found)

    def cells_upto(self) -> int:
        """The sequence of the position that is stored with the cells."""
        (text,) = (str(row[4]) for row in self.rows("memory") if row[2] == "position")
        return unpack(Position, text).cseq


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.mark.parametrize("after_insert", [False, True])
@pytest.mark.parametrize("call_s", [0.0, 0.3, REMEMBER_EVERY_S])
def test_p3_counts_are_exact_however_often_cells_are_stored(stage, after_insert, call_s):
    """With each apply, or once in a process's life: then at its first apply, or it got nowhere."""
    exchange, model = busy_exchange(2, 400), DictSink()
    live_and_die(stage.client, BUILD, exchange, after_insert=after_insert, call_s=call_s)
    feed(exchange, model)
    for table in ("trades", "orders", "fills", "ledger_entries", "risk_samples"):
        assert stage.rows(table) == sorted(model.rows[table]), table


def test_cells_are_stored_every_two_seconds_and_positions_with_each_apply(stage):
    told = []
    for start in range(0, 50, 10):
        stage.offer(start, start + 10)
        assert stage.sink.reached(LEDGER_EVENTS, 0).cseq == start + 10
        told.append(stage.cells_upto())
        stage.now_s += REMEMBER_EVERY_S / 2
    assert told == [10, 10, 30, 30, 50]


@pytest.mark.parametrize(
    "event",
    [lambda sink: sink.load(MATCHING_EVENTS, 0), ClickHouseSink.close],
    ids=["load", "close"],
)
def test_a_process_that_loads_or_closes_lets_no_cells_wait(
    stage: Stage, event: Callable[[ClickHouseSink], object]
) -> None:
    stage.offer(0, 10)
    stage.offer(10, 30)
    assert stage.cells_upto() == 10
    event(stage.sink)
    assert stage.cells_upto() == 30
    stage.start()
    assert stage.begun_at == 30


def test_many_cells_do_not_wait(stage, monkeypatch):
    monkeypatch.setattr(clickhouse_sink, "MOST_WAITING", 5)
    stage.offer(0, 10)
    stage.offer(10, 30)
    assert stage.cells_upto() == 30


def test_of_many_applies_the_last_text_of_each_cell_is_stored(stage):
    for start in range(0, 60, 3):
        stage.offer(start, start + 3)
    stage.sink.remember()
    once = Stage()
    once.offer(0, 60)
    assert stage.sink.load(LEDGER_EVENTS, 0)[0] == once.sink.load(LEDGER_EVENTS, 0)[0]
    cells, wanted = (each.sink.load(LEDGER_EVENTS, 0)[1] for each in (stage, once))
    assert {key: texts.keys() for key, texts in cells.items() if texts} == {
        key: texts.keys() for key, texts in wanted.items() if texts
    }
    for key in ("balances:1", "open:1", "open:2", "volume:3"):
        assert cells.get(key, {}) == wanted.get(key, {}), key


def test_a_view_that_is_stored_further_than_its_cells_says_so(stage):
    """P2: a log that ends between the two is another one, which the worker's watchdog must see."""
    stage.offer(0, 10)
    stage.offer(10, 30)
    before = [stage.rows(table) for table in ("orders", "ledger_entries", "positions")]
    stage.start()
    assert (stage.begun_at, stage.follower.position.cseq) == (10, 30)
    assert stage.offer(10, 20) is None
    assert stage.follower.position.cseq == 30
    assert stage.offer(40, 50) == 19, "a gap leads to the record at which the projector stands"
    assert stage.offer(20, 30) is None
    assert [stage.rows(table) for table in ("orders", "ledger_entries", "positions")] == before
    assert stage.offer(30, 40) is None
    assert stage.follower.position.cseq == 40


def test_a_follower_that_was_passed_by_another_one_stores_nothing_and_loads(stage):
    """A rebalance loads anew between two steps of what the worker still has for the former one."""
    former = stage.follower
    stage.offer(0, 10)
    stage.follower = Follower(LEDGER_EVENTS, 0, stage.sink)
    assert stage.follower.load() == 10
    assert offer(stage.sink, former, RECORDS[10:40]) is None
    assert stage.offer(10, 20) == 40, "the view stands there now"
    assert stage.cells_upto() == 40
    assert offer(stage.sink, former, RECORDS[40:45]) is None
    assert stage.offer(40, 50) == 45
    stage.start()
    once = Stage()
    once.offer(0, 45)
    cells, wanted = (each.sink.load(LEDGER_EVENTS, 0)[1] for each in (stage, once))
    assert {key: texts for key, texts in cells.items() if texts} == {
        key: texts for key, texts in wanted.items() if texts
    }
    assert stage.offer(45, 60) is None
