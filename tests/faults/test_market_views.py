"""What a run's views of markets are judged by: naive folds name a projector that is wrong."""

from types import SimpleNamespace
from typing import cast

import pytest

from infra.log import Log
from projections.history_client import HistoryClient
from projections.layout import LEDGER_EVENTS, MATCHING_EVENTS
from projections.view_fold import ViewFold
from streams.audit.exported import ExportSource
from tests.archived.kept import all_kept
from tests.faults.market_views import MarketCheck, MarketLog
from tests.faults.test_views import FoldedHistory, check_of
from tests.oracles.naive_markets import cells_differ
from tests.projections.list_log import ListLog
from tests.projections.scenarios import busy_exchange
from tests.projections.test_view_auditor import Stage
from tests.simulation.breaking import mutated

WAIT_S = 0.2


def stored() -> tuple[Stage, FoldedHistory]:
    """Both stores as the product's projectors make them."""
    exchange = busy_exchange(4, 150)
    exchange.tick(60)
    stage = Stage(exchange, 4)
    for topic, values in stage.values.items():
        stage.feed(topic, len(values))
    return stage, FoldedHistory(stage)


def judged(stage: Stage, history: FoldedHistory) -> list[str]:
    """What is said of both stores."""
    log, client = cast(Log, ListLog(lambda: stage.values)), cast(HistoryClient, history)
    check = MarketCheck(1, log, stage.client, client, WAIT_S)
    return [*check.redis_differs(), *check.history_differs()]


def test_nothing_is_said_of_views_that_are_what_events_come_to():
    assert judged(*stored()) == []


@pytest.mark.parametrize(
    ("mutant", "named"),
    [
        ("book change left out of views", ["P1: asks:1", "P1: market:1"]),
        ("ticker's high is its last", ["P1: market:1"]),
        ("weeks begin on Thursday", ["P1: candles:1", "P3: candles"]),
    ],
)
def test_what_a_projector_does_wrong_is_named_though_its_own_fold_agrees(mutant, named):
    with mutated(mutant):
        stage, history = stored()
        fold = check_of(stage, history)
        assert [*fold.redis_differs(), *fold.history_differs()] == []
        said = judged(stage, history)
    assert [" ".join(each.split()[:2]) for each in said] == named


def test_a_trade_that_a_projector_leaves_out_is_named_wherever_it_counts():
    with mutated("trade left out of views"):
        said = judged(*stored())
    kinds = ["market:1", "trades:1", "candles:1", "minutes:1", "trades"]
    words = [each.split()[:2] for each in said]
    assert words == [*(["P1:", kind] for kind in kinds), *[["P3:", "candles"]] * 16]


@pytest.mark.parametrize("kind", ["bids", "asks", "market", "trades", "candles", "minutes"])
def test_a_key_of_a_market_that_is_gone_is_named(kind):
    stage, history = stored()
    stage.client.delete(stage.key(f"{kind}:1"))
    (said,) = judged(stage, history)
    assert said.startswith(f"P1: {kind}:1 ")


def test_a_view_is_compared_at_the_sequence_at_which_it_stands():
    stage = Stage(busy_exchange(4, 150), 4)
    stage.feed(MATCHING_EVENTS, len(stage.values[MATCHING_EVENTS]) // 2)
    stage.feed(LEDGER_EVENTS, len(stage.values[LEDGER_EVENTS]))
    assert judged(stage, FoldedHistory(stage)) == []


def test_a_view_beyond_its_log_is_named():
    stage, history = stored()
    del stage.values[MATCHING_EVENTS][-1]
    said = judged(stage, history)
    assert said[0].startswith("P2: matching.ev.0 stands at #")


def test_a_trade_that_history_lacks_is_named():
    stage, history = stored()
    blocks = history.folds[MATCHING_EVENTS].sums["trades"].blocks
    rows, *columns = blocks[0]
    blocks[0] = (rows - 1, *columns)
    (said,) = judged(stage, history)
    assert said.startswith("P1: trades of matching.ev.0 must add up to ")


def test_a_candle_that_is_lost_is_named():
    stage, history = stored()
    del history.folds[MATCHING_EVENTS].candles.last[1, "8h"]
    (said,) = judged(stage, history)
    assert said.startswith("P3: candles 8h of market 1: must be ")


def test_history_that_stays_behind_is_named():
    stage, history = stored()
    history.behind = 1
    (said,) = judged(stage, history)
    assert said.startswith("trades of matching.ev.0 must reach #")


def test_of_records_that_come_twice_the_first_counts():
    stage, _ = stored()
    values = stage.values[MATCHING_EVENTS]
    twice = [value for value in values for _ in range(2)]
    log = MarketLog(cast(Log, ListLog(lambda: {MATCHING_EVENTS: [*twice[:60], *twice[20:]]})), 0)
    log.read_on()
    assert log.cseq == len(values)
    once = MarketLog(cast(Log, ListLog(lambda: stage.values)), 0)
    once.read_on()
    assert log.markets(40)[0].cells() == once.markets(40)[0].cells()


@pytest.mark.parametrize("kept", all_kept(), ids=lambda kept: kept.name)
def test_on_logs_of_real_stacks_both_folds_agree(kept):
    with kept.unpacked() as folder:
        records = ExportSource(folder).records
        log = SimpleNamespace(scan=records, ends=lambda *_: (0, 1 << 62))
        for partition in (0, 1):
            fold, naive = ViewFold(MATCHING_EVENTS, partition), MarketLog(cast(Log, log), partition)
            for record in records(MATCHING_EVENTS, partition, 0, 1 << 62):
                fold.take(record)
            fold.fold_to(fold.seen)
            naive.read_on()
            assert naive.cseq == fold.position.cseq
            for market in naive.markets(naive.cseq):
                assert [*cells_differ(market.cells(), fold.cells)] == []
