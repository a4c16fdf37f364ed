"""What an auditor keeps in memory has a bound, and keeping it never lets it wait for itself."""

import random
from collections import Counter

import pytest

from infra.log import Partition
from streams.audit.findings import Finding
from streams.auditor import pace
from streams.auditor.crossing import Crossing, Suspect
from streams.auditor.log_auditor import LogAuditor
from streams.auditor.violations import Violation
from tests.streams.growing_log import (
    GrowingLog,
    auditor_on,
    follow,
    halted_by_a_gap,
    last_from,
    log_of,
    say_skip,
    world,
)
from tests.streams.records import forged


def read_alone(auditor: LogAuditor, log: GrowingLog, place: Partition, most: int) -> None:
    """Let this partition be read, a few records a turn, while the others are slow."""
    while place in log.positions and log.positions[place] < log.ends(*place)[1]:
        start = log.positions[place]
        log.positions[place] = stop = min(start + most, log.ends(*place)[1])
        for record in log.scan(*place, start, stop):
            auditor.take(record)
        auditor.work()


@pytest.mark.parametrize("place", [("ledger.ev", 0), ("matching.ev", 1), ("ledger.in", 1)])
def test_a_partition_that_is_read_ahead_of_what_causes_it_is_left_until_the_rest_comes(
    monkeypatch, place
):
    monkeypatch.setattr(pace, "SUSPECTS", 6)
    log, told = log_of(world()), list[Violation]()
    auditor = auditor_on(log, told)
    auditor.start()
    read_alone(auditor, log, place, 2)
    assert place not in log.positions, "it is left"
    assert 6 < sum(c.suspected for c in auditor.crossings.values()) <= 8
    follow(auditor, log, random.Random(1), turns=60)
    assert told == []
    assert set(log.positions) == set(auditor.next_offsets)
    assert not any(c.suspected or c.suspects for c in auditor.crossings.values())


def test_many_forged_records_in_an_outbox_do_not_keep_the_auditor_waiting(monkeypatch):
    monkeypatch.setattr(pace, "SUSPECTS", 20)
    monkeypatch.setattr(pace, "DUE_RECORDS", 1)
    log, told = log_of(world()), list[Violation]()
    place = ("ledger.ev", 0)
    honest = log.whole[place]
    _, value = last_from(log, place, "L0")
    many = [forged(value, cseq=10_000 + number) for number in range(60)]
    log.whole[place] = [*honest[:10], *many, *honest[10:]]
    log.show_all()
    auditor = auditor_on(log, told)
    auditor.start()
    follow(auditor, log, random.Random(1), turns=200)
    assert Counter(v.invariant for v in told) == {"S1": 60}
    assert auditor.followed["L0"].position == len(log.whole["ledger.in", 0])


def test_the_word_about_a_halted_shard_is_heard_though_its_inbox_is_left():
    log, auditor = halted_by_a_gap([], {})
    stopped = auditor.followed["L0"].stopped
    assert stopped is not None
    auditor._pace.left.add(("ledger.in", 0))
    auditor.look_at_marks()
    assert not auditor.outdated
    say_skip(log, stopped.record_hash)
    auditor.look_at_marks()
    assert auditor.outdated


def test_only_what_is_new_is_judged_until_its_source_has_come_so_far():
    told: list[Finding] = []
    crossing = Crossing("L0", ("ledger.ev", 0), told.append)
    values = [v for v in log_of(world()).whole["ledger.ev", 0] if len(v) > 40]

    ends = iter(range(50, 60))
    for number in range(4):
        crossing.found(number, 10 + number, values[number])
        crossing.let_be_due(ends.__next__)
        crossing.let_be_due(ends.__next__)
    assert next(ends) == 54, "it is asked for if something is new"
    looked: list[int] = []

    def is_resolved(suspect: Suspect) -> bool:
        looked.append(suspect.offset)
        return False

    assert crossing.condemn(49, is_resolved) == []
    assert crossing.condemn(51, is_resolved) == [0, 1]
    assert crossing.condemn(52, is_resolved) == [2]
    assert crossing.suspected == 1
    assert crossing.condemn(99, is_resolved) == [3]
    assert (crossing.suspected, looked, len(told)) == (0, [0, 1, 2, 3], 4)
