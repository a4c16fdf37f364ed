"""A log that began under the former schema is the same log: no record of it counts as changed."""

import functools

import pytest

from schemas.codec import HEADER
from schemas.record import UndecodableRecord, decode_record
from streams.audit.archive import Archive, position_name
from streams.audit.audit import audit
from streams.channels import GENESIS_CHAIN, Channel
from streams.comparison import Comparison
from streams.recovery.plan import make_plan
from tests.simulation.world import World
from tests.streams.audited_log import (
    Nobody,
    Partitions,
    archived,
    partitions_of,
    replayed,
    told,
    traded,
)
from tests.streams.growing_log import audited, log_of

FORMER = bytes.fromhex("c30162b16e693c0db562")


@functools.cache
def world() -> World:
    return traded(4, crashes=2, duplicate_rate=0.02)


def in_former(value: bytes) -> bytes:
    """The record as the former schema wrote it, where that had all of its messages."""
    former = FORMER + value[len(HEADER) :]
    try:
        decode_record(former)
    except UndecodableRecord:
        return value
    return former


def rewritten(part: float) -> Partitions:
    """The log, this part of each partition under the former header."""
    partitions = partitions_of(world())
    for values in partitions.values():
        for index in range(int(len(values) * part)):
            offset, value = values[index]
            values[index] = (offset, in_former(value))
    return partitions


def old_log(part: float) -> Archive:
    return archived(world(), rewritten(part))


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_a_log_of_the_former_schema_is_equal_and_sound(part):
    partitions = rewritten(part)
    former = sum(v.startswith(FORMER) for values in partitions.values() for _, v in values)
    assert former > 100
    archive = archived(world(), partitions)
    verdict = replayed(archive)
    assert told(verdict.findings) == ""
    assert verdict.findings.compared > 100
    result = audit(archive, Nobody(), processes=1)
    assert result.checks.ok(), result.checks.words


def test_the_continuous_auditor_reports_nothing():
    log = log_of(world())
    for place, values in rewritten(0.7).items():
        log.whole[place] = [value for _, value in values]
    assert audited(log) == []


def test_a_recovery_drops_nothing():
    plan = make_plan(old_log(1.0), {}, Nobody())
    assert plan.dropped() == {}
    assert plan.damage == []


def test_a_standby_takes_its_leaders_old_records_for_its_own():
    values = partitions_of(world())[("ledger.ev", 0)][:2]
    ours, later = (value for _, value in values)
    comparison = Comparison("L0", "ledger.ev.0", Channel(0, GENESIS_CHAIN))
    comparison.computed(ours)
    comparison.found(0, in_former(ours))
    comparison.found(1, in_former(later))
    comparison.found(2, later)
    comparison.computed(later)
    assert comparison.compared == 2
    assert in_former(ours) != ours
    assert in_former(later) != later


@pytest.mark.parametrize("place", [("ledger.in", 0), ("matching.ev", 1)])
def test_a_changed_byte_behind_the_former_header_is_found(place):
    partitions = rewritten(1.0)
    offset, value = partitions[place][-1]
    partitions[place][-1] = (offset, value[:-1] + bytes([value[-1] ^ 1]))
    assert position_name(place, offset) in told(replayed(archived(world(), partitions)).findings)


@pytest.mark.parametrize("header", ["c3012f3b64b1d9b67469", "c3010000000000000000", "0000"])
def test_a_header_under_which_a_body_means_something_else_is_found(header):
    place = ("matching.ev", 0)
    partitions = partitions_of(world())
    offset, value = partitions[place][-1]
    forged = bytes.fromhex(header)
    partitions[place][-1] = (offset, forged + value[len(forged) :])
    assert position_name(place, offset) in told(replayed(archived(world(), partitions)).findings)
