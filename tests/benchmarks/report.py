"""What a benchmark hands back, the machine it ran on, and both as a table or as JSON."""

import json
import os
import platform
import statistics
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from time import process_time
from typing import Any

ROOT = Path(__file__).parent.parent.parent
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


@dataclass(slots=True)
class Figure:
    """One measured number: the median of `runs`, with what was done in `method`.

    `floor` is what it must reach: at least, or for latencies (`least_is_best`) at most.
    """

    name: str
    value: float
    unit: str
    runs: list[float]
    method: str
    floor: float | None = None
    least_is_best: bool = False
    load_average: float = field(default_factory=lambda: os.getloadavg()[0])

    @property
    def reached(self) -> bool | None:
        """Whether the floor was reached; None if there is none."""
        if self.floor is None:
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
        "commit": _commit(),
        "load_average": list(os.getloadavg()),
        "taken": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def as_json(figures: Sequence[Figure]) -> str:
    """Machine and figures as JSON."""
    listed = [asdict(figure) | {"reached": figure.reached} for figure in figures]
    return json.dumps({"machine": machine(), "figures": listed}, indent=2)


def as_table(figures: Sequence[Figure]) -> str:
    """Machine and figures as a Markdown table, each method once below it."""
    facts = machine()
    lines = [
        f"{facts['processor']}, {facts['cores']} cores, {facts['memory_mb']:,} MB; "
        f"{facts['system']}, {facts['python']}; commit {facts['commit']}, {facts['taken']}",
        "",
        "| what | median | lowest to highest | runs | floor | load |",
        "|---|---:|---:|---:|---:|---:|",
        *map(_row, figures),
        "",
    ]
    methods = dict.fromkeys(figure.method for figure in figures)
    return "\n".join([*lines, *(f"* {method}" for method in methods)])


def _row(figure: Figure) -> str:
    spread = f"{_number(min(figure.runs))} to {_number(max(figure.runs))}"
    floor = ""
    if figure.floor is not None:
        sign = "≤" if figure.least_is_best else "≥"
        floor = f"{sign} {_number(figure.floor)}{'' if figure.reached else ' missed'}"
    value = f"{_number(figure.value)} {figure.unit}"
    load = f"{figure.load_average:.1f}"
    return f"| {figure.name} | {value} | {spread} | {len(figure.runs)} | {floor} | {load} |"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:,.2f}"


def _processor() -> str:
    path = Path("/proc/cpuinfo")
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.processor() or platform.machine()


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "rev-parse", "--short", "HEAD"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or "unknown"
