"""The judge itself: what it must notice in log, answers and audit, and what it must let pass."""

from contextlib import nullcontext
from dataclasses import replace
from typing import Any, cast

import pytest

from domain.orders.messages import (
    CancelRejected,
    CancelRequested,
    CloseReason,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderReason,
    OrderRejected,
    OrderType,
    Role,
    Side,
    TimeInForce,
)
from domain.protocol import CommandFaulted
from infra.log import LogRecord
from schemas.record import UndecodableRecord, decode_record
from schemas.topics import inbox
from streams.audit.archive import Archive
from streams.audit.audit import as_json
from streams.audit.audit import audit as run_audit
from streams.audit.checks import TITLES
from tests.faults.load import LATE, Sent
from tests.faults.losses import Loss
from tests.faults.oracle import _read, compare, effects_of, faults, unchecked
from tests.faults.stack import SHARDS, FaultStack
from tests.faults.told import Taken, taken
from tests.integration.trader import Answer, Request
from tests.integration.witness import Entry, Findings, Record
from tests.streams.audited_log import Nobody, archived, traded
from tests.streams.records import forged

MARKET, OTHER_MARKET = 1, 2
IN_BOOK = CommandFaulted(b"id", "OrderAccepted", "ZeroDivisionError")
SENT = Sent(0, 0, 1, b"id", 1_000, "{}", "BTCUSDT", "mine", status=200, answered_s=5.0)
ACCEPTED = OrderAccepted(
    b"id", 7, 4, MARKET, 1, "mine", Side.BUY, OrderType.LIMIT, TimeInForce.GTC,
    *(1, 1, 0, 1, 1, 1, 1),
)  # fmt: skip


def closed(reason: CloseReason) -> OrderClosed:
    return OrderClosed(
        b"id", 7, 4, MARKET, "mine", Side.BUY, OrderType.LIMIT, TimeInForce.GTC,
        *(1, 1, 0, 0, 0), reason, 1, 1, 0,
    )  # fmt: skip


def fill(role: Role, lots: int, filled_lots: int, filled_quote: int) -> FillSettled:
    head = (b"", 7, 4, MARKET, 5, "mine", Side.BUY, role)
    return FillSettled(*head, 10, lots, 1, 10, 2, 1, 0, 0, filled_lots, filled_quote)


@pytest.mark.parametrize(
    ("events", "faulty", "wrong"),
    [
        ([ACCEPTED, closed(CloseReason.FILLED)], (), 0),
        ([ACCEPTED, closed(CloseReason.FAULTED), IN_BOOK], (), 2),
        ([ACCEPTED, closed(CloseReason.FAULTED), IN_BOOK], (MARKET,), 0),
        ([ACCEPTED, closed(CloseReason.FAULTED), IN_BOOK], (OTHER_MARKET,), 2),
        ([CommandFaulted(b"else", "RegisterUser", "KeyError")], (MARKET,), 1),
        ([CommandFaulted(b"", "Tick", "KeyError")], (), 1),
    ],
)
def test_nothing_may_have_faulted_but_orders_of_a_market_with_a_planted_bug(events, faulty, wrong):
    assert len(list(faults(events, faulty))) == wrong


def told(status: str, executed: str = "0.00000000", quote: str = "0.00000000") -> Sent:
    result = {"orderId": 7, "status": status, "executedQty": executed, "cummulativeQuoteQty": quote}
    return replace(SENT, result=result)


THREE = ("0.00003000", "0.00000030")
"""Three lots of BTCUSDT, which are 1,000 units each, for 30 units of quote."""


@pytest.mark.parametrize(
    ("sent", "end", "took", "wrong"),
    [
        (told("FILLED", *THREE), ("FILLED", 3, 30), Taken(2, 3, 30), ""),
        (told("FILLED", *THREE), ("CANCELED", 3, 30), Taken(2, 3, 30), "was told FILLED"),
        (told("FILLED", *THREE), ("FILLED", 4, 40), Taken(2, 4, 40), "executed and paid for"),
        (told("FILLED", *THREE), ("FILLED", 4, 40), Taken(2, 3, 30), "was told FILLED"),
        (told("FILLED", *THREE), ("FILLED", 3, 31), Taken(2, 3, 31), "executed and paid for"),
        (told("EXPIRED"), ("NO_LIQUIDITY", 0, 0), Taken(), ""),
        (told("EXPIRED"), ("FOK_NOT_FILLABLE", 0, 0), Taken(), ""),
        (told("EXPIRED", *THREE), ("NO_LIQUIDITY", 3, 30), Taken(1, 3, 30), ""),
        (told("EXPIRED"), ("FILLED", 3, 30), Taken(1, 3, 30), "was told EXPIRED"),
        (told("EXPIRED"), ("WOULD_TAKE", 0, 0), Taken(), "was told EXPIRED"),
        (told("NEW"), ("rested", 0, 0), Taken(), ""),
        (told("NEW"), ("rested", 2, 20), Taken(), ""),
        (told("NEW"), ("FILLED", 3, 30), Taken(), ""),
        (told("NEW"), ("CANCELED", 1, 10), Taken(), ""),
        (told("NEW"), ("NO_LIQUIDITY", 0, 0), Taken(), "was told NEW"),
        (told("NEW"), ("accepted", 0, 0), Taken(), "was told NEW"),
        (told("NEW"), ("rested", 3, 30), Taken(1, 3, 30), "executed and paid for"),
        (told("PARTIALLY_FILLED", *THREE), ("rested", 3, 30), Taken(1, 3, 30), ""),
        (told("PARTIALLY_FILLED", *THREE), ("FILLED", 9, 90), Taken(1, 3, 30), ""),
        (told("PARTIALLY_FILLED"), ("rested", 0, 0), Taken(), "was told PARTIALLY_FILLED"),
        (replace(SENT, result={"orderId": 7}), ("FILLED", 3, 30), Taken(1, 3, 30), ""),
    ],
)
def test_an_answer_tells_what_the_log_has_at_the_placement_and_no_less(sent, end, took, wrong):
    found = list(compare([sent], effects_of([(5, ACCEPTED)]), {7: end}, None, {7: took}))
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


def test_fills_are_counted_where_they_are_told():
    sent = told("FILLED", *THREE)
    sent.result["fills"] = [{}]
    ends, took = {7: ("FILLED", 3, 30)}, {7: Taken(2, 3, 30)}
    (found,) = compare([sent], effects_of([(5, ACCEPTED)]), ends, None, took)
    assert "was told 1 fills, the log has 2" in found


def test_an_order_takes_as_it_is_placed_and_makes_later():
    fills = [fill(Role.TAKER, 1, 1, 10), fill(Role.TAKER, 2, 3, 30), fill(Role.MAKER, 1, 4, 41)]
    assert taken((5, each) for each in fills) == {7: Taken(2, 3, 30)}
    assert taken([(5, fills[2])]) == {}


CANCEL = replace(told("CANCELED", *THREE), client_order_id="", order_id=7)
REQUESTED = CancelRequested(b"id", 7, 4, MARKET)
NOT_CANCELED = CancelRejected(b"id", 4, MARKET, 7, "", OrderReason.UNKNOWN_ORDER)


@pytest.mark.parametrize(
    ("end", "wrong"),
    [
        (("CANCELED", 3, 30), ""),
        (("CANCELED", 2, 20), "executed and paid for"),
        (("FILLED", 3, 30), "was told CANCELED, in the log its order is FILLED"),
        (("rested", 3, 30), "was told CANCELED, in the log its order is rested"),
    ],
)
def test_a_cancel_tells_the_end_that_the_log_has(end, wrong):
    found = list(compare([CANCEL], effects_of([(5, REQUESTED)]), {7: end}))
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


LOST = Loss(
    cut={"ledger.in.0", "ledger.ev.0"},
    kept={"ledger.in.0": 9},
    reopened_s=6.0,
)
ELSEWHERE = replace(LOST, cut={"ledger.in.1"}, effects={b"id"})
"""Nothing of this ledger was cut off, but books met orders anew."""

AFTER = replace(told("NEW"), answered_s=7.0)
REFUSED = replace(SENT, status=400, code=-2010, result={})
REFUSED_CANCEL = replace(REFUSED, client_order_id="", order_id=7, code=-2011)
ONLY_LATE = replace(SENT, status=400, code=LATE, attempts=1, result={})


@pytest.mark.parametrize(
    ("sent", "events", "loss", "wrong"),
    [
        (told("NEW"), [], LOST, ""),
        (AFTER, [], LOST, "was acknowledged and is not in the log"),
        (AFTER, [OrderRejected(b"id", 4, 1, "mine", OrderReason.LOT_SIZE)], LOST, "is not in"),
        (AFTER, [replace(ACCEPTED, order_id=8)], LOST, "was acknowledged as 7"),
        (AFTER, [ACCEPTED], LOST, ""),
        (told("FILLED", *THREE), [ACCEPTED], LOST, ""),
        (told("FILLED", *THREE), [ACCEPTED], replace(LOST, anew=False), "was told FILLED"),
        (replace(told("FILLED", *THREE), answered_s=7.0), [ACCEPTED], LOST, "was told FILLED"),
        (REFUSED, [ACCEPTED], LOST, ""),
        (REFUSED, [ACCEPTED], ELSEWHERE, ""),
        (REFUSED, [ACCEPTED], replace(ELSEWHERE, effects=()), "was refused with -2010"),
        (REFUSED, [ACCEPTED], replace(ELSEWHERE, anew=False), "was refused with -2010"),
        (replace(REFUSED, answered_s=7.0), [ACCEPTED], LOST, "was refused with -2010"),
        (REFUSED_CANCEL, [REQUESTED], ELSEWHERE, ""),
        (REFUSED_CANCEL, [REQUESTED], replace(ELSEWHERE, effects=()), "was refused with -2011"),
        (replace(REFUSED_CANCEL, answered_s=7.0), [REQUESTED], LOST, "was refused with -2011"),
        (CANCEL, [REQUESTED, NOT_CANCELED], LOST, ""),
        (CANCEL, [REQUESTED, NOT_CANCELED], replace(LOST, anew=False), "was acknowledged"),
        (ONLY_LATE, [ACCEPTED], LOST, "and it ran"),
    ],
)
def test_a_loss_explains_what_was_told_before_the_reopening_alone(sent, events, loss, wrong):
    found = list(
        compare([sent], effects_of((5, each) for each in events), {7: ("rested", 0, 0)}, loss)
    )
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


def audit(**changed: int) -> dict[str, Any]:
    """What one says that has checked everything but wallets; how often it has checked some."""
    counts = dict.fromkeys(TITLES, 1) | {"L3": 0} | changed
    return {
        "invariants": {id: {"checked": count, "violated": 0} for id, count in counts.items()},
        "cut": {"L0": 7, "M0": 9},
        "snapshots": {"checked": 0, "passed_over": 0},
    }


@pytest.mark.parametrize(
    ("told", "ends", "kept", "wrong"),
    [
        (audit(), {"L0": 7, "M0": 8}, 0, ""),
        (audit(S4=0), {}, 0, ""),
        (audit(L2=0, E4=0), {}, 0, "has checked nothing of E4, L2"),
        (audit() | {"invariants": {}}, {}, 0, "has checked nothing of E1, E2"),
        (audit(), {"L0": 8}, 0, "must look at inboxes before {'L0': 8}"),
        (audit(), {"A0": 1}, 0, "must look at inboxes before {'A0': 1}"),
        (audit(), {}, 2, "has looked at no snapshot, 2 are kept"),
        (audit() | {"snapshots": None}, {}, 2, "has looked at no snapshot"),
        (audit() | {"snapshots": {"checked": 0, "passed_over": 1}}, {}, 2, ""),
    ],
)
def test_an_audit_must_look_at_all_that_was_there(told, ends, kept, wrong):
    found = list(unchecked(told, ends, kept))
    assert bool(found) is bool(wrong), found
    assert wrong in " ".join(found)


class Stored:
    """A stack of which nothing is there but its log."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive

    def records(self, *place: Any) -> list[LogRecord]:
        return list(self._archive.everything(place))


@pytest.mark.parametrize("faulty_runs", [{}, {"crashes": 4, "duplicate_rate": 0.1}])
def test_of_a_sound_log_nothing_is_complained(faulty_runs):
    """Also where records were written twice, and a changed copy was dropped by who received it."""
    world = traded(3, **faulty_runs)
    place = inbox("L0")
    last = [raw for raw in archived(world).everything(place) if source_of(raw) == "M0"]
    world.log.append(place, forged(last[-2].value, time_us=1))
    world.drain()
    for process in world.processes:
        world.kill(process)
    archive = archived(world)
    log = _read(cast("FaultStack", Stored(archive)))
    assert bool(log.duplicates) is bool(faulty_runs)
    assert not list(faults((*(event for _, event in log.events), *log.faulted), ()))
    ends = {shard: archive.end(inbox(shard)) for shard in SHARDS}
    assert not list(unchecked(as_json(run_audit(archive, Nobody(), 1)), ends, 0))


def source_of(raw: LogRecord) -> str:
    try:
        return decode_record(raw.value).src
    except UndecodableRecord:
        return ""


@pytest.mark.parametrize(
    ("sent", "changed", "is_wrong"),
    [
        (told("FILLED", *THREE), {}, False),
        (told("FILLED", *THREE), {"status": "CANCELED"}, True),
        (told("FILLED", *THREE), {"executedQty": "0.00004000"}, True),
        (told("FILLED", *THREE), {"cummulativeQuoteQty": "0.00000031"}, True),
        (told("NEW"), {"status": "FILLED", "executedQty": "0.00004000"}, False),
        (told("PARTIALLY_FILLED", *THREE), {"executedQty": "0.00002000"}, True),
    ],
)
def test_the_api_tells_the_end_that_an_answer_told(sent, changed, is_wrong):
    findings = object.__new__(Findings)
    request = Request("POST", "", "", "")
    entry = Entry(sent.symbol, "mine", request, 1, Answer(200, sent.result, {}))
    findings._record = Record({"mine": entry})
    findings.orders = {"mine": sent.result | changed}
    with pytest.raises(AssertionError) if is_wrong else nullcontext():
        findings._judge_orders()
