"""Bugs that a replay repeats: the same code agrees with itself, and what shows them does not."""

from typing import Any

import pytest

import domain.matching.planning
from domain.orders import settlement
from domain.orders.messages import Role
from infra.metrics import REGISTRY
from streams.audit import audit
from tests.streams.audited_log import Nobody, archived, traded, with_half_the_tick
from tests.streams.growing_log import audited, log_of


@pytest.mark.sources
def test_a_fee_that_was_not_taken_is_a_violation(monkeypatch):
    """The replay agrees, for it runs the same code; the auditor's own formula does not."""
    monkeypatch.setattr(settlement, "fee", lambda amount, rate_ppm: 0)
    result = audit.audit(archived(traded(3)), Nobody(), processes=1)
    assert result.checks.broken["S3"] == 0
    assert result.checks.broken["L8"] > 0
    assert not result.checks.ok()
    assert any(line.startswith("L8: the fee in trade") for line in audit.report(result))


@pytest.mark.sources
def test_money_that_is_not_price_times_lots_is_a_violation_though_both_legs_agree(monkeypatch):
    """The ledgers hold half the tick: holds, fills and fees fit each other, and add up."""
    with_half_the_tick(monkeypatch)
    result = audit.audit(archived(traded(3)), Nobody(), processes=1)
    assert {invariant for invariant, count in result.checks.broken.items() if count} == {"E5"}
    assert any("was settled otherwise than traded" in line for line in audit.report(result))


def settle_makers_as_takers(monkeypatch: pytest.MonkeyPatch) -> None:
    fill = settlement._fill

    def as_taker(state: Any, trade: Any, order: Any, role: Role) -> Any:
        return fill(state, trade, order, Role.TAKER)

    monkeypatch.setattr(settlement, "_fill", as_taker)


@pytest.mark.sources
def test_a_maker_that_is_settled_as_a_taker_is_a_violation(monkeypatch):
    """Its fee follows from the role that its fill declares; the trade says that it is another."""
    settle_makers_as_takers(monkeypatch)
    result = audit.audit(archived(traded(3)), Nobody(), processes=1)
    assert (result.checks.broken["L8"], result.checks.broken["S3"]) == (0, 0)
    assert result.checks.broken["E5"] > 0
    assert any("was settled otherwise than traded" in line for line in audit.report(result))


@pytest.mark.sources
def test_the_auditor_sees_a_maker_that_is_settled_as_a_taker(monkeypatch):
    settle_makers_as_takers(monkeypatch)
    told = audited(log_of(traded(3)))
    assert any(v.words.endswith("was settled otherwise than traded") for v in told)


def cannot_plan(*_: object) -> Any:
    raise ZeroDivisionError("planted")


def faulted_by_m0() -> float:
    found = REGISTRY.get_sample_value("logbourse_auditor_commands_faulted_total", {"shard": "M0"})
    return found or 0.0


@pytest.mark.sources
def test_commands_that_faulted_are_counted_and_shown(monkeypatch):
    """Nobody has lost anything by them, so that all is sound; but a warning says it."""
    monkeypatch.setattr(domain.matching.planning, "plan_lots", cannot_plan)
    world = traded(3)
    result = audit.audit(archived(world), Nobody(), processes=1)
    assert result.verdict() == audit.SOUND and result.faulted > 5
    lines = audit.report(result)
    at = lines.index(f"warning: {result.faulted:,} commands faulted by a bug, and had no effect:")
    assert lines[at + 1].startswith("matching.in.")
    assert lines[at + 1].endswith(": OrderAccepted: ZeroDivisionError('planted')")
    told = audit.as_json(result)
    assert (told["commands_faulted"], told["faults"]) == (result.faulted, result.faults)
    before = faulted_by_m0()
    assert audited(log_of(world)) == []
    assert faulted_by_m0() > before


def test_of_no_fault_no_warning_is_given():
    result = audit.audit(archived(traded(3)), Nobody(), processes=1)
    assert not any(line.startswith("warning") for line in audit.report(result))
    assert (result.faulted, audit.as_json(result)["commands_faulted"]) == (0, 0)
