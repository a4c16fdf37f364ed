"""Ten times more orders than the stack takes: refused early, nothing lost, cancels pass."""

import pytest

from tests.integration.overload import Overload, measure_overload

pytestmark = [pytest.mark.integration, pytest.mark.slow]

LOAD_S = 4.0
FLAT_MB = 120.0
REMEMBERED_MB = 400 / 1e6
"""Of a command that a shard remembers for a minute."""


@pytest.fixture(scope="module")
def run(whole_stack) -> Overload:
    whole_stack.until_ready()
    found = measure_overload(whole_stack, LOAD_S)
    print(found.told())
    return found


def test_most_are_refused_and_told_so_and_none_is_left_in_doubt(run):
    told = dict(run.answers)
    assert told.pop("503 -1008", 0) + told.pop("429 -1003", 0) > told.pop("200") > 0, run.told()
    assert told == {}, run.told()


def test_every_cancel_passes(run):
    assert run.cancels.keys() == {"200"}, run.told()


def test_what_was_acknowledged_is_in_the_log_and_what_was_refused_is_not(run):
    assert run.accepted
    assert run.lost() == []
    assert run.ghosts() == []


def test_memory_is_flat(run):
    remembered_mb = REMEMBERED_MB * len(run.accepted)
    for name, sizes_mb in run.rss_mb.items():
        allowed_mb = FLAT_MB + (remembered_mb if name == "shards" else 0.0)
        assert max(sizes_mb) - sizes_mb[0] < allowed_mb, (name, run.told())


def test_the_log_follows_from_its_inputs(run, stack):
    done = stack.command("replay")
    assert done.returncode == 0, done.stdout[-2_000:]
    assert "EQUAL: " in done.stdout
