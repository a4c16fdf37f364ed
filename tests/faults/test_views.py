"""What a run's views are judged by: whatever differs in Redis or history is named, nothing else."""

from random import Random
from typing import cast

import pytest

from infra.log import Log, LogRecord
from projections.candle_sums import Told
from projections.history_client import HistoryClient, TablesTold
from projections.history_sums import sum_of, together
from projections.layout import LEDGER_EVENTS, MATCHING_EVENTS, Balance, pack
from projections.view_fold import ViewFold
from tests.faults import views
from tests.faults.views import ViewCheck, balances_differ, open_orders_differ
from tests.projections.list_log import ListLog
from tests.projections.scenarios import busy_exchange
from tests.projections.test_view_auditor import Stage


class FoldedHistory:
    """What history adds up to that is the fold of the log, until a test spoils it."""

    def __init__(self, stage: Stage) -> None:
        self.folds = {topic: ViewFold(topic, 0) for topic in stage.values}
        for topic, fold in self.folds.items():
            for offset, value in enumerate(stage.values[topic]):
                fold.take(LogRecord(topic, 0, offset, -1, value))
            fold.fold_to(fold.seen)
        self.behind = 0

    def tables(self, names, upto, *, exact):
        assert exact
        fold = next(fold for fold in self.folds.values() if set(names) <= set(fold.sums))
        sums = {name: {0: fold.sums[name].blocks} for name in names}
        return TablesTold({0: fold.position.cseq - self.behind}, sums, {name: {} for name in names})

    def candles(self):
        found = self.folds[MATCHING_EVENTS].candles
        return {
            series: Told(together(found.ended.get(series, ()), sum_of([last])), last)
            for series, last in found.last.items()
        }


@pytest.fixture
def stage(monkeypatch):
    monkeypatch.setattr(views, "VIEWS_S", 0.5)
    found = Stage(busy_exchange(4, 150), 4)
    for topic, values in found.values.items():
        found.feed(topic, len(values))
    return found


def check_of(stage: Stage, history: FoldedHistory) -> ViewCheck:
    """The check of a run on what the stage stores."""
    log, client = cast(Log, ListLog(lambda: stage.values)), cast(HistoryClient, history)
    return ViewCheck((1, 1), log, stage.client, client)


def judged(stage: Stage, history: FoldedHistory | None = None) -> list[str]:
    """What is said of both stores."""
    check = check_of(stage, history or FoldedHistory(stage))
    return [*check.redis_differs(), *check.history_differs()]


def test_nothing_is_said_of_views_that_are_the_fold(stage):
    assert judged(stage) == []


@pytest.mark.parametrize("name", ["balances:1", "closed:2", "volume:1", "market:7", "trades:7"])
def test_a_key_that_is_gone_is_named(stage, name):
    kind = name.partition(":")[0]
    key = next(stage.client.scan_iter(match=f"lb:1:{kind}:*"))
    stage.client.delete(key)
    (said,) = judged(stage)
    assert said.startswith(f"P1: redis {key.decode()[5:]} at ")


def test_a_key_that_nothing_in_the_log_leads_to_is_named(stage):
    stage.client.hset(stage.key("balances:99"), "1", pack(Balance(1, 0)))
    (said,) = judged(stage)
    assert said.startswith("P1: redis balances:99 at ")


def test_a_view_that_stays_behind_is_named():
    stage = Stage(busy_exchange(4, 150), 4)
    stage.feed(MATCHING_EVENTS, len(stage.values[MATCHING_EVENTS]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "VIEWS_S", 0.1)
        (said,) = check_of(stage, FoldedHistory(stage)).redis_differs()
    assert said.startswith("the view of ledger.ev.0 must reach #")


@pytest.mark.parametrize("table", ["orders", "fills", "ledger_entries", "trades"])
def test_a_row_of_history_that_is_lost_or_doubled_is_named(stage, table):
    history = FoldedHistory(stage)
    topic = MATCHING_EVENTS if table == "trades" else LEDGER_EVENTS
    blocks = history.folds[topic].sums[table].blocks
    block = Random(4).choice(list(blocks))
    rows, *columns = blocks[block]
    blocks[block] = (rows + 1, *columns)
    (said,) = judged(stage, history)
    assert said.startswith(f"P1: {table} of {topic}.0 before #")


def test_a_candle_that_is_not_its_trades_is_named(stage):
    history = FoldedHistory(stage)
    last = history.folds[MATCHING_EVENTS].candles.last
    series = next(iter(last))
    last[series] = last[series]._replace(quantity=1)
    (said,) = judged(stage, history)
    assert said.startswith(f"P3: candles {series[1]} of market {series[0]}: ")


def test_history_that_stays_behind_is_named(stage):
    history = FoldedHistory(stage)
    history.behind = 1
    (said,) = judged(stage, history)
    assert said.startswith("history of ledger.ev must come to the views of Redis")


def test_the_naive_fold_sees_what_it_knows_of(stage):
    events = busy_exchange(4, 150).ledger.events
    assert not [*balances_differ(stage.client, events), *open_orders_differ(stage.client, events)]
    stage.client.hset(stage.key("balances:1"), "1", "[1,2]")
    (said,) = balances_differ(stage.client, events)
    assert said.startswith("P1: user 1 has ")
    key = next(stage.client.scan_iter(match="lb:1:open:*")).decode()
    stage.client.delete(key)
    (said,) = open_orders_differ(stage.client, events)
    assert said.startswith(f"P1: open orders of user {key.rpartition(':')[2]} differ by ")
