"""Rows of the network: late packets, partitions between two processes, and one-way cuts."""

import time
from collections.abc import Sequence

from tests.faults.evidence import (
    duplicates_read,
    end_of_outbox,
    numbers,
    quiet_auditor,
    reads_duplicates,
    repeated,
)
from tests.faults.network import cut
from tests.faults.proxy import FROM, TO, Rule
from tests.faults.rows import Run, row
from tests.faults.stack import BROKERS, until

INPUT, OUTPUT = ("ledger.in", 0), ("ledger.ev", 0)
CUT_S = 15.0
LATE_S, LATE_QUICK_S = 60.0, 10.0
LEASE_CUT_S = 8.0
HELD_S = 2.0


def _cut_off(run: Run, words: str, rules: Sequence[Rule], seconds: float = CUT_S) -> None:
    """Recovery must come while the cut still stands."""
    run.fault(f"{words}, for {seconds:.0f} s")
    with run.broken(*rules):
        run.recovered(time.monotonic())
        run.wait(seconds)


@row("F11", "what the leader and a broker say to each other arrives 60 s late", proxied=True)
def late_packets(run: Run) -> None:
    leader, broker = run.stack.leading("L0"), run.stack.broker_leading(*OUTPUT)
    held = [Rule(leader, broker, cut=True, present=True)]
    seconds = LATE_QUICK_S if run.quick else LATE_S
    _cut_off(run, f"the connections of {leader} to {broker} are held back", held, seconds)


@row("F11 delay", "every piece to and from the brokers waits 50 ms", proxied=True)
def slow_network(run: Run) -> None:
    rules = [Rule(server=broker, delay_s=0.05) for broker in BROKERS]
    _cut_off(run, "50 ms each way", rules, 10.0)


@row("F12 shards", "the leader of the shards is cut off from a broker", target_s=5.0, proxied=True)
def shards_cut_off(run: Run) -> None:
    leader, broker = run.stack.leading("L0"), run.stack.broker_leading(*INPUT)
    _cut_off(run, f"{leader} and {broker}, which leads ledger.in.0", cut(leader, broker))


@row(
    "F12 gateway",
    "the gateway is cut off from a broker",
    target_s=5.0,
    proxied=True,
    at_most={"back s": 5.0},
)
def gateway_cut_off(run: Run) -> None:
    """The target is missed while the cut lasts longer: appends go to a partition's leader alone.

    The brokers reach each other, so that they elect no other leader, and the gateway has no other
    way. A second gateway on another machine would have one.
    """
    broker = run.stack.broker_leading(*INPUT)
    run.fault(f"the gateway and {broker}, which leads ledger.in.0, for {CUT_S:.0f} s")
    with run.broken(*cut("gateway", broker)):
        run.wait(CUT_S)
    run.measured["back s"] = run.recovered(run.fault_s + CUT_S)


@row("F12 brokers", "a follower is cut off from its leader alone", target_s=5.0, proxied=True)
def brokers_cut_off(run: Run) -> None:
    leader, follower = run.stack.broker_leading(*INPUT), run.stack.broker_following(*INPUT)
    _cut_off(run, f"{follower} and {leader}, which leads ledger.in.0", cut(leader, follower))


@row("F12 isolated", "a broker is cut off from both others", target_s=5.0, proxied=True)
def broker_isolated(run: Run) -> None:
    broker = run.stack.broker_leading(*INPUT)
    others = [name for name in BROKERS if name != broker]
    rules = [rule for other in others for rule in cut(broker, other)]
    _cut_off(run, f"{broker}, which leads ledger.in.0, from {' and '.join(others)}", rules)


@row(
    "F12 one-way", "the leader of the shards hears nothing of a broker", target_s=5.0, proxied=True
)
def deaf_leader(run: Run) -> None:
    leader, broker = run.stack.leading("L0"), run.stack.broker_leading(*INPUT)
    _cut_off(run, f"{leader} does not hear {broker}", cut(leader, broker, FROM))


@row("F12 mute", "the leader of the shards is not heard by a broker", target_s=5.0, proxied=True)
def mute_leader(run: Run) -> None:
    leader, broker = run.stack.leading("L0"), run.stack.broker_leading(*INPUT)
    _cut_off(run, f"{broker} does not hear {leader}", cut(leader, broker, TO))


@row(
    "F26",
    "the leader does not reach the leases: two lead",
    proxied=True,
    leases="redis",
    auditor=True,
)
def two_leaders(run: Run) -> None:
    """Both write while the cut lasts, and the auditor finds nothing wrong with it."""
    stack = run.stack
    leader, shadow = stack.leading("M0"), stack.standing_by("M0")
    known = duplicates_read(stack, shadow)
    with quiet_auditor(run):
        run.fault(f"{leader} is cut off from Redis for {LEASE_CUT_S:.0f} s, {shadow} is not")
        with run.broken(*cut(leader, "redis")):
            run.recovered()
            led = until(lambda: stack.leading("M0") == shadow, LEASE_CUT_S)
            run.demand(led, f"{shadow} must lead by the leases")
            # What it had held back is written by then: from now on nobody writes a record twice.
            run.wait(HELD_S)
            start = end_of_outbox(stack, "M0")
            run.wait(LEASE_CUT_S)
            both = repeated(stack, "M0", start).records
            told = [numbers(stack, name)['leads{shard="M0"}'] for name in (leader, shadow)]
        run.measured["written by both"] = both
        run.demand(both > 0, "both must write")
        run.demand(told == [1, 1], f"TwoLeaders goes by two that lead, {told} were told")
        run.demand(reads_duplicates(stack, shadow, known), "DuplicateRecords must have its cause")
        run.recovered()
