"""One key written as the log has it: at whichever sequence its view stands, and no other."""

import pytest

from domain.orders.messages import Side
from infra.refusal import Misunderstood
from projections.layout import LEDGER_EVENTS, MATCHING_EVENTS, open_key
from projections.live_cells import LiveCells
from projections.repair import RepairFailed, key_name, repair_key
from projections.view_auditor import place_of
from tests.projections.list_log import ListLog
from tests.projections.scenarios import busy_exchange
from tests.projections.small_exchange import SmallExchange
from tests.projections.test_view_auditor import Stage


def nobody(_done: int, _total: int) -> None:
    """Looks at no progress."""


def stage_up_to(part: float) -> tuple[Stage, ListLog]:
    stage = Stage(busy_exchange(5, 80))
    for topic, values in stage.values.items():
        stage.feed(topic, int(len(values) * part))
    return stage, ListLog(lambda: stage.values)


@pytest.mark.parametrize("part", [0.5, 1])
@pytest.mark.parametrize("name", ["balances:2", "lb:1:bids:1", "reference:ledger.ev:0"])
def test_a_spoilt_key_is_written_as_the_log_has_it_where_the_view_stands(part, name):
    stage, log = stage_up_to(part)
    key = stage.key(key_name(name))
    before = stage.client.hgetall(key)
    assert before
    stage.client.delete(key)
    stage.client.hset(key, "5", "[1]")
    repaired = repair_key(LiveCells(stage.client), log, key_name(name), (1, 1), nobody)
    assert "was" in repaired.words
    assert repaired.cseq == stage.followers[repaired.place[0]].position.cseq
    assert stage.client.hgetall(key) == before
    again = repair_key(LiveCells(stage.client), log, key_name(name), (1, 1), nobody)
    assert again.words == ""


def test_a_key_of_nobody_is_removed():
    stage, log = stage_up_to(1)
    stage.client.hset(stage.key("balances:77"), "1", "[5,5]")
    repaired = repair_key(LiveCells(stage.client), log, "balances:77", (1, 1), nobody)
    assert repaired.words == "field 1 must be nothing, was [5,5]"
    assert not stage.client.exists(stage.key("balances:77"))


class LateCells(LiveCells):
    """Before a key is written, its worker applies the rest of the log."""

    def __init__(self, stage: Stage) -> None:
        super().__init__(stage.client)
        self.stage, self.repairs = stage, 0

    def repair(self, place, name, found, wanted):
        self.repairs += 1
        self.stage.feed(place[0], len(self.stage.values[place[0]]))
        return super().repair(place, name, found, wanted)


def test_an_order_that_is_closed_between_the_look_and_the_repair_stays_closed():
    exchange = SmallExchange()
    order_id = exchange.place(1, Side.BUY, 5_999_000, 3)
    stage, open_orders = Stage(exchange), open_key(1)
    stage.feed(LEDGER_EVENTS, len(stage.values[LEDGER_EVENTS]))
    assert stage.client.hdel(stage.key(open_orders), order_id) == 1
    exchange.cancel(order_id)
    live = LateCells(stage)
    repaired = repair_key(live, ListLog(lambda: stage.values), open_orders, (1, 1), nobody)
    assert live.repairs == 2
    assert repaired.words.endswith(", was nothing"), "what was found first is told"
    assert repaired.cseq == len(stage.values[LEDGER_EVENTS])
    assert not stage.client.exists(stage.key(open_orders))


def test_a_view_that_stands_beyond_the_log_cannot_be_repaired():
    stage, log = stage_up_to(1)
    stage.client.hset(stage.key("position:ledger.ev:0"), "cseq", 9**9)
    with pytest.raises(RepairFailed, match="must not stand beyond the log"):
        repair_key(LiveCells(stage.client), log, "balances:2", (1, 1), nobody)


def test_what_is_no_views_key_is_refused():
    stage, log = stage_up_to(1)
    for name in ("balances", "balances:x", "position:ledger.ev:0", "users:7", ""):
        with pytest.raises(Misunderstood, match="a key of a view is wanted"):
            repair_key(LiveCells(stage.client), log, name, (1, 1), nobody)


def test_which_partition_feeds_what():
    assert place_of("open:7", 2, 3) == (LEDGER_EVENTS, 1)
    assert place_of("candles:7", 2, 3) == (MATCHING_EVENTS, 1)
    assert place_of("reference:matching.ev:2", 2, 3) == (MATCHING_EVENTS, 2)
    for name in (
        "reference:matching.ev:3",
        "reference:ledger.ev:\u00b2",
        "reference:7",
        "balances:",
        "balances:-1",
        "balances:" + "7" * 5_000,
    ):
        assert place_of(name, 2, 3) is None
