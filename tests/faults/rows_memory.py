"""Rows of memory: a process that gets no more of it ends, and others go on."""

import time

from tests.faults.rows import Run, row
from tests.faults.stack import until

ENDS_S = 120.0
"""How soon it needs memory that it has not is its own affair: 20 s on a quiet machine."""

TAKES_OVER_S = 30.0


@row(
    "F32 OOM",
    "the leader of all shards gets no more memory",
    target_s=3.0,
    own_stack=True,
    planted=True,
)
def leader_without_memory(run: Run) -> None:
    """It ends, it does not halt: want of memory says something of its machine, not of the log."""
    leader, shadow = run.stack.leading("L0"), run.stack.standing_by("L0")
    _starve(run, leader)
    led = until(lambda: run.stack.leading("L0") == shadow, TAKES_OVER_S)
    run.demand(led, f"{shadow} must take over")


@row(
    "F32 OOM gateway",
    "the gateway gets no more memory",
    target_s=5.0,
    own_stack=True,
    planted=True,
)
def gateway_without_memory(run: Run) -> None:
    """Nobody answers until it has started again: it is the only one."""
    _starve(run, "gateway")


def _starve(run: Run, name: str) -> None:
    """Wait until the process has ended for want of memory, and orders go on."""
    stack = run.stack
    before, mark = stack.pid(name), len(stack.words())
    run.fault(f"{name} gets no memory beyond what it has")
    stack.exhaust_memory(name)
    with run.timed("ended s"):
        ended = until(lambda: stack.pid(name) != before, ENDS_S)
    run.demand(ended, f"{name} must end for want of memory within {ENDS_S:.0f} s")
    run.measured["orders after its end s"] = run.recovered(time.monotonic())
    stack.until_restarted(name, before)
    how = stack.ends_of(name, mark)
    run.words.append(f"{name} ended with {', '.join(how)}")
    run.demand(len(how) == 1, f"{name} must end once, and start without the limit: {how}")
