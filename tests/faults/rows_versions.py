"""Rows of builds: logs that former ones wrote, and rules that not every process knows yet."""

import json
import time

from domain.protocol import RulesActivated
from infra.ending import EXIT_STATUS_HALTED
from infra.files import replace_text
from infra.refusal import Refusal
from schemas.topics import inbox, outbox
from tests.archived.kept import all_kept
from tests.faults.rows import Run, row
from tests.faults.stack import SHARDS, FaultStack, until
from tests.integration.auditor import append
from tests.streams.records import from_outside

NOTICED_S = 30.0
FORMER, NEWER = 1, 2


@row("F21", "every archived log is replayed by this build while the load goes on")
def archived_logs_replayed(run: Run) -> None:
    """By the command line; `tests/streams/test_archived_logs.py` also compares states that grew."""
    for kept in all_kept():
        run.fault(f"replay of {kept.name}")
        with kept.unpacked() as directory, run.timed(f"{kept.name} s"):
            done = run.stack.command("replay", "--from", str(directory), "--json")
        told = json.loads(done.stdout)
        equal = told["equal"] and told["compared"] == kept.compared and done.returncode == 0
        run.demand(equal, f"{kept.name} must be EQUAL in {kept.compared} records, was {told}")
        for shard, was in kept.shards.items():
            found, wanted = told["shards"][shard]["state_hash"], was["state_hash"]
            same = found == wanted or shard[0] in kept.lacks
            run.demand(same, f"{shard} of {kept.name} must end as {wanted}, was {found}")
    run.recovered(time.monotonic())


@row(
    "F22",
    "a newer build goes round, its rules are activated, the older one is refused",
    own_stack=True,
    planted=True,
)
def rolled_and_activated(run: Run) -> None:
    """Shadow first, handover, gateway; only then the rules. Hashes are compared by the audit."""
    stack = run.stack
    run.demand(
        "knows rules version 1" in _activate(stack), "an older gateway must refuse newer rules"
    )
    _install(stack, FORMER, NEWER)
    leader, shadow = stack.leading("L0"), stack.standing_by("L0")
    run.fault(f"{shadow}, then {leader}, then the gateway get a build that knows newer rules")
    _restart(stack, shadow)
    stack.until_whole()
    before = stack.pid(leader)
    with run.timed("handed over s"):
        done = stack.command("handover", *SHARDS)
    run.demand(done.returncode == 0, f"shards must be handed over, said {done.stderr}")
    stack.until_restarted(leader, before)
    stack.until_whole()
    # Nobody answers meanwhile: the longest gap of this row is that of its only gateway.
    with run.timed("gateway s"):
        _restart_gateway(stack)
    run.recovered(time.monotonic())
    pids = {name: stack.pid(name) for name in stack.hosts()}
    with run.timed("activated s"):
        refusal = _activate(stack)
    run.demand(not refusal, f"rules must be activated, said {refusal}")
    run.recovered(time.monotonic())
    run.demand(_active(stack) == {NEWER}, f"all shards must follow {NEWER}: {_active(stack)}")
    _expect_former_refused(run)
    run.demand(pids == {name: stack.pid(name) for name in stack.hosts()}, "no host may end")


@row(
    "F22 early",
    "newer rules are activated while the leader is of the former build",
    target_s=3.0,
    own_stack=True,
    planted=True,
)
def activated_early(run: Run) -> None:
    """The leader halts before it does anything by rules it lacks, and the newer shadow goes on."""
    stack = run.stack
    _install(stack, FORMER, NEWER)
    leader, shadow = stack.leading("L0"), stack.standing_by("L0")
    _restart(stack, shadow)
    _restart_gateway(stack)
    stack.until_whole()
    run.recovered(time.monotonic())
    run.fault(f"rules {NEWER} are activated, {leader} lacks them")
    run.words.append(f"the gateway said: {_activate(stack) or 'activated'}")
    halted = until(lambda: not stack.pid(leader), NOTICED_S)
    run.demand(halted and "UNKNOWN_RULES" in stack.evidence(40), f"{leader} must halt at them")
    run.recovered(time.monotonic())
    run.demand({shadow} == set(map(stack.leading, SHARDS)), f"{shadow} must lead all shards")
    _start_halted(stack, leader)
    stack.until_whole()
    run.demand(not _activate(stack), "the rules must be activated everywhere")
    run.demand(_active(stack) == {NEWER}, f"all shards must follow {NEWER}: {_active(stack)}")


@row(
    "F22 forced",
    "rules that no host knows are written into one inbox",
    own_stack=True,
    planted=True,
)
def forced(run: Run) -> None:
    """All stand still, also when started again, until the hosts have a build that knows them."""
    stack = run.stack
    run.fault("newer rules in ledger.in.0, past the gateway")
    _force(stack)
    for words in ("both hosts must halt", "both must halt again"):
        down = until(lambda: not any(map(stack.pid, stack.hosts())), NOTICED_S)
        run.demand(down, f"{words} at rules that they lack")
        said = stack.evidence(40)
        run.demand("UNKNOWN_RULES" in said, f"{words} with UNKNOWN_RULES")
        ends = _ends(stack)
        run.wait(2.0)
        run.demand(_ends(stack) == ends, "no shard may write while hosts are halted")
        if "again" in words:
            _install(stack, FORMER, NEWER)
        before_s = time.monotonic()
        _start_halted(stack, "shards", "shards-standby")
    run.measured["newer build s"] = run.recovered(before_s)
    stack.until_whole()
    _restart_gateway(stack)
    run.demand(not _activate(stack), "the rules must be activated everywhere")
    run.demand(_active(stack) == {NEWER}, f"all shards must follow {NEWER}: {_active(stack)}")
    run.recovered(time.monotonic())


def _install(stack: FaultStack, *versions: int) -> None:
    """What starts from now on is of a build that knows these versions of the rules."""
    replace_text(stack.planted_dir / "rules", " ".join(map(str, versions)))


def _restart(stack: FaultStack, name: str) -> None:
    before = stack.pid(name)
    stack.sigterm(name)
    stack.until_restarted(name, before)


def _restart_gateway(stack: FaultStack) -> None:
    _restart(stack, "gateway")
    stack.until_ready()


def _start_halted(stack: FaultStack, *names: str) -> None:
    """As docs/runbook.md says, and wait until one of them runs."""
    for name in names:
        (stack.data_dir / "run" / f"{name}.restart").touch()
    stack.until(lambda: any(map(stack.pid, names)), NOTICED_S, "what halted must be started")


def _activate(stack: FaultStack) -> str:
    """Why the newer rules were not activated; empty if they are.

    Said again while nothing was written: a gateway that began a moment ago may lag.
    """
    refusals: list[str] = []

    def was_written() -> bool:
        try:
            stack.admin("activate-rules", version=NEWER)
            refusals.append("")
        except Refusal as refusal:
            refusals.append(str(refusal))
        return "Nothing was written" not in refusals[-1]

    until(was_written, NOTICED_S)
    return refusals[-1]


def _force(stack: FaultStack) -> None:
    value = from_outside(RulesActivated(NEWER), time_us=time.time_ns() // 1_000)
    append(stack, inbox("L0")[0], value)


def _active(stack: FaultStack) -> set[int]:
    """The versions that shards told of last; 0 of one that told of none since Genesis."""
    found = set()
    for shard in SHARDS:
        told = [e.version for e in stack.messages(*outbox(shard)) if isinstance(e, RulesActivated)]
        found.add(told[-1] if told else 0)
    return found


def _ends(stack: FaultStack) -> list[int]:
    log = stack.log()
    try:
        return [log.ends(*outbox(shard))[1] for shard in SHARDS]
    finally:
        log.close()


def _expect_former_refused(run: Run) -> None:
    """The former build is started once more, as a shadow: one line, and the status of a halt."""
    _install(run.stack, FORMER)
    try:
        done = run.stack.command("shard", "--standby", *SHARDS)
    finally:
        _install(run.stack, FORMER, NEWER)
    last = done.stderr.strip().rpartition("\n")[2]
    refused = done.returncode == EXIT_STATUS_HALTED and f"rules version {NEWER} is active" in last
    run.demand(refused, f"the former build must be refused, was {done.returncode}: {last}")
