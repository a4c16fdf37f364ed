"""The full path on real Kafka: the highest rate of orders whose settlement keeps up.

Accepted, held, matched, settled, each record acknowledged by all in-sync replicas. The generator is
a process of its own. First without views and gateway, then with them.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.bare_stack import DURABILITY, BareStack, Tip, bare_stack
from tests.benchmarks.flame import PLOT, flame_graph
from tests.benchmarks.path_load import Generator, Stage
from tests.benchmarks.path_orders import FLOW, USERS
from tests.benchmarks.report import COMPILED, PURE, Effort, Figure, build_here, median_of, void

PROBE_S, CONFIRM_S = 8.0, 60.0
START_RATE = {COMPILED: 8_000.0, PURE: 2_000.0}
STEP, BACK = 1.35, 0.85
TRIES = 3
BOUND_S = 1.0
"""Lag is bounded while an order is settled within this of being sent, until the last one is."""

LOOK_S = 0.25
WARM_UP_S = 2.0
DRAIN_S = 20.0
FLOOR = 100_000
STAGES = ("kafka", "ledger", "matching", "generator")


@dataclass(slots=True)
class Run:
    """One stage at a rate: what the generator did, the lags seen, seconds of processor by stage.

    `left_s`: how long after the last order was sent all were settled.
    """

    rate: float
    stage: Stage
    lags_s: list[float]
    processor_s: dict[str, float]
    left_s: float
    lost: str = ""
    trouble: str = field(init=False, default="")

    def __post_init__(self) -> None:
        worst_s = max(self.lags_s, default=0.0)
        if self.lost or self.stage.fell_behind:
            self.trouble = self.lost or self.stage.fell_behind
        elif worst_s > BOUND_S or self.left_s > BOUND_S:
            self.trouble = f"lag reached {max(worst_s, self.left_s):.1f} s"

    def lag_s(self) -> float:
        """The worst lag."""
        return max(*self.lags_s, self.left_s)


def measure(effort: Effort) -> list[Figure]:
    """Highest bounded rate, processor by stage and lag: views off, then on."""
    return [figure for views in (False, True) for figure in _measured(effort, views=views)]


def _measured(effort: Effort, *, views: bool) -> list[Figure]:
    words = "views on" if views else "views off"
    with path_session(views=views) as session:
        figures = _search(session, effort, words)
        return figures if views else figures + _flames(session, effort)


@contextmanager
def path_session(*, views: bool) -> Iterator["PathSession"]:
    """A stack on which the full path may be loaded."""
    with ExitStack() as ending:
        folder = ending.enter_context(tempfile.TemporaryDirectory(prefix="logbourse-bench-"))
        stack = ending.enter_context(bare_stack(Path(folder) / "data", USERS, views=views))
        yield PathSession(stack, ending.enter_context(Generator(stack.settings)))


class PathSession:
    """A stack whose book is filled, and the generator that loads it."""

    def __init__(self, stack: BareStack, generator: Generator) -> None:
        self.stack = stack
        self._generator = generator
        self._tip = Tip(stack.settings)
        generator.begin(0, 0)
        self._sent = generator.end().sent
        self._wait_for_all()
        lost = self._lost()
        assert not lost, f"the book must fill: {lost}"

    def run(self, rate: float, seconds: float) -> Run:
        """Offer the rate that long, watch the lag, and wait until all is settled."""
        before_s = self.stack.processor_s()
        begin_s = time.perf_counter()
        self._generator.begin(rate, seconds)
        lags_s = []
        while (passed_s := time.perf_counter() - begin_s) < seconds:
            lag_s = self._tip.lag_s()
            if passed_s > min(WARM_UP_S, seconds / 4):
                lags_s.append(lag_s)
            time.sleep(LOOK_S)
        stage = self._generator.end()
        self._sent += stage.sent
        left_s = self._wait_for_all()
        after_s = self.stack.processor_s()
        spent_s = {name: after_s[name] - before_s[name] for name in after_s}
        spent_s["generator"] = stage.processor_s
        run = Run(rate, stage, lags_s, spent_s, left_s, self._lost())
        held = run.trouble or f"held, worst lag {run.lag_s():.2f} s"
        print(f"  {rate:,.0f} orders/s for {seconds:.0f} s: {held}", file=sys.stderr, flush=True)
        return run

    def _wait_for_all(self) -> float:
        """Seconds until the last order is closed, which takes what rests; `DRAIN_S` if it is not.

        Those that fill the book rest: there, acceptance is waited for.
        """
        begin_s = time.perf_counter()
        while (waited_s := time.perf_counter() - begin_s) < DRAIN_S:
            if self._tip.accepted() >= self._sent or self.stack.ended():
                break
            time.sleep(0.02)
        return waited_s

    def _lost(self) -> str:
        if ended := self.stack.ended():
            return ended
        accepted = self._tip.accepted()
        return "" if accepted == self._sent else f"{accepted:,} of {self._sent:,} orders accepted"


def _search(session: PathSession, effort: Effort, words: str) -> list[Figure]:
    """Steps up until lag grows, then a minute at the last rate that held, or a little below."""
    probe_s, confirm_s = max(1.0, PROBE_S * effort.scale), max(2.0, CONFIRM_S * effort.scale)
    method = _method(words, probe_s, confirm_s)
    held, rate, figures = 0.0, START_RATE[build_here()], []
    while True:
        run = session.run(rate, probe_s)
        if run.trouble and not session.stack.ended():
            # Once may be chance, such as Kafka compiling itself; twice is the rate.
            run = session.run(rate, probe_s)
        figures.append(_probe(run, words, method))
        if run.trouble or effort.scale == 0:
            break
        held, rate = rate, rate * STEP
    return [*_told(_confirmed(session, held or rate * BACK, confirm_s), words, method), *figures]


def _confirmed(session: PathSession, rate: float, seconds: float) -> Run:
    """A long run at the rate, or at less if that does not hold."""
    for attempt in range(TRIES):
        run = session.run(rate * BACK**attempt, seconds)
        if not run.trouble or session.stack.ended():
            break
    return run


def _method(words: str, probe_s: float, confirm_s: float) -> str:
    return (
        f"path, {words}: {FLOW}; generator in a process of its own, packed every 5 ms into records "
        f"for ledger.in; {DURABILITY}; probes of {probe_s:.0f} s at rates that rise by "
        f"{STEP - 1:.0%} until an order is settled later than {BOUND_S:.0f} s after it was sent, "
        f"then {confirm_s:.0f} s at the last that held, or less; every order sent was accepted and "
        "settled; all on this machine, processor in microseconds an order at that rate"
    )


def _told(run: Run, words: str, method: str) -> list[Figure]:
    name = f"path, {words}, highest bounded rate"
    rate = run.stage.sent / run.stage.seconds
    floor = FLOOR if words == "views off" and build_here() == COMPILED else None
    top = median_of(name, "orders/s", [rate], method, floor=floor)
    top.void = run.trouble
    if run.trouble:
        return [top]
    spent_s = {stage: run.processor_s[stage] for stage in STAGES}
    spent_s["all others"] = sum(run.processor_s.values()) - sum(spent_s.values())
    costs = [
        median_of(
            f"path, {words}, processor of {stage}",
            "us",
            [seconds / run.stage.sent * 1e6],
            method,
            least_is_best=True,
        )
        for stage, seconds in spent_s.items()
        if seconds
    ]
    lag = median_of(f"path, {words}, worst lag", "s", [run.lag_s()], method, least_is_best=True)
    return [top, lag, *costs]


def _probe(run: Run, words: str, method: str) -> Figure:
    name = f"path, {words}, worst lag at {run.rate:,.0f}/s"
    figure = median_of(name, "s", [run.lag_s()], method, least_is_best=True)
    figure.void = run.lost or run.stage.fell_behind
    figure.series, figure.x = f"path: {words}", run.rate
    return figure


def _flames(session: PathSession, effort: Effort) -> list[Figure]:
    """A flame graph of ledger and matching at a moderate rate; a void figure if there is none."""
    seconds = max(1.0, PROBE_S * effort.scale)
    name, method = "path, flame graph", f"path: sampled by py-spy, drawn to {PLOT.name}"
    if effort.scale == 0:
        return []
    pids = {each: session.stack.children[each].pid for each in ("ledger", "matching")}
    with flame_graph(pids, seconds) as outcome:
        session.run(START_RATE[build_here()], seconds + 1.0)
    if outcome.why:
        return [void(name, "samples", outcome.why, method)]
    return [median_of(name, "samples", [float(outcome.samples)], method)]
