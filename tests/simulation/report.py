"""What a number of schedules came to, what they left out, and how it adds up over many calls."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from tests.simulation.faults import GATEWAY_STEPS, MICRO_STEPS, VIEW_STEPS
from tests.simulation.swarm import HIGHEST_RATES

CRASHES_WANTED = 100
"""At each micro-step, once there are enough schedules."""

FEW, ENOUGH, MANY = 2_000, 20_000, 200_000
"""So many schedules must have had each of `WANTED`, each end of a process of shards, the rest."""

WANTED = (
    "duplicate",
    "late delivery",
    "lost suffix",
    "spoiled snapshot",
    "acknowledged tail lost",
    "message miscomputed",
    "leader miscomputed",
    "forged record",
    "quarantined",
    "second leader",
    "promotion",
    "frozen",
    "shard frozen",
    "lease store away",
    "leases forgotten",
    "handover asked",
    "stepped down",
    "handed over",
    "shadow refused",
    "halt ACKED_LOSS",
    "halt DIVERGENCE",
    "halt GAP",
    "closed MARKET_HALTED",
    "closed STALE_RULES",
)


@dataclass
class Report:
    """What a number of schedules came to."""

    schedules: int = 0
    crashes: int = 0
    seconds: float = 0.0
    coverage: Counter[str] = field(default_factory=Counter)
    happened: Counter[str] = field(default_factory=Counter)
    failures: dict[int, list[str]] = field(default_factory=dict)

    def add(self, other: "Report") -> None:
        """Take in what others ran; `seconds` is time of processes, not of the clock."""
        self.schedules += other.schedules
        self.crashes += other.crashes
        self.seconds += other.seconds
        self.coverage += other.coverage
        self.happened += other.happened
        self.failures |= other.failures

    def since(self, earlier: "Report") -> "Report":
        """What came after this was `earlier`."""
        return Report(
            self.schedules - earlier.schedules,
            self.crashes - earlier.crashes,
            self.seconds - earlier.seconds,
            self.coverage - earlier.coverage,
            self.happened - earlier.happened,
            {seed: v for seed, v in self.failures.items() if seed not in earlier.failures},
        )

    def line(self, elapsed_s: float) -> str:
        """One line for people."""
        return (
            f"{self.schedules:,} schedules, {self.crashes:,} crashes, {len(self.failures)} failed, "
            f"{self.schedules / max(elapsed_s, 1e-9):.0f} schedules/s"
        )

    def lacking(self) -> list[str]:
        """What so many schedules should have had; nothing is asked of a few."""
        events: list[str] = [*WANTED] if self.schedules >= FEW else []
        steps: list[str] = [*MICRO_STEPS] if self.schedules >= ENOUGH else []
        if self.schedules >= MANY:
            events += HIGHEST_RATES
            steps += (*GATEWAY_STEPS, *VIEW_STEPS)
        return [
            *(f"no schedule had: {name}" for name in events if not self.happened[name]),
            *(
                f"{self.coverage[name]} crashes at: {name}; {CRASHES_WANTED} are wanted"
                for name in steps
                if self.coverage[name] < CRASHES_WANTED
            ),
        ]

    def table(self) -> str:
        """Where processes were crashed and what happened, in columns."""
        counts = [*sorted(self.coverage.items()), *sorted(self.happened.items())]
        width = max((len(name) for name, _ in counts), default=0)
        return "\n".join(f"  {name:<{width}} {count:>12,}" for name, count in counts)


def added(told: dict[str, Any], first: int, report: Report, commit: str, build: str) -> Any:
    """The simulation's part of the facts with one more range of seeds, from `first` on."""
    run = {
        "first": first,
        "count": report.schedules,
        "commit": commit,
        "build": build,
        "crashes": report.crashes,
        "seconds": round(report.seconds, 1),
        "failures": {str(seed): found[:3] for seed, found in report.failures.items()},
    }
    runs = [*told.get("runs", []), run]
    return told | {
        "runs": _joined(sorted(runs, key=lambda each: each["first"])),
        "coverage": dict(Counter(told.get("coverage", {})) + report.coverage),
        "happened": dict(Counter(told.get("happened", {})) + report.happened),
    }


def first_unused(told: dict[str, Any]) -> int:
    """The seed behind all that were run."""
    return max((run["first"] + run["count"] for run in told.get("runs", [])), default=0)


def _joined(runs: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Ranges that follow upon each other with the same commit and build, as one."""
    joined: list[dict[str, Any]] = []
    for run in runs:
        last = joined[-1] if joined else None
        if last is None or not _follows(last, run):
            joined.append(dict(run))
            continue
        for name in ("count", "crashes", "seconds"):
            last[name] = round(last[name] + run[name], 1)
        last["failures"] = last["failures"] | run["failures"]
    return joined


def _follows(last: dict[str, Any], run: dict[str, Any]) -> bool:
    same = all(last[name] == run[name] for name in ("commit", "build"))
    return same and bool(last["first"] + last["count"] == run["first"])
