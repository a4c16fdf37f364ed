"""Which metrics there are: what all modules of the product make, and what docs/metrics.md says."""

import importlib
import re
from functools import cache
from pathlib import Path

from infra.metrics import REGISTRY, Registry

ROOT = Path(__file__).parents[2]
PRODUCT = ("infra", "streams", "commands", "projections")
OF_EVERY_PROCESS = {
    "up": frozenset[str](),
    "process_resident_memory_bytes": frozenset[str](),
    "process_cpu_seconds_total": frozenset[str](),
    "process_open_fds": frozenset[str](),
    "process_max_fds": frozenset[str](),
    "process_start_time_seconds": frozenset[str](),
}
"""What Prometheus and its client library tell of every process."""

OF_THE_SCRAPE = {"job", "instance", "process"}
"""Labels that Prometheus adds to whatever it reads."""

Catalogue = dict[str, frozenset[str]]
"""Label names by metric, under the names that Prometheus has, histograms by their common part."""


@cache
def made() -> Catalogue:
    """What the modules make. Whatever is made when a class is used must be made here."""
    for folder in PRODUCT:
        for path in sorted((ROOT / folder).rglob("*.py")):
            if "import" in (text := path.read_text()) and "infra.metrics" in text:
                name = path.relative_to(ROOT).with_suffix("").as_posix().replace("/", ".")
                importlib.import_module(name)
    metrics = importlib.import_module("streams.metrics")
    of_a_worker = Registry()
    metrics.WorkerMetrics(registry=of_a_worker)
    return _in(REGISTRY) | _in(of_a_worker)


def documented() -> Catalogue:
    """The rows of docs/metrics.md."""
    rows = re.findall(
        r"^\| `(logbourse_\w+)` \|([^|]*)\|", (ROOT / "docs/metrics.md").read_text(), re.MULTILINE
    )
    return {name: frozenset(re.findall(r"\w+", labels)) for name, labels in rows}


def labels_of(name: str, catalogue: Catalogue) -> frozenset[str] | None:
    """The labels of a series of this name; None if there is none."""
    if name in catalogue:
        return catalogue[name]
    base = re.sub(r"_(bucket|sum|count)$", "", name)
    if base == name or base not in catalogue:
        return None
    return catalogue[base] | ({"le"} if name.endswith("_bucket") else set())


def _in(registry: Registry) -> Catalogue:
    """By the families' types; the names of labels are told to nobody but the collector itself."""
    found: Catalogue = {}
    for collector in registry._collector_to_names:
        for family in collector.describe() if hasattr(collector, "describe") else []:
            if family.name.startswith("logbourse_"):
                name = f"{family.name}_total" if family.type == "counter" else family.name
                found[name] = frozenset(getattr(collector, "_labelnames", ()))
    return found
