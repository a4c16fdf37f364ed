"""Leadership: shadows promoted when their lease is held, a loss noticed before any work."""

import random

import pytest

from infra.lease import READY_S, Lease, Phase, Standing
from infra.refusal import Refusal
from streams.handover import ask, expect_both
from streams.leadership import PAUSE_S, STANDSTILL_S, Leadership, LeaseLost
from tests.simulation.faults import Faults
from tests.simulation.leases import SimLeases
from tests.simulation.log import LogWorld
from tests.simulation.processes import SimClock


class FakeHost:
    """As much of a host as leadership knows."""

    leading = True

    def __init__(self) -> None:
        self.still_s = 0.0

    def standstill_s(self) -> float:
        return self.still_s


class FakeShadow(FakeHost):
    """As much of a shadow as leadership knows."""

    def __init__(self) -> None:
        super().__init__()
        self.leading = False
        self.behind = False
        self.in_touch = True

    def caught_up(self) -> bool:
        return not self.behind

    def promote(self) -> None:
        self.leading = True


class Keeper:
    """Counts how often it was asked to look at once."""

    def __init__(self, leases: list[Lease]) -> None:
        self.leases = leases
        self.asked = 0

        self.beats = 0
        self.beats_when_asked: list[int] = []

    def beat(self) -> None:
        self.beats += 1

    def refresh(self, timeout_s: float) -> None:
        self.asked += 1
        self.beats_when_asked.append(self.beats)
        for lease in self.leases:
            lease.tend()


class Side:
    """One process: a lease on L0, and a shadow where it stands by."""

    def __init__(self, stage: "Stage", holder: str, *, standby: bool) -> None:
        self.lease = Lease("L0", holder, stage.store, stage.clock.monotonic_s)
        self.host, self.shadow = FakeHost(), FakeShadow()
        self.keeper = Keeper([self.lease])
        members = {"L0": self.shadow if standby else self.host}
        self.leadership = Leadership([self.lease], members, self.keeper, stage.clock)  # type: ignore[arg-type]


class Stage:
    def __init__(self) -> None:
        faults = Faults(random.Random(1), crashes_left=0, duplicate_rate=0.0)
        self.clock = SimClock()
        self.store = SimLeases(faults, LogWorld(faults))
        self.leader = Side(self, "one", standby=False)
        self.standby = Side(self, "two", standby=True)
        self.leader.lease.tend()
        self.leader.leadership.begin()

    def go_on(self, seconds: float, *sides: Side) -> None:
        for _ in range(round(seconds / 0.1)):
            self.clock.elapsed_us += 100_000
            for side in sides or (self.leader, self.standby):
                side.lease.tend()
                side.leadership.look()


@pytest.fixture
def stage() -> Stage:
    return Stage()


def entry_of(stage: Stage):
    found = stage.store.read("L0")
    assert found is not None
    return found


def test_a_shadow_waits_as_long_as_the_leader_renews(stage):
    stage.go_on(5.0)
    assert not stage.standby.shadow.leading
    assert (entry_of(stage).holder, entry_of(stage).phase) == ("one", Phase.LEADING)


def test_a_shadow_is_promoted_when_the_leader_is_silent(stage):
    stage.go_on(1.0)
    stage.go_on(2.0, stage.standby)
    assert stage.standby.shadow.leading
    assert (entry_of(stage).holder, entry_of(stage).phase) == ("two", Phase.LEADING)


def test_a_shadow_without_brokers_leaves_the_lease_to_whoever_has_it(stage):
    """All are cut off: the leader hangs, and goes on where nobody could take its place."""
    stage.go_on(1.0)
    stage.standby.shadow.in_touch = False
    stage.go_on(20.0, stage.standby)
    assert not stage.standby.shadow.leading
    stage.standby.shadow.in_touch = True
    stage.go_on(0.5)
    assert stage.leader.lease.standing is Standing.HELD
    stage.go_on(2.0, stage.standby)
    assert stage.standby.shadow.leading


def test_a_zombie_asks_before_it_works_and_steps_down(stage):
    stage.go_on(1.0)
    stage.go_on(3.0, stage.standby)
    before = stage.leader.keeper.beats
    with pytest.raises(LeaseLost, match="L0 is led by somebody else"):
        stage.leader.leadership.look()
    assert stage.leader.keeper.beats_when_asked == [before + 1], "who asks is seen to be at work"


def test_a_store_that_was_away_is_watched_anew(stage, monkeypatch):
    """The leader was heard of just as little: that it is not seen to renew means nothing."""

    def away(name: str):
        raise OSError("away")

    stage.go_on(1.0)
    with monkeypatch.context() as patch:
        patch.setattr(stage.store, "read", away)
        patch.setattr(stage.store, "swap", lambda name, old, new: away(name))
        stage.go_on(10.0)
    stage.go_on(0.1, stage.standby)
    assert stage.standby.lease.standing is Standing.WAITING
    stage.go_on(5.0)
    assert stage.leader.lease.standing is Standing.HELD


def test_a_leader_that_gets_nowhere_gives_way_to_whom_brokers_reach(stage):
    stage.standby.shadow.in_touch = False
    stage.go_on(1.0)
    stage.leader.host.still_s = STANDSTILL_S + 0.1
    stage.go_on(10.0)
    assert stage.leader.lease.standing is Standing.HELD, "all are cut off: nobody could do better"
    stage.leader.host.still_s = STANDSTILL_S
    stage.standby.shadow.in_touch = True
    stage.go_on(2.0)
    assert stage.leader.lease.standing is Standing.HELD, "an heir alone is no reason"
    stage.leader.host.still_s = STANDSTILL_S + 0.1
    with pytest.raises(LeaseLost, match="L0 got nowhere for 4 s, and others stand by"):
        stage.go_on(0.1)
    stage.leader.lease.release()
    stage.go_on(0.1, stage.standby)
    assert stage.standby.shadow.leading


def test_an_heir_that_is_silent_again_is_none(stage):
    stage.go_on(2.0)
    assert stage.leader.lease.has_heir
    stage.go_on(READY_S, stage.leader)
    assert not stage.leader.lease.has_heir
    stage.leader.host.still_s = STANDSTILL_S + 0.1
    stage.go_on(1.0, stage.leader)


def test_a_short_pause_asks_nobody(stage):
    stage.go_on(1.0)
    stage.clock.elapsed_us += int(PAUSE_S * 1e6) - 1
    stage.leader.leadership.look()
    assert stage.leader.keeper.asked == 0


def test_a_leader_goes_on_while_the_store_is_away(stage, monkeypatch):
    def away(name: str):
        raise OSError("away")

    monkeypatch.setattr(stage.store, "read", away)
    monkeypatch.setattr(stage.store, "swap", lambda name, old, new: away(name))
    stage.go_on(10.0)
    assert stage.leader.lease.standing is Standing.HELD
    assert not stage.standby.shadow.leading


def test_a_handover_is_asked_for_and_done(stage):
    stage.go_on(1.0)
    assert ask(stage.store, "L0") == "two"
    stage.go_on(0.5)
    assert stage.leader.leadership.asked
    stage.leader.leadership.yield_all()
    assert entry_of(stage).phase is Phase.YIELDING
    assert stage.standby.lease.standing is Standing.WAITING
    stage.leader.lease.release()
    stage.go_on(0.2, stage.standby)
    assert stage.standby.shadow.leading


def test_who_has_not_caught_up_is_not_handed_anything(stage, monkeypatch):
    monkeypatch.setattr("streams.handover.WATCHED_S", 0.1)
    stage.standby.shadow.behind = True
    stage.go_on(1.0)
    with pytest.raises(Refusal, match="shard L0 must have a leader and a shadow"):
        ask(stage.store, "L0")
    with pytest.raises(Refusal, match="shard L0 must have a leader, has none"):
        expect_both(stage.store, ["L0"])
