"""Commands per second of `logbourse replay`'s work, on a log in memory: run again and compared."""

from collections.abc import Callable

from streams.audit.progress import Bar
from streams.audit.verify import verify
from tests.benchmarks.child import both_builds
from tests.benchmarks.exchange import MemoryExchange
from tests.benchmarks.mix import BLOCK, LEDGERS, MIX, draw
from tests.benchmarks.report import Effort, Figure, median_of, rates, when_compiled

COMMANDS = 100_000
COMPILED_FLOOR, PURE_FLOOR = 300_000, 60_000
"""Of a matching shard."""


def measure(effort: Effort) -> list[Figure]:
    """This build's rates, and the uncompiled build's."""
    return both_builds("bench_replay", effort, measure_build)


def measure_build(runs: int, scale: float) -> list[Figure]:
    """The rates of the matching shard, of the ledgers, and of all shards after one another."""
    effort = Effort(runs, scale)
    count = effort.count(COMMANDS, least=BLOCK * LEDGERS)
    exchange = MemoryExchange()
    mix = draw(count)
    exchange.play(mix)
    count += len(mix.opening)
    method = (
        f"replay: the re-execution of `logbourse replay` from genesis, with the comparison of "
        f"every record, in one process; {count:,} commands in records of {BLOCK} ({MIX}); per "
        "second of processor"
    )
    ledgers = [f"L{partition}" for partition in range(LEDGERS)]
    floor = when_compiled(COMPILED_FLOOR, pure=PURE_FLOOR)
    everything = list(exchange.archive().manifest.shards())
    return [
        _figure(effort, exchange, "replay, matching shard", ["M0"], count, method, floor),
        _figure(effort, exchange, "replay, two ledger shards", ledgers, count, method),
        _figure(effort, exchange, "replay, all five shards", everything, count, method),
    ]


def _figure(
    effort: Effort,
    exchange: MemoryExchange,
    name: str,
    shards: list[str],
    count: int,
    method: str,
    floor: float | None = None,
) -> Figure:
    archive = exchange.archive()

    def prepare() -> Callable[[], None]:
        return replay

    def replay() -> None:
        verdict = verify(archive, shards, {}, Bar("replay", 0), processes=1)
        assert not verdict.findings.listed, verdict.findings.listed[0].sentence()

    return median_of(name, "commands/s", rates(effort, count, prepare), method, floor=floor)
