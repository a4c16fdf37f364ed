"""Rows of shards: leaders and shadows killed, frozen, and their snapshots damaged."""

import os
import shutil
import time
from pathlib import Path

from infra.files import replace_text
from tests.faults.evidence import (
    duplicates_read,
    end_of_outbox,
    quiet_auditor,
    reads_duplicates,
    repeated,
    started_at,
)
from tests.faults.rows import Run, row
from tests.faults.stack import SHARDS, FaultStack, flip_a_byte, until

ZOMBIE_S = 60.0
STEPPED_DOWN = {"stepped down s": 1.0}
COSTS = {"first new trade s": 3.0, "repeated traffic s": 0.3}
DIES_S, TRADED_S, STARTED_S = 60.0, 60.0, 60.0
STEPS = ("produced", "acked", "committed", "half written", "written", "renamed")
"""Where a process can be told to die: `planted/README.md` says what each is."""

STALE_S, SNAPSHOTS_S = 60.0, 75.0
"""So old is a snapshot from which F3 recovers, and so often one is taken there."""


def _kill_leader(run: Run, shard: str) -> None:
    start = end_of_outbox(run.stack, shard)
    run.wait(run.rng.uniform(0.0, 1.5))
    name = run.stack.leading(shard)
    run.fault(f"SIGKILL {name}, which leads {shard}")
    run.stack.sigkill(name)
    _expect_taken_over(run, shard, start)


def _expect_taken_over(run: Run, shard: str, start: int) -> None:
    """Orders go on; note the first trade after the fault, and what the outbox has twice."""
    run.recovered()
    traded = until(lambda: _first_trade_s(run) > 0.0, TRADED_S)
    run.demand(traded, f"there must be a trade within {TRADED_S:.0f} s")
    run.measured["first new trade s"] = _first_trade_s(run)
    repeats = repeated(run.stack, shard, start)
    run.measured["repeated records"] = repeats.records
    run.measured["repeated traffic s"] = repeats.span_s


def _first_trade_s(run: Run) -> float:
    """Seconds from the fault to the first trade that L0 and M0 brought about; 0 for none yet."""
    for sent in run.load.acknowledged():
        concerned = sent.ledger == 0 and sent.symbol == "BTCUSDT"
        if concerned and sent.sent_s > run.fault_s and float(sent.result["executedQty"]) > 0:
            return sent.answered_s - run.fault_s
    return 0.0


@row("F1", "the leader of the books is killed", target_s=3.0, stack=("--apart",), at_most=COSTS)
def engine_killed(run: Run) -> None:
    _kill_leader(run, "M0")


@row(
    "F1 point",
    "the leader of the books dies at a chosen step of its work",
    target_s=3.0,
    stack=("--apart",),
    planted=True,
    at_most=COSTS,
    runs=len(STEPS),
)
def engine_killed_at_a_step(run: Run) -> None:
    """Right behind a record it writes, around a mark, or while a snapshot is written: in turn."""
    stack = run.stack
    start = end_of_outbox(stack, "M0")
    step = step_of(run.seed)
    name = stack.leading("M0")
    exit_file = stack.planted_dir / f"exit-{stack.pid(name)}"
    replace_text(exit_file, step)
    died = until(lambda: not exit_file.exists(), DIES_S)
    run.fault(f"{name}, which leads M0, dies: {step}")
    run.demand(died, f"it must come to that within {DIES_S:.0f} s")
    _expect_taken_over(run, "M0", start)


def step_of(seed: int) -> str:
    """The step at which the run with that seed dies: those that follow each other take all."""
    return STEPS[seed % len(STEPS)]


@row("F2", "the leader of the ledgers is killed", target_s=3.0, stack=("--apart",), at_most=COSTS)
def ledger_killed(run: Run) -> None:
    _kill_leader(run, "L0")


@row(
    "F3",
    "leader and shadow of all shards are killed, a minute after their snapshots",
    target_s=15.0,
    # The later word holds.
    stack=("--snapshot-seconds", f"{SNAPSHOTS_S:.0f}"),
    at_least={"log to replay s": STALE_S},
)
def pair_killed(run: Run) -> None:
    stack = run.stack
    # Both hosts started at once, so that they take snapshots at about the same time.
    until(lambda: _age_s(stack) >= STALE_S, 2 * SNAPSHOTS_S)
    with stack.no_restarts():
        run.fault("SIGKILL both hosts")
        stack.sigkill(*stack.hosts())
        run.measured["log to replay s"] = _age_s(stack)
        newest = {shard: _offset(stack.snapshots(shard)[-1]) for shard in SHARDS}
    run.recovered()
    _expect_started_at(run, newest)


def _offset(snapshot: Path) -> int:
    return int(snapshot.stem)


def _age_s(stack: FaultStack) -> float:
    """Seconds since the last of all shards' newest snapshots; 0 while a shard has none."""
    newest = [stack.snapshots(shard)[-1:] for shard in SHARDS]
    if not all(newest):
        return 0.0
    return time.time() - max(path.stat().st_mtime for (path,) in newest)


def _expect_started_at(run: Run, wanted: dict[str, int]) -> None:
    """Every host must have gone on from these snapshots of its shards."""
    stack = run.stack

    def told() -> dict[str, dict[str, int]]:
        return {name: started_at(stack, name) for name in stack.hosts()}

    as_wanted = until(lambda: all(each == wanted for each in told().values()), STARTED_S)
    run.demand(as_wanted, f"hosts must start at {wanted}, did at {told() if not as_wanted else ''}")


def _zombie(run: Run, seconds: float) -> None:
    stack = run.stack
    name, other = stack.leading("M0"), stack.standing_by("M0")
    before, known = stack.pid(name), duplicates_read(stack, other)
    run.fault(f"SIGSTOP {name} for {seconds:.0f} s")
    with stack.frozen(name):
        run.recovered(time.monotonic())
        run.wait(seconds)
        start = end_of_outbox(stack, "M0")
    resumed_s = time.monotonic()
    gone = until(lambda: stack.pid(name) != before, ZOMBIE_S)
    run.measured["stepped down s"] = time.monotonic() - resumed_s
    run.demand(gone, f"the frozen leader must step down, was there after {ZOMBIE_S:.0f} s")
    run.measured["written by the zombie"] = repeated(stack, "M0", start).records
    alarming = reads_duplicates(stack, other, known)
    run.demand(alarming, "what DuplicateRecords goes by must tell of the records that came twice")


@row(
    "F4 5s",
    "the leader is frozen for 5 s, and resumes as a zombie",
    target_s=3.0,
    at_most=STEPPED_DOWN,
    auditor=True,
)
def zombie_of_5_seconds(run: Run) -> None:
    with quiet_auditor(run):
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
    """The older ones are used; unfinished files, which a killed writer leaves, never are (S4)."""
    stack = run.stack
    stack.until(
        lambda: all(len(stack.snapshots(shard)) > 1 for shard in SHARDS),
        90.0,
        "every shard must have two snapshots",
    )
    older: dict[str, int] = {}
    with stack.no_restarts():
        run.fault("SIGKILL both hosts, with the newest snapshot of each shard damaged")
        stack.sigkill(*stack.hosts())
        for shard in SHARDS:
            *_, spare, newest = stack.snapshots(shard)
            older[shard] = _offset(spare)
            shutil.copy(spare, _kept(stack, shard))
            stack.spoilt.add(f"{shard}/{newest.name}")
            run.words.append(f"{shard}: {_damage(run, newest)}")
    run.recovered()
    _expect_started_at(run, older)
    for shard in ("L0", "M0"):
        done = stack.command(
            "replay", "--shard", shard, "--from-snapshot", str(_kept(stack, shard)), timeout_s=120.0
        )
        equal = done.returncode == 0 and "\nEQUAL: " in done.stdout
        run.demand(equal, f"S4: {shard} from its older snapshot: {done.stdout[-500:]}{done.stderr}")


def _kept(stack: FaultStack, shard: str) -> Path:
    """Where the older snapshot of a shard is kept for the replay: hosts drop it in a while."""
    return stack.data_dir.parent / f"{shard}.snapshot"


def _damage(run: Run, newest: Path) -> str:
    """Harm the snapshot, and leave a half of it behind it as a writer that was killed would."""
    content = newest.read_bytes()
    unfinished = newest.with_name(f"{_offset(newest) + 1:020}-1.tmp")
    unfinished.write_bytes(content[: len(content) // 2])
    harm = run.rng.choice(("flip", "remove", "tear"))
    if harm == "flip":
        flip_a_byte(newest, run.rng)
    elif harm == "remove":
        newest.unlink()
    else:
        os.truncate(newest, run.rng.randrange(newest.stat().st_size))
    return harm
