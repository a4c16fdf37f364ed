"""What rows are made of: gaps and recoveries, what a row forbids, slopes, the matrix in order."""

from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import cast

import pytest

from tests.faults.load import LATE, Load, Sent
from tests.faults.results import headline
from tests.faults.rows import Row, Run, find_rows, last_gap, longest_gap, recovery_s
from tests.faults.rows_shards import STEPS, step_of
from tests.faults.rows_storm import slope
from tests.faults.runner import Result, note
from tests.faults.stack import FaultStack

ORDER = Sent(0, 0, 1, b"id", 1_000, "{}", "BTCUSDT", "mine", status=200)


def test_the_longest_gap_is_that_of_the_ledger_that_waits_longest():
    acked = [
        replace(ORDER, ledger=ledger, answered_s=at_s)
        for ledger, at_s in ((0, 1.0), (1, 1.5), (0, 2.0), (0, 3.0), (1, 4.5), (0, 4.0))
    ]
    assert longest_gap(sorted(acked, key=lambda sent: sent.answered_s), 1.0, 5.0) == 3.0
    assert longest_gap([], 1.0, 5.0) == 4.0


LOAD_S = 10.0


def test_what_was_answered_behind_the_end_of_the_load_tells_how_long_an_outage_was():
    """Each ledger takes an order at 9 s, and none of what is sent then until much later."""
    waits = [order_at(began_s=9.1, answered_s=9.9), order_at(began_s=9.95, answered_s=25.0)]
    acked = [order_at(began_s=8.9, answered_s=9.0, ledger=ledger) for ledger in (0, 1)]
    assert last_gap([*acked, *waits], 5.0, LOAD_S) == pytest.approx(15.1)
    assert last_gap([*acked, waits[1], order_at(9.6, 12.0)], 5.0, LOAD_S) == pytest.approx(3.0)
    assert last_gap([*acked, *waits], 9.97, LOAD_S) == pytest.approx(15.03), "from the fault on"
    assert last_gap(acked, 5.0, LOAD_S) == 0.0
    assert last_gap([], 5.0, LOAD_S) == 0.0


def test_of_orders_that_were_all_refused_the_last_tells_when_an_outage_ended():
    late = replace(order_at(9.5, 70.0), status=400, code=LATE)
    assert last_gap([order_at(8.9, 9.0), late], 5.0, LOAD_S) == 61.0
    unanswered = replace(order_at(9.5, 0.0), status=503)
    assert last_gap([order_at(8.9, 9.0), unanswered], 5.0, LOAD_S) == 0.0


def test_one_order_that_waits_for_itself_is_no_outage():
    """Others were taken meanwhile, from the same ledger, and nothing later waits."""
    straggler, later = order_at(began_s=2.0, answered_s=12.0), order_at(9.0, 9.9)
    assert last_gap([straggler, later], 1.0, LOAD_S) == 0.0


def order_at(began_s: float, answered_s: float, ledger: int = 0) -> Sent:
    return replace(ORDER, ledger=ledger, began_s=began_s, sent_s=began_s, answered_s=answered_s)


def run_of(*orders: Sent, fault_s: float) -> Run:
    """A run whose load of one client has ended."""
    load = cast(
        "Load",
        SimpleNamespace(
            clients=[SimpleNamespace(record=list(orders), retried=0)],
            acknowledged=lambda: sorted(orders, key=lambda sent: sent.answered_s),
            ended_s=LOAD_S,
        ),
    )
    return Run(cast("FaultStack", None), load, 1, Random(1), 0.0, quick=False, fault_s=fault_s)


def test_orders_that_never_came_back_are_a_violation_and_have_no_time():
    result = Result("F1", 1, 1, 500.0)
    both = [order_at(8.9, 9.0), order_at(8.9, 9.5, ledger=1)]
    note(result, run_of(*both, fault_s=8.0))
    assert (result.recovery_s, result.violations) == (1.5, [])
    note(result, run_of(*both, fault_s=0.0))
    assert (result.recovery_s, result.violations) == (None, []), "nothing was hit"
    note(result, run_of(both[0], order_at(7.0, 7.5, ledger=1), fault_s=8.0))
    assert result.recovery_s is None
    assert result.violations == ["orders must come back on each ledger, and never did"]
    assert "first order never," in headline(result)


def test_orders_go_on_once_each_ledger_has_acknowledged_one():
    acked = [
        replace(ORDER, ledger=ledger, sent_s=sent_s, answered_s=sent_s + 0.5)
        for ledger, sent_s in ((0, 1.0), (1, 1.0), (0, 2.5), (0, 3.0), (1, 4.0), (1, 5.0))
    ]
    assert recovery_s(acked, 2.0) == 2.5
    assert recovery_s(acked[:4], 2.0) is None
    assert recovery_s(acked, 4.0) is None, "what was sent before does not count"


def test_where_a_store_fails_a_long_outage_is_a_violation():
    row = Row("F14", "a store", lambda _: None, target_s=2.0, must_s=5.0)
    assert row.outage(4.9) == []
    assert row.outage(5.25) == ["orders may not wait for more than 5 s here, did for 5.2 s"]
    assert replace(row, must_s=None).outage(99.0) == []
    bound = {name.split()[0] for name, each in find_rows().items() if each.must_s is not None}
    assert bound == {"F13", "F14", "F15", "F17", "F31"}


def test_as_many_runs_as_it_has_steps_go_through_all_of_them():
    assert {step_of(seed) for seed in range(5, 5 + find_rows()["F1 point"].runs)} == set(STEPS)


def test_a_slope_is_that_of_the_line_between():
    assert slope([(0.0, 1.0), (1.0, 3.0), (2.0, 5.0)]) == 2.0
    assert slope([(1.0, 3.0)]) == 0.0


def test_rows_stand_in_the_order_of_the_matrix():
    names = [name.split()[0] for name in find_rows()]
    assert names == sorted(names, key=lambda name: int("".join(filter(str.isdigit, name))))
    assert {"F1", "F6", "F12", "F30", "F32"} <= set(names)
