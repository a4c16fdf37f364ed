"""The full path on real Kafka: the highest rate of orders whose settlement keeps up.

Accepted, held, matched, settled, each record acknowledged by all in-sync replicas. The generator is
a process of its own. First without views and gateway, then with them.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.benchmarks.bare_stack import DURABILITY, BareStack, Tip, bare_stack
from tests.benchmarks.flame import PLOT, flame_graph
from tests.benchmarks.path_load import Generator, Stage
from tests.benchmarks.path_orders import FLOW, USERS
from tests.benchmarks.report import COMPILED, PURE, Effort, Figure, median_of, void

PROBE_S, CONFIRM_S = 6.0, 60.0
START_RATE = {COMPILED: 8_000.0, PURE: 2_000.0}
STEP, BACK = 1.35, 0.85
TRIES = 3
BOUND_S = 1.0
"""Lag is bounded while an order is settled within this of being sent, until the last one is."""

LOOK_S = 0.25
WARM_UP_S = 2.0
DRAIN_S = 20.0
CALM_S = 2.0
FLOOR = 100_000
VIEWS_OFF, VIEWS_ON = "views off", "gateway and views on"
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
    ended: bool = False
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
    """A process that ends is not started again: the next try is on a stack of its own."""
    words = VIEWS_ON if views else VIEWS_OFF
    confirm_s = max(2.0, CONFIRM_S * effort.scale)
    with path_session(views=views) as session:
        figures = _search(session, effort, words)
        held = [
            figure.x or 0.0 for figure in figures if figure.value <= BOUND_S and not figure.void
        ]
        rate = max(held, default=START_RATE[session.build] * BACK)
        run = _confirmed(session, rate, confirm_s)
        if not views:
            figures += _flames(session, effort)
    for _ in range(TRIES - 1):
        if not run.trouble:
            break
        rate /= 2
        with path_session(views=views) as session:
            run = session.run(rate, confirm_s)
    figures = [*_told(session, run, words, _method(effort, words)), *figures]
    for figure in figures:
        figure.build = session.build
    return figures


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
        self.build = stack.build()
        self._generator = generator
        self._tip = Tip(stack.settings)
        generator.begin(0, 0)
        filled = generator.end().sent
        self._wait(lambda: self._tip.accepted() == filled)
        accepted = self._tip.accepted()
        ended = stack.ended()
        assert accepted == filled, f"{filled:,} orders must rest first, {accepted:,} do: {ended}"

    def run(self, rate: float, seconds: float) -> Run:
        """Offer the rate that long, watch the lag, and wait until all is settled."""
        accepted, before_s = self._tip.accepted(), self.stack.processor_s()
        self._generator.begin(rate, seconds)
        lags_s = self._watch(seconds)
        stage = self._generator.end()
        # The last order of a stage takes: once it is closed, all before it are settled.
        last = accepted + stage.sent
        left_s = self._wait(lambda: self._tip.closed(last))
        after_s = self.stack.processor_s()
        spent_s = {name: after_s[name] - before_s[name] for name in after_s}
        spent_s["generator"] = stage.processor_s
        ended = bool(self.stack.ended())
        run = Run(rate, stage, lags_s, spent_s, left_s, self._lost(last), ended)
        held = run.trouble or f"held, worst lag {run.lag_s():.2f} s"
        print(f"  {rate:,.0f} orders/s for {seconds:.0f} s: {held}", file=sys.stderr, flush=True)
        if run.trouble:
            self._calm()
        return run

    def _watch(self, seconds: float) -> list[float]:
        begin_s, lags_s = time.perf_counter(), []
        while (passed_s := time.perf_counter() - begin_s) < seconds:
            lag_s = self._tip.lag_s()
            if passed_s > min(WARM_UP_S, seconds / 4):
                lags_s.append(lag_s)
            time.sleep(LOOK_S)
        return lags_s

    def _wait(self, done: Callable[[], bool]) -> float:
        """Seconds until it is done, at most `DRAIN_S`, or until a process ends."""
        begin_s = time.perf_counter()
        while (waited_s := time.perf_counter() - begin_s) < DRAIN_S:
            if done() or self.stack.ended():
                break
            time.sleep(0.05)
        return waited_s

    def _lost(self, last: int) -> str:
        """What is not as it must be once all had time to settle; empty if all is."""
        if ended := self.stack.ended():
            return ended
        accepted = self._tip.accepted()
        if accepted != last:
            return f"{abs(last - accepted):,} orders not accepted {DRAIN_S:.0f} s after the last"
        return "" if self._tip.closed(last) else f"not settled {DRAIN_S:.0f} s after the last order"

    def _calm(self) -> None:
        """Wait until what was too much is worked off, refused or accepted, so that it is over."""
        before, now = -1, self._tip.accepted()
        while before != now and not self.stack.ended():
            time.sleep(CALM_S)
            before, now = now, self._tip.accepted()


def _search(session: PathSession, effort: Effort, words: str) -> list[Figure]:
    """The worst lag at rates that rise until it grows, or a process ends."""
    probe_s, method = max(1.0, PROBE_S * effort.scale), _method(effort, words)
    rate, figures = START_RATE[session.build], []
    while True:
        run = session.run(rate, probe_s)
        if run.trouble and not session.stack.ended():
            # Once may be chance, such as Kafka compiling itself; twice is the rate.
            run = session.run(rate, probe_s)
        figures.append(_probe(run, words, method))
        if run.trouble or effort.scale == 0:
            return figures
        rate *= STEP


def _confirmed(session: PathSession, rate: float, seconds: float) -> Run:
    """A long run at the rate, or at less if that does not hold."""
    for attempt in range(TRIES):
        run = session.run(rate * BACK**attempt, seconds)
        if not run.trouble or run.ended:
            break
    return run


def _method(effort: Effort, words: str) -> str:
    probe_s, confirm_s = max(1.0, PROBE_S * effort.scale), max(2.0, CONFIRM_S * effort.scale)
    behind = "; views may be behind meanwhile, which is `fresh`" if words == VIEWS_ON else ""
    return (
        f"path, {words}: {FLOW}; generator in a process of its own, packed every 5 ms into records "
        f"for ledger.in; {DURABILITY}; probes of {probe_s:.0f} s at rates that rise by "
        f"{STEP - 1:.0%} until an order is settled later than {BOUND_S:.0f} s after it was sent, "
        f"then {confirm_s:.0f} s at the last that held, or less; every order sent was accepted and "
        f"settled; all on this machine, processor in microseconds an order at that rate{behind}"
    )


def _told(session: PathSession, run: Run, words: str, method: str) -> list[Figure]:
    name = f"path, {words}, highest bounded rate"
    rate = run.stage.sent / run.stage.seconds
    floor = FLOOR if words == VIEWS_OFF and session.build == COMPILED else None
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
    with flame_graph(pids, seconds, native=session.build == COMPILED) as outcome:
        session.run(START_RATE[session.build], seconds + 1.0)
    if outcome.why:
        return [void(name, "samples", outcome.why, method)]
    return [median_of(name, "samples", [float(outcome.samples)], method)]
