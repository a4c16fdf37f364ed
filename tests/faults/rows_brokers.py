"""Rows of brokers: killed in each of their roles, two at once, rolled, and frozen."""

import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from dataclasses import dataclass

from tests.benchmarks.percentiles import percentile
from tests.faults.evidence import quiet_auditor
from tests.faults.rows import Run, row
from tests.faults.rows_clients import persist, resting_order
from tests.faults.stack import BROKERS
from tests.integration.trader import Answer, Request, Trader

INPUT = ("ledger.in", 0)
TWO_DOWN_S = 5.0
TOLD_WITHIN_S = 10.0
ASKED = 8
"""So many orders are sent while two brokers are down, beside the load."""

NOT_TAKEN, UNKNOWN = -1008, -1007
REFUSED_BY_RULES = (-2010, -2011)
"""What the exchange also says in peace: an order or a cancel that its state does not allow."""

ON_THEIR_WAY_S = 1.0
"""Orders begun so shortly before a broker goes may meet its end."""

SETTLES_S = 5.0
"""A broker that has just started compiles itself; docs/operating.md tells operators to wait."""


def _kill_broker(run: Run, name: str, role: str) -> None:
    run.wait(run.rng.uniform(0.0, 1.0))
    run.fault(f"SIGKILL {name}, {role}")
    with run.stack.no_restarts():
        run.stack.sigkill(name)
        run.recovered(time.monotonic())
        run.wait(2.0)


@row(
    "F6 leader",
    "the broker that leads an inbox of a ledger is killed",
    target_s=3.0,
    auditor=True,
)
def leader_killed(run: Run) -> None:
    with quiet_auditor(run):
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
    "two brokers are down for 5 s and until somebody is told: nothing is written, and all goes on",
    at_most={"orders after that s": 5.0},
)
def two_brokers_down(run: Run) -> None:
    """Who asks meanwhile is told that his order was not taken, or that nobody knows yet.

    Brokers stay down until the first is told, which takes the gateway's patience of 5 s.
    """
    victims = run.rng.sample(BROKERS, 2)
    account = run.stack.add_user(USDT="1000000")
    traders = [Trader(run.stack.url, account) for _ in range(ASKED)]
    run.fault(f"SIGKILL {' and '.join(victims)}")
    with ThreadPoolExecutor(ASKED) as pool:
        with run.stack.no_restarts():
            run.stack.sigkill(*victims)
            run.wait(ON_THEIR_WAY_S)
            asked = [pool.submit(_ask, trader, number) for number, trader in enumerate(traders)]
            run.wait(TWO_DOWN_S - ON_THEIR_WAY_S)
            wait(asked, TOLD_WITHIN_S, FIRST_COMPLETED)
            acked_s = [sent.answered_s for sent in run.load.acknowledged()]
        _expect_return(run, victims, acked_s)
        _expect_told(run, traders, [each.result() for each in asked])
    for trader in traders:
        trader.close()


@dataclass(slots=True, frozen=True)
class _Asked:
    request: Request
    answer: Answer
    answered_s: float


def _ask(trader: Trader, number: int) -> _Asked:
    request = resting_order(trader, f"down{number}")
    answer = trader.send(request)
    return _Asked(request, answer, time.monotonic())


def _expect_told(run: Run, traders: list[Trader], asked: list[_Asked]) -> None:
    """Until a broker is back nobody is told of success; asked again, each order is there once."""
    returned_s = run.fault_s + run.measured["a broker is back s"]
    early = [each.answer for each in asked if each.answered_s < returned_s]
    wrong = [each for each in early if each.status and not _is_unsuccessful(each)]
    run.demand(any(each.status for each in early), "somebody must be told meanwhile")
    run.demand(not wrong, f"503 with {NOT_TAKEN} or {UNKNOWN} is wanted, was {wrong[:3]}")
    run.words.append(f"told meanwhile: {sorted(each.code for each in early)} of {ASKED} orders")
    for each in asked:
        answer = persist(traders[0], each.request)
        run.demand(answer.status == 200, f"sent again it must be taken, was {answer}")
    rows = traders[0].good("GET", "/api/v3/allOrders", symbol="BTCUSDT", limit=1_000)
    names = sorted(each["clientOrderId"] for each in rows)
    wanted = sorted(f"down{number}" for number in range(ASKED))
    run.demand(names == wanted, f"there must be one order of each, were {names}")


def _is_unsuccessful(answer: Answer) -> bool:
    return answer.status == 503 and answer.code in (NOT_TAKEN, UNKNOWN)


def _expect_return(run: Run, victims: list[str], acked_s: list[float]) -> None:
    run.measured["last acknowledgement s"] = max(acked_s) - run.fault_s
    run.demand(
        max(acked_s) - run.fault_s < TWO_DOWN_S / 2, "with one broker nothing may be acknowledged"
    )
    run.stack.until(lambda: any(map(run.stack.listens, victims)), 120.0, "a broker must return")
    returned_s = time.monotonic()
    run.measured["a broker is back s"] = returned_s - run.fault_s
    run.measured["orders after that s"] = run.recovered(returned_s)


@row("F8", "brokers are restarted one by one", at_most={"p99 s": 1.0, "orders sent again": 0.0})
def brokers_rolled(run: Run) -> None:
    """The quiet in between does not count: only orders begun while a broker was away or behind.

    None of them may be refused for it; that none is lost is judged after every run.
    """
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
        for client in run.load.clients
        for sent in client.record[:]
        if any(begin_s <= sent.began_s <= end_s for begin_s, end_s in away)
    ]
    took_s = [sent.answered_s - sent.began_s for sent in met if sent.places and sent.acknowledged]
    run.measured["p99 s"] = percentile(took_s, 99.0)
    run.measured["orders sent again"] = sum(sent.attempts > 1 for sent in met)
    errors = [sent.code for sent in met if sent.code and sent.code not in REFUSED_BY_RULES]
    run.demand(not errors, f"no request may fail for it, {len(errors)} did: {set(errors)}")


def _freeze_broker(run: Run, seconds: float) -> None:
    name = run.stack.broker_leading(*INPUT)
    run.fault(f"SIGSTOP {name}, the leader of ledger.in.0, for {seconds:.0f} s")
    with run.stack.frozen(name):
        run.recovered(time.monotonic())
        run.wait(seconds)


@row("F10 5s", "the broker that leads an inbox of a ledger is frozen for 5 s", target_s=5.5)
def broker_frozen_for_5_seconds(run: Run) -> None:
    _freeze_broker(run, 5.0)


@row("F10 70s", "the broker that leads an inbox of a ledger is frozen for 70 s", target_s=5.5)
def broker_frozen_for_70_seconds(run: Run) -> None:
    _freeze_broker(run, 70.0)
