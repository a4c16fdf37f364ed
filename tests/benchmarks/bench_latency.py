"""Order entry on a whole stack: latency of acceptance and of fills by rate, and the top rates.

Over REST and over WebSocket, on one broker and on three; batches for their top rate.
"""

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.benchmarks import percentiles
from tests.benchmarks.bare_stack import build_told
from tests.benchmarks.order_flow import BATCH, BATCH_ORDERS, FLOW, REST, WEB_SOCKET
from tests.benchmarks.order_stage import Answers, Client
from tests.benchmarks.percentiles import percentile, percentiles_ms
from tests.benchmarks.report import Effort, Figure, median_of, void
from tests.integration.running_stack import RunningStack, ready_stack

RATES = (100, 500, 1_000, 5_000)
PROTOCOLS = (REST, WEB_SOCKET)
PERCENTS = (50.0, 99.0, 99.9, 100.0)
FLOORS_MS = {
    (1, 500, 50.0): 5.0,
    (1, 500, 99.0): 25.0,
    (1, 1_000, 50.0): 3.0,
    (1, 1_000, 99.0): 10.0,
    (3, 1_000, 50.0): 12.0,
}
"""By brokers, rate and percentile, of acknowledgments."""
RUNS_MOST = {1: 3, 3: 1}
STAGE_S, TOP_S = 6.0, 4.0
WARM_UP_RATE, WARM_UP_S = 500.0, 25.0
"""Kafka's virtual machine compiles what is hot; that takes it most of a minute."""

TOP_FLOORS = {REST: 4_000, WEB_SOCKET: 10_000, BATCH: 30_000}
TOP_START = {REST: 500.0, WEB_SOCKET: 1_000.0, BATCH: 4_000.0}
TOP_STEPS = (1.4, 1.2)
TOP_P99_S = 0.25
"""A rate is sustained while 99 % of the answers come within that of their planned moment."""


def measure(effort: Effort) -> list[Figure]:
    """Latencies on one broker and the top rates, then latencies on three."""
    figures: list[Figure] = []
    for brokers in (1, 3) if effort.scale else (1,):
        with latency_stack(brokers) as stack, Client(stack) as client:
            found: list[Figure] = []
            client.stage(REST, WARM_UP_RATE, max(1.0, WARM_UP_S * effort.scale))
            for protocol in PROTOCOLS:
                for rate in RATES:
                    found += _latencies(client, effort, protocol, rate, brokers)
            if brokers == 1:
                found += [_top_rate(client, effort, each) for each in (*PROTOCOLS, BATCH)]
            found.append(_ended(stack, brokers))
            build = build_told(stack.settings.logs_dir / "shards.log")
        for figure in found:
            figure.build = build
        figures += found
    return figures


@contextmanager
def latency_stack(brokers: int) -> Iterator[RunningStack]:
    """A whole stack without bots, which is ready."""
    with (
        tempfile.TemporaryDirectory(prefix="logbourse-bench-") as folder,
        ready_stack(Path(folder), brokers=brokers) as stack,
    ):
        yield stack


def describe(brokers: int) -> str:
    """The stack in words, with what an acknowledgment means."""
    kept = "one Kafka broker" if brokers == 1 else "three Kafka brokers, two must have a record"
    return (
        f"a stack as `logbourse run --no-bots` starts it: {kept} (acks=all, written to the page "
        "cache, no fsync per record), six shards in one process, Redis, embedded ClickHouse, one "
        "gateway, all beside the client on this machine"
    )


def _latencies(
    client: Client, effort: Effort, protocol: str, rate: int, brokers: int
) -> list[Figure]:
    """The percentiles of acks and fills; one void figure if the runs do not count."""
    seconds = max(1.0, STAGE_S * effort.scale)
    runs = [
        client.stage(protocol, rate, seconds) for _ in range(min(effort.runs, RUNS_MOST[brokers]))
    ]
    method = (
        f"latency: {FLOW}; {protocol}, open loop, {seconds:.0f} s a run, evenly spaced, from the "
        f"planned moment to the answer, {percentiles.method()}; {describe(brokers)}"
    )
    on = "" if brokers == 1 else ", 3 brokers"
    good = [run for run in runs if not run.trouble]
    if why := why_void(runs):
        return [void(f"latency, {protocol} at {rate:,}/s{on}", "ms", why, method)]
    method += dropped(runs)
    late_ms = [1e3 * run.own_late_s_p99 for run in good]
    name = f"latency, {protocol}, the client's own lateness p99 at {rate:,}/s{on}"
    figures = [median_of(name, "ms", late_ms, method, least_is_best=True)]
    for kind in ("ack", "fill"):
        each = [percentiles_ms(_of(kind, run), PERCENTS) for run in good if _of(kind, run)]
        for index, percent in enumerate(PERCENTS if each else ()):
            short = f"{kind} p{percent:g}" if percent < 100 else f"{kind} max"
            name = f"latency, {protocol} {short} at {rate:,}/s{on}"
            floor = FLOORS_MS.get((brokers, rate, percent)) if kind == "ack" else None
            values = [found[index] for found in each]
            figure = median_of(name, "ms", values, method, floor=floor, least_is_best=True)
            figure.series, figure.x = f"latency: {protocol} {short}{on}", float(rate)
            figures.append(figure)
    return figures


def why_void(runs: Sequence[Answers]) -> str:
    """Why runs at one rate have no figure: an order that was not accepted, or most runs dropped.

    A run with an order refused or unanswered is not left out: that would hide it from the median.
    """
    refusals = [run.refusal for run in runs if run.refusal]
    if refusals:
        return f"{len(refusals)} of {len(runs)} runs: {refusals[0]}"
    late = [run.lateness for run in runs if run.lateness]
    return f"{len(late)} of {len(runs)} runs: {late[0]}" if len(late) >= len(runs) / 2 else ""


def dropped(runs: Sequence[Answers]) -> str:
    """Which runs the median leaves out, to be told with the method; empty if none."""
    late = [run.lateness for run in runs if run.lateness]
    return f"; left out {len(late)} of {len(runs)} runs: {late[0]}" if late else ""


def _of(kind: str, answers: Answers) -> list[float]:
    return answers.acks_s if kind == "ack" else answers.fills_s


def _top_rate(client: Client, effort: Effort, protocol: str) -> Figure:
    """Steps up until one is not sustained, then a smaller step from the last that was."""
    seconds = max(1.0, TOP_S * effort.scale)
    packed = f", {BATCH_ORDERS} in each" if protocol == BATCH else ""
    method = (
        f"latency: top rate over {protocol}{packed}: {FLOW}; {describe(1)}; {seconds:.0f} s at "
        f"rates that rise by {TOP_STEPS[0] - 1:.0%}, at last by {TOP_STEPS[1] - 1:.0%}; the last "
        f"at which every order was accepted and 99 % of answers came within "
        f"{TOP_P99_S * 1e3:.0f} ms of their planned moments"
    )
    sustained, why = 0.0, ""
    for step in TOP_STEPS:
        rate = sustained * step or TOP_START[protocol]
        while not (why := _not_sustained(answers := client.stage(protocol, rate, seconds))):
            sustained, rate = rate, rate * step
            if effort.scale == 0:
                break
    name = f"latency, highest sustained rate, {protocol}"
    figure = median_of(name, "orders/s", [sustained], method, floor=TOP_FLOORS[protocol])
    if not sustained or answers.lateness:
        figure.void = answers.lateness or why
    return figure


def _not_sustained(answers: Answers) -> str:
    """Why the rate is not sustained; empty if it is."""
    if answers.trouble:
        return answers.trouble
    p99_s = percentile([*answers.acks_s, *answers.fills_s], 99.0)
    return f"p99 was {p99_s * 1e3:.0f} ms" if p99_s > TOP_P99_S else ""


def _ended(stack: RunningStack, brokers: int) -> Figure:
    method = "latency: how many processes ended and were started again while all this was measured"
    ended = float(stack.words().count(" ended with "))
    name = f"latency, processes ended, {brokers} broker{'s' * (brokers > 1)}"
    return median_of(name, "", [ended], method, floor=0.0, least_is_best=True)
