"""`logbourse bench`: which benchmarks there are, and one run of those that were asked for."""

import argparse
import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.report import FULL, QUICK, ROOT, Effort, Figure, as_json, as_table

PAGE = ROOT / "docs" / "benchmarks.md"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"


class Benchmark(NamedTuple):
    """The module, which has `measure(effort) -> list[Figure]`, and what it measures."""

    module: str
    what: str


BENCHMARKS: dict[str, Benchmark] = {
    "book": Benchmark("bench_book", "the order book alone"),
    "ledger": Benchmark("bench_ledger", "a ledger shard's rules alone"),
    "codec": Benchmark("bench_codec", "the codec, beside fastavro"),
    "host": Benchmark("bench_host", "a shard's worker on a log in memory"),
    "replay": Benchmark("bench_replay", "the auditor's replay of a log in memory"),
    "orders": Benchmark("bench_orders", "order entry over HTTP on a whole stack with real Kafka"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse bench` takes."""
    parser.add_argument("names", nargs="*", metavar="NAME", help="which (all if none is named)")
    parser.add_argument("--list", action="store_true", help="name them and end")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, three runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--record", action="store_true", help=f"put the table into {PAGE.name} too")


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; the exit status: 2 for an unknown name, else 0, floors missed or not."""
    if arguments.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<8} {benchmark.what}")
        return 0
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        print(
            f"a benchmark must be one of {', '.join(BENCHMARKS)}, was {unknown[0]}", file=sys.stderr
        )
        return 2
    figures: list[Figure] = []
    for name in arguments.names or BENCHMARKS:
        print(f"measuring {BENCHMARKS[name].what} …", file=sys.stderr, flush=True)
        figures += measure(name, QUICK if arguments.quick else FULL)
    print(as_json(figures) if arguments.json else as_table(figures))
    if arguments.record:
        record(PAGE, as_table(figures))
    return 0


def record(page: Path, table: str) -> None:
    """Put the table in the place of the last one; `ValueError` if the page has no place for it."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must have a line {BEGIN} and a line {END}, had not")
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def measure(name: str, effort: Effort) -> list[Figure]:
    """The figures of one benchmark."""
    module = importlib.import_module(f"tests.benchmarks.{BENCHMARKS[name].module}")
    found: Callable[[Effort], list[Figure]] = module.measure
    return found(effort)
