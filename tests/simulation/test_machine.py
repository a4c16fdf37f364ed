"""Hypothesis moves the exchange: no script breaks it, and a broken rule shrinks to a short one."""

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.simulation.breaking import mutated
from tests.simulation.machine import ExchangeMachine

SCRIPTS = settings(
    max_examples=12,
    stateful_step_count=20,
    derandomize=True,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
SEARCH = settings(
    SCRIPTS,
    max_examples=200,
    phases=(Phase.generate, Phase.shrink),
    report_multiple_bugs=False,
)


@pytest.mark.slow
def test_no_script_breaks_the_exchange() -> None:
    run_state_machine_as_test(ExchangeMachine, settings=SCRIPTS)


@pytest.mark.slow
@pytest.mark.sources
def test_a_broken_rule_shrinks_to_a_short_script() -> None:
    with mutated("commands forgotten"), pytest.raises(AssertionError) as caught:
        run_state_machine_as_test(ExchangeMachine, settings=SEARCH)
    assert "S6: " in str(caught.value)
    script = [line.strip() for note in caught.value.__notes__ for line in note.splitlines()]
    steps = [line for line in script if line.startswith("state.")]
    assert any(line.startswith("state.repeat(") for line in steps)
    assert len(steps) <= 8, steps
