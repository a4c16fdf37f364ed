"""Rows that last: a storm of kills on a bad network, and a long calm that leaks nothing."""

import time

from tests.faults.evidence import complaints
from tests.faults.network import cut
from tests.faults.proxy import Rule
from tests.faults.rows import Run, row
from tests.faults.stack import BROKERS, ORDERS_NEED
from tests.integration.auditor import until_metric

PAUSE_S = (2.0, 10.0)
SHARE_BROKEN = 0.3
KILL_COSTS_S = 3.0
"""What the loss of one of these alone may cost (F1, F2, F6); see docs/decisions/0024."""

QUIET_EVERY_S = 300.0
"""So often killing stops until all is whole, and the auditor is asked what it has found by then."""

SAMPLE_S = 5.0
SETTLED = 0.25
"""The first part of a soak does not count: caches fill."""


@row(
    "F30",
    "any process is killed every 2 to 10 s, on a network that fails now and then",
    runs=1,
    proxied=True,
    own_stack=True,
    auditor=True,
    stack=("--gateways", "2"),
    least_min=20.0,
    at_least={"seconds with acknowledgements %": 99.0},
    at_most={"outage by kill s": KILL_COSTS_S},
)
def storm(run: Run) -> None:
    stack, rng = run.stack, run.rng
    run.fault(f"a storm of {run.minutes:.1f} minutes")
    begin_s = time.monotonic()
    kills: dict[str, int] = {}
    quiet_s, quiets = begin_s + QUIET_EVERY_S, 0
    while (left_s := begin_s + run.minutes * 60 - time.monotonic()) > 0:
        pause_s = min(left_s, rng.uniform(*PAUSE_S))
        if rng.random() < SHARE_BROKEN:
            with stack.network.broken(*_some_trouble(run)):
                run.wait(pause_s)
        else:
            run.wait(pause_s)
        name = rng.choice(stack.names())
        if stack.pid(name):
            kills[name] = kills.get(name, 0) + 1
            stack.sigkill(name)
        if time.monotonic() >= quiet_s:
            stack.until_whole()
            run.recovered(time.monotonic())
            _expect_nothing_complained_of(run)
            quiet_s, quiets = time.monotonic() + QUIET_EVERY_S, quiets + 1
    end_s = time.monotonic()
    run.recovered(end_s)
    _expect_nothing_complained_of(run)
    run.words.append(f"killed: {', '.join(f'{n} {name}' for name, n in sorted(kills.items()))}")
    run.measured["kills"] = sum(kills.values())
    run.measured["quiet points"] = quiets
    moments = _seconds_acknowledged(run, begin_s, end_s)
    seconds = max(1, int(end_s - begin_s))
    run.measured["seconds with acknowledgements %"] = 100.0 * len(moments) / seconds
    needed = sum(n for name, n in kills.items() if name.startswith(ORDERS_NEED))
    without = set(range(seconds)) - moments
    run.measured["outage by kill s"] = len(without) / max(1, needed)
    run.measured["longest outage s"] = max((len(each) for each in _runs_of(without)), default=0)
    run.words.append(f"seconds without: {_ranges(without)}")


def _expect_nothing_complained_of(run: Run) -> None:
    """The auditor, killed like all others, has read the whole storm and stopped nothing."""
    until_metric(run.stack, "state", 1)
    told = complaints(run.stack)
    run.demand(not told, f"the auditor may complain of nothing: {told[:3]}")


def _some_trouble(run: Run) -> tuple[Rule, ...]:
    rng = run.rng
    one, other = rng.sample(BROKERS, 2)
    client = rng.choice(("gateway", *run.stack.hosts()))
    return rng.choice(
        (
            cut(one, other),
            cut(client, one),
            cut(client, one, "from"),
            (Rule(client, other, delay_s=0.2),),
            (Rule(client, one, cut=True, present=True),),
        )
    )


def _seconds_acknowledged(run: Run, begin_s: float, end_s: float) -> set[int]:
    """The seconds of the storm in which an order was acknowledged."""
    return {
        int(sent.answered_s - begin_s)
        for sent in run.load.acknowledged()
        if begin_s <= sent.answered_s < begin_s + int(end_s - begin_s)
    }


def _ranges(numbers: set[int]) -> str:
    """Numbers as "3 to 5, 9"."""
    words = [f"{e[0]} to {e[-1]}" if len(e) > 1 else f"{e[0]}" for e in _runs_of(numbers)]
    return ", ".join(words) or "none"


def _runs_of(numbers: set[int]) -> list[list[int]]:
    """Numbers in order, those that follow each other together."""
    found: list[list[int]] = []
    for number in sorted(numbers):
        if found and found[-1][-1] == number - 1:
            found[-1].append(number)
        else:
            found.append([number])
    return found


@row(
    "F32",
    "nothing happens for long: memory does not grow",
    runs=1,
    own_stack=True,
    least_min=30.0,
    at_most={"most MB/h": 1.0},
)
def soak(run: Run) -> None:
    run.fault(f"nothing, for {run.minutes:.1f} minutes")
    begin_s = time.monotonic()
    samples: list[tuple[float, dict[str, float]]] = []
    while time.monotonic() - begin_s < run.minutes * 60:
        run.wait(SAMPLE_S)
        samples.append((time.monotonic() - begin_s, run.stack.resident_mb()))
    kept = samples[int(len(samples) * SETTLED) :]
    for name in sorted(set().union(*(told for _, told in kept))):
        points = [(at_s / 3_600, told[name]) for at_s, told in kept if name in told]
        run.measured[f"{name} MB"] = points[-1][1]
        run.measured[f"{name} MB/h"] = slope(points)
    run.measured["most MB/h"] = max(
        grown for name, grown in run.measured.items() if name.endswith(" MB/h")
    )


def slope(points: list[tuple[float, float]]) -> float:
    """The slope of the line with the least squares; 0 for a single point."""
    middle = sum(x for x, _ in points) / len(points)
    spread = sum((x - middle) ** 2 for x, _ in points)
    level = sum(y for _, y in points) / len(points)
    return sum((x - middle) * (y - level) for x, y in points) / spread if spread else 0.0
