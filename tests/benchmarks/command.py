"""`logbourse bench`: which benchmarks there are, one run of those asked for, two runs compared."""

import argparse
import importlib
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from infra.refusal import Refusal
from native.selection import ROOT, build_in_use
from tests.benchmarks import plots
from tests.benchmarks.compare import BAD, as_lines, compare
from tests.benchmarks.report import (
    FULL,
    QUICK,
    Effort,
    Figure,
    as_json,
    as_table,
    read_figures,
)

PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "plots"
BEGIN, END = "<!-- figures: written by make bench -->", "<!-- end of figures -->"
COMPARE = "compare"


class Benchmark(NamedTuple):
    """The module, which has `measure(effort) -> list[Figure]`, what it measures, how long."""

    module: str
    what: str
    minutes: float


BENCHMARKS: dict[str, Benchmark] = {
    "book": Benchmark("bench_book", "the order book alone, beside peers from PyPI", 2),
    "ledger": Benchmark("bench_ledger", "a ledger shard's rules alone", 0.5),
    "codec": Benchmark("bench_codec", "the codec, beside fastavro", 0.5),
    "host": Benchmark("bench_host", "a shard's worker on a log in memory", 1),
    "shard": Benchmark("bench_shard", "a shard's worker on real Kafka, its input there before", 2),
    "path": Benchmark("bench_path", "the full path on real Kafka, views off and on", 6),
    "latency": Benchmark("bench_latency", "order entry over REST, WebSocket and in batches", 7.5),
    "replay": Benchmark("bench_replay", "the auditor's replay of a log in memory", 1),
    "recovery": Benchmark("bench_recovery", "recovery by the age of the snapshot", 0.5),
    "fresh": Benchmark("bench_fresh", "how soon views show what the log says", 2),
    "scale": Benchmark("bench_scale", "cost by markets, users and resting orders", 3),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse bench` takes."""
    names = "which (all if none is named), or: compare A.json B.json"
    parser.add_argument("names", nargs="*", metavar="NAME", help=names)
    parser.add_argument("--list", action="store_true", help="name them and end")
    parser.add_argument("--quick", action="store_true", help="a tenth of the work, three runs")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--save", type=Path, metavar="FILE", help="write the JSON there too")
    parser.add_argument(
        "--record", action="store_true", help=f"rewrite {PAGE.name}, its JSON and its plots too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Measure and print; the exit status: 2 for an unknown name, else 0, floors missed or not.

    `compare` ends with 1 if something got worse. Raises `Refusal` for files it cannot read.
    """
    if arguments.list:
        for name, benchmark in BENCHMARKS.items():
            print(f"{name:<8} {benchmark.what} (about {benchmark.minutes:g} min)")
        return 0
    if arguments.names[:1] == [COMPARE]:
        return compare_files(arguments.names[1:])
    unknown = [name for name in arguments.names if name not in BENCHMARKS]
    if unknown:
        known = ", ".join([*BENCHMARKS, COMPARE])
        print(f"a benchmark must be one of {known}, was {unknown[0]}", file=sys.stderr)
        return 2
    if arguments.record and arguments.names:
        print("what is recorded is all of it: name none with --record", file=sys.stderr)
        return 2
    figures: list[Figure] = []
    for name in arguments.names or BENCHMARKS:
        print(f"measuring {BENCHMARKS[name].what}, {build_in_use()} …", file=sys.stderr, flush=True)
        begin_s = time.monotonic()
        figures += measured(name, QUICK if arguments.quick else FULL)
        print(f"{name} took {time.monotonic() - begin_s:.0f} s", file=sys.stderr, flush=True)
        if arguments.save:
            arguments.save.write_text(as_json(figures) + "\n", encoding="utf-8")
    print(as_json(figures) if arguments.json else as_table(figures))
    if arguments.record:
        record(PAGE, as_table(figures))
        PAGE.with_suffix(".json").write_text(as_json(figures) + "\n", encoding="utf-8")
        print("\n".join(plots.draw(figures, PLOTS)), file=sys.stderr)
    return 0


def compare_files(paths: list[str]) -> int:
    """Print the ratios; 1 if something got worse or is missing. Raises `Refusal`."""
    if len(paths) != 2:
        raise Refusal(f"compare takes two files of logbourse bench --json, was given {len(paths)}")
    told = []
    for path in paths:
        try:
            told.append(read_figures(Path(path).read_text(encoding="utf-8")))
        except ValueError as error:
            raise Refusal(f"{path}: {error}") from error
    (machine_before, before), (machine_after, after) = told
    compared = compare(before, after)
    print("\n".join(as_lines((machine_before, machine_after), compared)))
    return int(any(each.verdict in BAD for each in compared))


def record(page: Path, table: str) -> None:
    """Put the table in the place of the last one; `ValueError` if the page has no place for it."""
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} must have a line {BEGIN} and a line {END}, had not")
    page.write_text(f"{before}{BEGIN}\n\n{table}\n\n{END}{after}", encoding="utf-8")


def measured(name: str, effort: Effort) -> list[Figure]:
    """The figures of one benchmark; one void figure if it broke, so that others still count."""
    try:
        return measure(name, effort)
    except Exception as error:
        traceback.print_exc()
        why = " ".join(str(error).split())[:200]
        return [Figure(name, 0.0, "", [], f"{name}: broke, see above", void=f"broke: {why}")]


def measure(name: str, effort: Effort) -> list[Figure]:
    """The figures of one benchmark."""
    module = importlib.import_module(f"tests.benchmarks.{BENCHMARKS[name].module}")
    found: Callable[[Effort], list[Figure]] = module.measure
    return found(effort)
