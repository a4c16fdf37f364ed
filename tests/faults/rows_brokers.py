"""Rows of brokers: killed in each of their roles, two at once, rolled, and frozen."""

import time

from tests.benchmarks.percentiles import percentile
from tests.faults.rows import Run, row
from tests.faults.stack import BROKERS

INPUT = ("ledger.in", 0)
TWO_DOWN_S = 5.0
ON_THEIR_WAY_S = 1.0
"""Orders begun so shortly before a broker goes may meet its end."""

SETTLES_S = 5.0
"""A broker that has just started compiles itself; docs/operating.md tells operators to wait."""


def _kill_broker(run: Run, name: str, role: str) -> None:
    run.wait(run.rng.uniform(0.0, 1.0))
    run.fault(f"SIGKILL {name}, {role}")
    with run.stack.no_restarts():
        run.stack.sigkill(name)
        run.recovered()
        run.wait(2.0)


@row("F6 leader", "the broker that leads an inbox of a ledger is killed", target_s=3.0)
def leader_killed(run: Run) -> None:
    _kill_broker(run, run.stack.broker_leading(*INPUT), "the leader of ledger.in.0")


@row("F6 follower", "a broker that follows an inbox of a ledger is killed", target_s=3.0)
def follower_killed(run: Run) -> None:
    _kill_broker(run, run.stack.broker_following(*INPUT), "a follower of ledger.in.0")


@row("F6 controller", "the broker whose controller leads the quorum is killed", target_s=5.0)
def controller_killed(run: Run) -> None:
    _kill_broker(run, run.stack.controller(), "the active controller")


@row("F6 coordinator", "the broker that keeps the marks is killed", target_s=3.0)
def coordinator_killed(run: Run) -> None:
    _kill_broker(run, run.stack.coordinator(), "the coordinator of the marks")


@row(
    "F7",
    "two brokers are down for 5 s: nothing is written, and all goes on by itself",
    at_most={"orders after that s": 5.0},
)
def two_brokers_down(run: Run) -> None:
    victims = run.rng.sample(BROKERS, 2)
    run.fault(f"SIGKILL {' and '.join(victims)}")
    acked_s = []
    with run.stack.no_restarts():
        run.stack.sigkill(*victims)
        run.wait(TWO_DOWN_S)
        acked_s = [sent.answered_s for sent in run.load.acknowledged()]
    run.measured["last acknowledgement s"] = max(acked_s) - run.fault_s
    run.demand(
        max(acked_s) - run.fault_s < TWO_DOWN_S / 2, "with one broker nothing may be acknowledged"
    )
    run.stack.until(lambda: any(map(run.stack.listens, victims)), 120.0, "a broker must return")
    returned_s = time.monotonic()
    run.measured["a broker is back s"] = returned_s - run.fault_s
    run.measured["orders after that s"] = run.recovered(returned_s)


@row("F8", "brokers are restarted one by one", at_most={"p99 s": 1.0})
def brokers_rolled(run: Run) -> None:
    """The quiet in between does not count: only orders begun while a broker was away or behind."""
    run.fault("SIGTERM to each broker in turn")
    away: list[tuple[float, float]] = []
    for name in BROKERS:
        if away:
            run.wait(SETTLES_S)
        before, begin_s = run.stack.pid(name), time.monotonic()
        run.stack.sigterm(name)
        run.stack.until_restarted(name, before)
        run.stack.until_replicated()
        away.append((begin_s - ON_THEIR_WAY_S, time.monotonic()))
    met = [
        sent
        for sent in run.load.acknowledged()
        if any(begin_s <= sent.began_s <= end_s for begin_s, end_s in away)
    ]
    run.measured["p99 s"] = percentile([sent.answered_s - sent.began_s for sent in met], 99.0)
    run.measured["orders sent again"] = sum(sent.attempts > 1 for sent in met)


def _freeze_broker(run: Run, seconds: float) -> None:
    name = run.stack.broker_leading(*INPUT)
    run.fault(f"SIGSTOP {name}, the leader of ledger.in.0, for {seconds:.0f} s")
    with run.stack.frozen(name):
        run.recovered()
        run.wait(seconds)


@row("F10 5s", "the broker that leads an inbox of a ledger is frozen for 5 s", target_s=5.5)
def broker_frozen_for_5_seconds(run: Run) -> None:
    _freeze_broker(run, 5.0)


@row("F10 70s", "the broker that leads an inbox of a ledger is frozen for 70 s", target_s=5.5)
def broker_frozen_for_70_seconds(run: Run) -> None:
    _freeze_broker(run, 70.0)
