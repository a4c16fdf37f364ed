"""Plots of figures as SVG: one chart for each group of series, drawn by matplotlib."""

import importlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from tests.benchmarks.report import Figure


class Chart(NamedTuple):
    """The file, its words, and the beginning of the names of its series."""

    file: str
    title: str
    x: str
    y: str
    series: str


CHARTS = (
    Chart("latency.svg", "Latency by rate", "orders/s offered", "ms", "latency: "),
    Chart("path.svg", "Full path by rate", "orders/s offered", "lag, s", "path: "),
    Chart(
        "cost.svg", "Cost of an order by size", "how many there are", "us of processor", "cost: "
    ),
    Chart("recovery.svg", "Recovery by snapshot age", "commands behind", "s", "recovery: "),
    Chart("memory.svg", "Memory by size", "how many there are", "bytes each", "memory: "),
)


def draw(figures: Sequence[Figure], folder: Path) -> list[str]:
    """Write the charts that there are figures for; a line each about what was done."""
    try:
        pyplot = _pyplot()
    except ModuleNotFoundError as missing:
        return [f"no plots: {missing.name} of requirements-bench.txt is not installed"]
    folder.mkdir(parents=True, exist_ok=True)
    told = []
    for chart in CHARTS:
        curves = _curves(figures, chart.series)
        if curves:
            _draw(pyplot, chart, curves, folder / chart.file)
            told.append(f"drew {folder / chart.file}")
    return told


def _pyplot() -> Any:
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("svg")
    # The same figures give the same file: ids come from a salt, not from chance.
    matplotlib.rcParams["svg.hashsalt"] = "logbourse"
    return importlib.import_module("matplotlib.pyplot")


def _curves(figures: Sequence[Figure], prefix: str) -> dict[str, list[tuple[float, float]]]:
    """The points that count, by curve, from left to right."""
    curves: dict[str, list[tuple[float, float]]] = {}
    for figure in figures:
        if figure.x is None or figure.void or figure.series.endswith(" max"):
            continue
        if figure.series.startswith(prefix):
            name = figure.series.removeprefix(prefix)
            curves.setdefault(name, []).append((figure.x, figure.value))
    return {name: sorted(points) for name, points in curves.items()}


def _draw(
    pyplot: Any, chart: Chart, curves: dict[str, list[tuple[float, float]]], path: Path
) -> None:
    drawn, axes = pyplot.subplots(figsize=(8, 4.5))
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), marker="o", label=name)
    axes.set(title=chart.title, xlabel=chart.x, ylabel=chart.y, xscale="log")
    axes.set_ylim(bottom=0)
    axes.grid(visible=True, alpha=0.3)
    axes.legend(fontsize="small")
    drawn.savefig(path, metadata={"Date": None}, bbox_inches="tight")
    pyplot.close(drawn)
