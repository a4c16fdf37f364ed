"""How soon views show what the log says: from an event's log time until Redis, ClickHouse have it.

At a moderate rate over REST on a whole stack, with what an order costs each process there, and at a
high rate written straight to the ledger's inbox.
"""

from tests.benchmarks.bare_stack import build_told
from tests.benchmarks.bench_latency import describe, latency_stack
from tests.benchmarks.bench_path import path_session
from tests.benchmarks.freshness import SETTLE_S, FreshnessWatch
from tests.benchmarks.order_flow import FLOW, REST
from tests.benchmarks.order_stage import Client
from tests.benchmarks.path_orders import FLOW as PATH_FLOW
from tests.benchmarks.percentiles import percentiles_ms
from tests.benchmarks.process_cost import processor_s, resident_mb
from tests.benchmarks.report import Effort, Figure, median_of, void
from tests.integration.running_stack import RunningStack

REST_RATE, PATH_RATE = 500, 10_000
STAGE_S, WARM_UP_S = 15.0, 25.0
REST_FLOOR_MS, PATH_FLOOR_MS = 500.0, 250.0
UNSEEN_MOST = 0.005
PERCENTS = (50.0, 99.0)
VIEWS = ("Redis", "ClickHouse")
MEASURED = ("kafka", "redis", "shards", "project-redis", "query", "gateway")
"""All processes of the stack, which runs without an auditor."""


def measure(effort: Effort) -> list[Figure]:
    """Freshness over REST and of the path, processor and memory of each process."""
    seconds = max(1.0, STAGE_S * effort.scale)
    warm_up_s = max(1.0, WARM_UP_S * effort.scale)
    figures = []
    with latency_stack(1) as stack, Client(stack) as client:
        client.stage(REST, REST_RATE, warm_up_s)
        before_s = _processor_s(stack)
        watch = FreshnessWatch(stack.settings)
        with watch.watching():
            answers = client.stage(REST, REST_RATE, seconds)
        figures += _rest(watch, answers.trouble, seconds)
        after_s = _processor_s(stack)
        figures += _processor(before_s, after_s, answers.orders)
        figures += _memory(stack)
        build = build_told(stack.settings.logs_dir / "shards.log")
    for figure in figures:
        figure.build = build
    return figures + _path(seconds, warm_up_s)


def _rest(watch: FreshnessWatch, trouble: str, seconds: float) -> list[Figure]:
    method = f"fresh: {FLOW}; over REST; {describe(1)}; {_watched(REST_RATE, seconds)}"
    figures = _figures(watch, f"fresh in {{}} at {REST_RATE}/s", method, REST_FLOOR_MS)
    for figure in figures:
        figure.void = trouble or figure.void
    return figures


def _path(seconds: float, warm_up_s: float) -> list[Figure]:
    """The views follow while the generator of the full path writes."""
    method = (
        f"fresh: {PATH_FLOW}; written to ledger.in by a generator, one ledger and one matching "
        f"shard in a process each; {_watched(PATH_RATE, seconds)}"
    )
    name = f"fresh in {{}} at {PATH_RATE:,}/s (path)"
    with path_session(views=True) as session:
        session.run(PATH_RATE / 10, warm_up_s)
        watch = FreshnessWatch(session.stack.settings)
        with watch.watching():
            run = session.run(PATH_RATE, seconds)
        if ended := session.stack.ended():
            return [void(name.format("views"), "ms", ended, method, least_is_best=True)]
        figures = _figures(watch, name, method, PATH_FLOOR_MS)
    for figure in figures:
        figure.void = run.trouble or figure.void
        figure.build = session.build
    return figures


def _watched(rate: int, seconds: float) -> str:
    return (
        f"each record of ledger.ev and matching.ev during {seconds:.0f} s of {rate:,} orders/s, "
        "from its log time (when the order was sent) until the view's position passes it; Redis "
        "looked at every 5 ms, and every 20 ms what ClickHouse's projection tells Prometheus, as "
        "soon as its rows are stored, which adds up to that much; void if more than one in "
        f"{1 / UNSEEN_MOST:.0f} was not shown "
        f"{SETTLE_S:.0f} s after the last"
    )


def _figures(watch: FreshnessWatch, name: str, method: str, floor_ms: float) -> list[Figure]:
    figures, lags = [], watch.lags_s()
    for view, lags_s, unseen in zip(VIEWS, lags, watch.unseen, strict=True):
        title = name.format(view)
        if not lags_s:
            figures.append(void(title, "ms", "no record came", method, least_is_best=True))
            continue
        late = ""
        if unseen > UNSEEN_MOST * len(lags_s):
            late = f"{unseen / len(lags_s):.0%} not shown {SETTLE_S:.0f} s after the last order"
        for percent, lag_ms in zip(PERCENTS, percentiles_ms(lags_s, PERCENTS), strict=True):
            figure = median_of(
                f"{title}, p{percent:g}",
                "ms",
                [lag_ms],
                method,
                floor=floor_ms if percent == 99.0 else None,
                least_is_best=True,
            )
            figure.void = late
            figures.append(figure)
    return figures


def _processor_s(stack: RunningStack) -> dict[str, float]:
    return {name: processor_s(stack.pid(name)) for name in MEASURED}


def _processor(before_s: dict[str, float], after_s: dict[str, float], orders: int) -> list[Figure]:
    method = (
        f"fresh: seconds of processor per order at {REST_RATE}/s over REST, {SETTLE_S:.0f} idle "
        "seconds after it and the watching itself included"
    )
    spent = {name: 1e3 * (after_s[name] - before_s[name]) / orders for name in MEASURED}
    spent["all six"] = sum(spent.values())
    return [
        median_of(f"processor of {name} per order", "ms", [used], method, least_is_best=True)
        for name, used in spent.items()
    ]


def _memory(stack: RunningStack) -> list[Figure]:
    method = "fresh: resident size of each process after that, embedded parts included"
    figures = []
    for name in MEASURED:
        size_mb = resident_mb(stack.pid(name))
        figures.append(median_of(f"memory of {name}", "MB", [size_mb], method, least_is_best=True))
    return figures
