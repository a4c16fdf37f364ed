"""What rows are made of: gaps and recoveries, what a row forbids, slopes, the matrix in order."""

from dataclasses import replace

from tests.faults.load import Sent
from tests.faults.rows import Row, find_rows, longest_gap, recovery_s
from tests.faults.rows_shards import STEPS, step_of
from tests.faults.rows_storm import slope

ORDER = Sent(0, 0, 1, b"id", 1_000, "{}", "BTCUSDT", "mine", status=200)


def test_the_longest_gap_is_that_of_the_ledger_that_waits_longest():
    acked = [
        replace(ORDER, ledger=ledger, answered_s=at_s)
        for ledger, at_s in ((0, 1.0), (1, 1.5), (0, 2.0), (0, 3.0), (1, 4.5), (0, 4.0))
    ]
    assert longest_gap(sorted(acked, key=lambda sent: sent.answered_s), 1.0, 5.0) == 3.0
    assert longest_gap([], 1.0, 5.0) == 4.0


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
