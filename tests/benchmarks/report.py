"""What a benchmark hands back, the machine it ran on, and both as a table or as JSON."""

import json
import os
import platform
import re
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

from native.selection import ROOT, build_in_use

PACKAGES = ("aiohttp", "chdb", "confluent-kafka", "fastavro", "faust-streaming", "redis", "uvloop")


@dataclass(slots=True, frozen=True)
class Effort:
    """How much to do: `scale` shrinks counts and durations; each is measured `runs` times."""

    runs: int = 5
    scale: float = 1.0

    def count(self, full: int, least: int = 1) -> int:
        """The count to use where a full run uses `full`."""
        return max(least, int(full * self.scale))


FULL = Effort()
QUICK = Effort(runs=3, scale=0.1)
COMPILED, PURE = "compiled", "pure"
"""What `build_in_use` says."""


def when_compiled(floor: float, *, pure: float | None = None) -> float | None:
    """A floor of the compiled build; the other has the floor `pure`, if any."""
    return floor if build_in_use() == COMPILED else pure


@dataclass(slots=True)
class Figure:
    """One measured number: the median of `runs`, with what was done in `method`.

    `floor` is what it must reach: at least, or for latencies (`least_is_best`) at most. `void`
    says why the number does not count; then a table shows the reason in its
    place. `series` and `x` place it in a plot: the curve and what was varied.
    """

    name: str
    value: float
    unit: str
    runs: list[float]
    method: str
    floor: float | None = None
    least_is_best: bool = False
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])
    build: str = field(default_factory=build_in_use)
    void: str = ""
    series: str = ""
    x: float | None = None

    @property
    def reached(self) -> bool | None:
        """Whether the floor was reached; None if there is none, or no number that counts."""
        if self.floor is None or self.void:
            return None
        return self.value <= self.floor if self.least_is_best else self.value >= self.floor


def median_of(
    name: str,
    unit: str,
    runs: Sequence[float],
    method: str,
    *,
    floor: float | None = None,
    least_is_best: bool = False,
) -> Figure:
    """The figure for these runs."""
    middle = statistics.median(runs)
    return Figure(name, middle, unit, list(runs), method, floor, least_is_best)


def void(name: str, unit: str, why: str, method: str, *, least_is_best: bool = False) -> Figure:
    """A figure that there is no number for, and why in one line."""
    return Figure(name, 0.0, unit, [], method, least_is_best=least_is_best, void=why)


def rates(effort: Effort, count: int, prepare: Callable[[], Callable[[], None]]) -> list[float]:
    """How many of `count` a second of processor time each run did.

    `prepare` is not measured and gives the work that is. The benchmark has one thread, so on an
    idle core a second of processor time is a second.
    """
    found = []
    for _ in range(effort.runs):
        work = prepare()
        start_s = process_time()
        work()
        found.append(count / (process_time() - start_s))
    return found


def machine() -> dict[str, Any]:
    """Processor, cores, memory, system, Python, packages and commit."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_mb": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "system": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "packages": {name: version(name) for name in PACKAGES},
        "kafka": _kafka_version(),
        "build": build_in_use(),
        "commit": _commit(),
        "load_average": list(os.getloadavg()),
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def as_json(figures: Sequence[Figure]) -> str:
    """Machine and figures as JSON."""
    listed = [asdict(figure) | {"reached": figure.reached} for figure in figures]
    return json.dumps({"machine": machine(), "figures": listed}, indent=2)


def read_figures(text: str) -> tuple[dict[str, Any], list[Figure]]:
    """Machine and figures of what `as_json` wrote; `ValueError` for anything else."""
    told = json.loads(text)
    if not isinstance(told, dict) or not {"machine", "figures"} <= told.keys():
        raise ValueError("machine and figures were wanted, as logbourse bench --json prints them")
    known = Figure.__dataclass_fields__.keys()
    try:
        return told["machine"], [
            Figure(**{name: value for name, value in each.items() if name in known})
            for each in told["figures"]
        ]
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a figure of logbourse bench --json was wanted: {error}") from error


def as_table(figures: Sequence[Figure]) -> str:
    """Machine and figures as a Markdown table, each method once below it."""
    facts = machine()
    packages = ", ".join(f"{name} {number}" for name, number in facts["packages"].items())
    lines = [
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_mb']:,} MB; "
        f"{facts['system']}, {facts['python']}, Kafka {facts['kafka']}; {packages}; "
        f"commit {facts['commit']}, {facts['taken']}",
        "",
        "| what | build | median | lowest to highest | runs | floor | load |",
        "|---|---|---:|---:|---:|---:|---:|",
        *map(_row, figures),
        "",
    ]
    methods = dict.fromkeys(figure.method for figure in figures)
    return "\n".join([*lines, *(f"* {method}" for method in methods)])


def _row(figure: Figure) -> str:
    load = f"{figure.load_average:.1f}"
    floor = ""
    if figure.floor is not None:
        sign = "≤" if figure.least_is_best else "≥"
        floor = f"{sign} {number(figure.floor)}{' missed' if figure.reached is False else ''}"
    if figure.void:
        value, spread = f"void: {figure.void}", ""
    else:
        value = f"{number(figure.value)} {figure.unit}"
        spread = f"{number(min(figure.runs))} to {number(max(figure.runs))}"
    cells = (figure.name, figure.build, value, spread, str(len(figure.runs)), floor, load)
    return f"| {' | '.join(cells)} |"


def number(value: float) -> str:
    """As tables show it: no decimals from 100 up, two below."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:,.2f}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _kafka_version() -> str:
    text = (ROOT / "infra" / "kafka" / "pom.xml").read_text(encoding="utf-8")
    found = re.search(r"<kafka.version>([^<]+)<", text)
    return found[1] if found else "unknown"


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
