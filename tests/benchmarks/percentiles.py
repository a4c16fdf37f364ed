"""Percentiles of latencies: by an HDR histogram of three digits, else of sorted samples."""

import importlib
import math
from collections.abc import Sequence
from typing import Any

LONGEST_US = 60_000_000


def percentiles_ms(latencies_s: Sequence[float], percents: Sequence[float]) -> list[float]:
    """Milliseconds that these percentages of the latencies do not exceed; 100 is the longest."""
    histogram = _histogram()
    if histogram is None:
        return [1e3 * percentile(latencies_s, percent) for percent in percents]
    for latency_s in latencies_s:
        histogram.record_value(min(LONGEST_US, max(1, round(latency_s * 1e6))))
    return [histogram.get_value_at_percentile(percent) / 1e3 for percent in percents]


def percentile(values: Sequence[float], percent: float) -> float:
    """The smallest value that is not exceeded by `percent` of them."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * percent / 100) - 1)]


def method() -> str:
    """How, for a figure's method."""
    return "sorted samples" if _histogram() is None else "HDR histogram of three digits"


def _histogram() -> Any:
    try:
        return importlib.import_module("hdrh.histogram").HdrHistogram(1, LONGEST_US, 3)
    except ModuleNotFoundError:
        return None
