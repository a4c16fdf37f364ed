"""Rows of shards: leaders and shadows killed, frozen, and their snapshots damaged."""

import os
import time

from tests.faults.rows import Run, row
from tests.faults.stack import SHARDS, flip_a_byte, until

ZOMBIE_S = 60.0
STEPPED_DOWN = {"stepped down s": 1.0}


def _kill_leader(run: Run, shard: str) -> None:
    run.wait(run.rng.uniform(0.0, 1.5))
    name = run.stack.leading(shard)
    run.fault(f"SIGKILL {name}, which leads {shard}")
    run.stack.sigkill(name)
    run.recovered()


@row("F1", "the leader of the books is killed", target_s=3.0, stack=("--apart",))
def engine_killed(run: Run) -> None:
    _kill_leader(run, "M0")


@row("F2", "the leader of the ledgers is killed", target_s=3.0, stack=("--apart",))
def ledger_killed(run: Run) -> None:
    _kill_leader(run, "L0")


@row("F3", "leader and shadow of all shards are killed", target_s=15.0)
def pair_killed(run: Run) -> None:
    run.fault("SIGKILL both hosts")
    run.stack.sigkill(*run.stack.hosts())
    run.recovered()


def _zombie(run: Run, seconds: float) -> None:
    stack = run.stack
    name = stack.leading("M0")
    before = stack.pid(name)
    run.fault(f"SIGSTOP {name} for {seconds:.0f} s")
    with stack.frozen(name):
        run.recovered()
        run.wait(seconds)
    resumed_s = time.monotonic()
    gone = until(lambda: stack.pid(name) != before, ZOMBIE_S)
    run.measured["stepped down s"] = time.monotonic() - resumed_s
    run.demand(gone, f"the frozen leader must step down, was there after {ZOMBIE_S:.0f} s")


@row(
    "F4 5s",
    "the leader is frozen for 5 s, and resumes as a zombie",
    target_s=3.0,
    at_most=STEPPED_DOWN,
)
def zombie_of_5_seconds(run: Run) -> None:
    _zombie(run, 5.0)


@row(
    "F4 30s",
    "the leader is frozen for 30 s, and resumes as a zombie",
    target_s=3.0,
    at_most=STEPPED_DOWN,
)
def zombie_of_30_seconds(run: Run) -> None:
    _zombie(run, 30.0)


@row(
    "F4 120s",
    "the leader is frozen for 120 s, and resumes as a zombie",
    target_s=3.0,
    at_most=STEPPED_DOWN,
)
def zombie_of_120_seconds(run: Run) -> None:
    _zombie(run, 120.0)


@row("F5", "both hosts are killed, and their newest snapshots are damaged", target_s=15.0)
def snapshots_damaged(run: Run) -> None:
    stack = run.stack
    folder = stack.settings.snapshots_dir
    stack.until(
        lambda: all(any((folder / shard).glob("*.snapshot")) for shard in SHARDS),
        60.0,
        "every shard must have a snapshot",
    )
    with stack.no_restarts():
        run.fault("SIGKILL both hosts, with the newest snapshot of each shard damaged")
        stack.sigkill(*stack.hosts())
        for shard in sorted(folder.iterdir()):
            newest = max(shard.glob("*.snapshot"))
            stack.spoilt.add(f"{shard.name}/{newest.name}")
            harm = run.rng.choice(("flip", "remove", "tear"))
            run.words.append(f"{shard.name}: {harm}")
            if harm == "flip":
                flip_a_byte(newest, run.rng)
            elif harm == "remove":
                newest.unlink()
            else:
                os.truncate(newest, run.rng.randrange(newest.stat().st_size))
    run.recovered()
