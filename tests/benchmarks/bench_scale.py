"""What grows with size: cost of an order, memory, the worst pause of a book and of a snapshot.

Each size is measured in a process of its own, so that memory is that size's.
"""

import os
import time
from pathlib import Path
from typing import Any

from domain.matching.book import Book
from infra.collector import leave_to_reference_counts
from streams.snapshots import Fork
from tests.benchmarks.book_player import play_timed
from tests.benchmarks.child import in_child
from tests.benchmarks.mix import draw
from tests.benchmarks.percentiles import percentile
from tests.benchmarks.process_cost import resident_mb
from tests.benchmarks.report import Effort, Figure, median_of
from tests.benchmarks.small_world import SmallWorld

ORDERS, PAUSE_COMMANDS = 20_000, 200_000
RUNS_MOST = 3
USERS, RESTING = 1_000, 1_000
SIZES: dict[str, tuple[int, ...]] = {
    "markets": (1, 10, 100),
    "users": (1_000, 10_000, 100_000),
    "resting orders": (1_000, 10_000, 100_000, 1_000_000),
}
GROWTH_FLOOR = 1.5
SNAPSHOT_FLOOR_MS = 50.0
SNAPSHOT_SIZE = (100_000, 1_000_000)
AFTER_FORK_S = 2.0
MB = 1 << 20


def measure(effort: Effort) -> list[Figure]:
    """Costs by size and their growth, memory, pauses."""
    figures: list[Figure] = []
    for what in SIZES:
        figures += _sweep(effort, what)
    return figures + _book_pauses(effort) + _snapshot(effort)


def _sweep(effort: Effort, what: str) -> list[Figure]:
    method = (
        "scale: an order through the rules of one ledger and one matching shard without log and "
        f"codec, half rest and half take; unless varied 1 market, {USERS:,} users, {RESTING:,} "
        "resting orders; per second of processor; memory is what the process grew by, both shards "
        "together"
    )
    runs, orders = min(effort.runs, RUNS_MOST), effort.count(ORDERS, least=100)
    figures: list[Figure] = []
    sizes = [effort.count(full, least=min(full, 100)) for full in SIZES[what]]
    for size in dict.fromkeys(sizes):
        told = in_child("bench_scale", "point", *_point(what, size), orders, runs)
        cost = median_of(
            f"scale, an order at {size:,} {what}", "us", told["us"], method, least_is_best=True
        )
        cost.series, cost.x = f"cost: {what}", float(size)
        figures.append(cost)
        if what in told["bytes"]:
            name = f"scale, memory of each of {size:,} {what}"
            memory = median_of(name, "bytes", [told["bytes"][what]], method, least_is_best=True)
            memory.series, memory.x = f"memory: {what}", float(size)
            figures.append(memory)
    costs = [figure for figure in figures if figure.unit == "us"]
    growth = costs[-1].value / costs[0].value
    name = f"scale, cost by {what}, largest through smallest"
    floor = GROWTH_FLOOR if effort.scale == 1 else None
    return [*figures, median_of(name, "x", [growth], method, floor=floor, least_is_best=True)]


def _point(what: str, size: int) -> tuple[int, int, int]:
    """Markets, users, resting orders."""
    if what == "markets":
        return size, USERS, RESTING
    return (1, size, RESTING) if what == "users" else (1, USERS, size)


def point(markets: int, users: int, resting: int, orders: int, runs: int) -> dict[str, Any]:
    """In a child: microseconds an order, run by run, and bytes per user and per resting order."""
    before_mb = resident_mb(os.getpid())
    world = SmallWorld(markets, users)
    opened_mb = resident_mb(os.getpid())
    world.fill(resting)
    filled_mb = resident_mb(os.getpid())
    found = []
    for _ in range(runs):
        wishes = world.orders(orders)
        begin_s = time.process_time()
        for wish in wishes:
            world.place(wish)
        found.append((time.process_time() - begin_s) / len(wishes) * 1e6)
    assert len(world.ledger_state.orders) >= resting * 0.9, "as many must rest as before"
    sizes = {
        "users": (opened_mb - before_mb) * MB / users,
        "resting orders": (filled_mb - opened_mb) * MB / resting,
    }
    return {"us": found, "bytes": {name: size for name, size in sizes.items() if size > 0}}


def _book_pauses(effort: Effort) -> list[Figure]:
    resting = effort.count(SIZES["resting orders"][-1], least=1_000)
    commands = effort.count(PAUSE_COMMANDS, least=100)
    runs = [
        in_child("bench_scale", "book_pause", resting, commands)
        for _ in range(min(effort.runs, RUNS_MOST))
    ]
    method = (
        f"scale: the book alone grows to {resting:,} resting orders and then has {commands:,} "
        "commands of the standard mix; each by the wall clock, the collector at work as it is "
        "in a process that was never restarted"
    )
    names = {
        "growing": "worst command while it grows",
        "worst": "worst command then",
        "p99.9": "p99.9 then",
    }
    return [
        median_of(
            f"scale, book of {resting:,}, {words}",
            "ms",
            [run[name] for run in runs],
            method,
            least_is_best=True,
        )
        for name, words in names.items()
    ]


def book_pause(resting: int, commands: int) -> dict[str, float]:
    """In a child: milliseconds of the worst command while the book grows, and at its size."""
    mix = draw(commands, resting)
    leave_to_reference_counts()  # as a shard's process does
    book = Book()
    growing = play_timed(book, mix.opening)
    spent = play_timed(book, mix.commands)
    return {
        "growing": max(growing) / 1e6,
        "worst": max(spent) / 1e6,
        "p99.9": percentile(spent, 99.9) / 1e6,
    }


def _snapshot(effort: Effort) -> list[Figure]:
    users, resting = (effort.count(full, least=100) for full in SNAPSHOT_SIZE)
    told = in_child("bench_scale", "snapshot_pause", users, resting)
    method = (
        f"scale: {users:,} users and {resting:,} resting orders in one process, which forks a "
        "child that dumps the state; the pause is the fork's, the orders are those of the "
        f"{AFTER_FORK_S:.0f} s after it, which copy the pages they write to"
    )
    floors = {"fork": SNAPSHOT_FLOOR_MS}
    names = {"fork": "pause", "before": "worst order before", "after": "worst order after"}
    return [
        median_of(
            f"scale, snapshot, {words}",
            "ms",
            [told[name]],
            method,
            floor=floors.get(name),
            least_is_best=True,
        )
        for name, words in names.items()
    ]


def snapshot_pause(users: int, resting: int) -> dict[str, float]:
    """In a child: milliseconds of the fork, of the worst order before and of the worst after."""
    world = SmallWorld(1, users)
    world.fill(resting)
    leave_to_reference_counts()  # as a shard's process does
    before_ms = _worst_ms(world, AFTER_FORK_S / 2)

    def work() -> None:
        states = (world.ledger.dump(world.ledger_state), world.matching.dump(world.matching_state))
        Path(os.devnull).write_text(repr(len(states)), encoding="utf-8")

    begin_s = time.perf_counter()
    job = Fork().start(work)
    fork_ms = (time.perf_counter() - begin_s) * 1e3
    after_ms = _worst_ms(world, AFTER_FORK_S)
    while not job.done():
        time.sleep(0.05)
    return {"fork": fork_ms, "before": before_ms, "after": after_ms}


def _worst_ms(world: SmallWorld, seconds: float) -> float:
    worst_s, end_s = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end_s:
        for wish in world.orders(100):
            begin_s = time.perf_counter()
            world.place(wish)
            worst_s = max(worst_s, time.perf_counter() - begin_s)
    return worst_s * 1e3
