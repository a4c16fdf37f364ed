"""Runs a row: stack, load, fault, and afterwards everything of the set Z."""

import random
import shutil
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.load import BNBUSDT, FUNDS, Load
from tests.faults.oracle import judge
from tests.faults.rows import Row, Run, last_gap, longest_gap, recovery_s
from tests.faults.stack import FaultStack
from tests.integration.running_stack import Account

CLIENTS = 8
RUNS_PER_STACK = 8
JUDGED_BY = 4
"""What is judged after a run, as `Result` says it: 1 had one matching shard, and neither snapshots
nor history nor more of Redis than balances and open orders; up to 2 the log was not asked for
cancels that were refused, nor for what was told at its only attempt that it came too late, and
orders had come back with the first one of any ledger; up to 3 nothing was said of what had faulted,
of ends and fills as answers told them, of what an audit had not looked at, of losses behind a
recovery, of an outage behind the end of the load, and of faults that did not strike."""

WARM_S, CALM_S = 3.0, 3.0
FRESH_S = 12.0
"""A stack that has just started is slow for so long: brokers compile themselves."""


@dataclass(slots=True)
class Result:
    """One finished run, as it stands in the file of results."""

    row: str
    run: int
    seed: int
    rate: float
    """Requests a second that the clients were to make together."""
    violations: list[str] = field(default_factory=list)
    gap_s: float = 0.0
    quiet_gap_s: float = 0.0
    recovery_s: float | None = None
    """None where orders did not come back, or nothing was hit; former lines have 0 there."""
    seconds: float = 0.0
    requests: int = 0
    acknowledged: int = 0
    retried: int = 0
    duplicates: int = 0
    measured: dict[str, float] = field(default_factory=dict)
    words: list[str] = field(default_factory=list)
    judged_by: int = JUDGED_BY
    minutes: float = 0.0
    """How long it was told to last; 0 where the row itself decides."""


class Bench:
    """Stacks for rows: one is used for some runs of rows that want the same kind."""

    def __init__(
        self, *, rate: float, minutes: float | None = None, quick: bool = False, keep: bool = False
    ) -> None:
        self._rate, self._minutes, self._quick, self._keep = rate, minutes, quick, keep
        self._stack: FaultStack | None = None
        self._kind: tuple[Any, ...] = ()
        self._runs = 0

    def run(self, row: Row, number: int, seed: int) -> Result:
        """Do it once; what could not even be judged is a violation, with what processes said.

        Raises `AssertionError` if there is no whole stack to begin with.
        """
        stack = self._stack_for(row)
        result = Result(row.id, number, seed, row.rate(self._rate))
        result.minutes = row.minutes(self._minutes)
        begin_s = time.monotonic()
        try:
            self._run(row, stack, result, random.Random(f"{row.id}/{seed}"))
        except Exception as error:
            result.violations.append(f"{type(error).__name__}: {error}"[:3_000])
        result.seconds = time.monotonic() - begin_s
        if result.violations or row.own_stack or self._runs >= RUNS_PER_STACK:
            self.close(keep=bool(result.violations))
        return result

    def close(self, *, keep: bool = False) -> None:
        """End the stack; its data is removed unless it shows a violation or all is kept."""
        if self._stack is None:
            return
        self._stack.end()
        folder = self._stack.data_dir.parent
        self._stack = None
        if keep or self._keep:
            print(f"kept for inspection: {folder}", flush=True)
        else:
            shutil.rmtree(folder, ignore_errors=True)

    def _run(self, row: Row, stack: FaultStack, result: Result, rng: random.Random) -> None:
        accounts = self._accounts(stack)
        load = Load(stack.url, accounts, result.seed, result.rate, row.kinds)
        run = Run(stack, load, result.seed, rng, result.minutes, self._quick, result.violations)
        load.start()
        try:
            run.wait(FRESH_S if self._runs == 1 and not self._quick else WARM_S)
            row.act(run)
            run.wait(CALM_S)
        finally:
            try:
                load.end()
            finally:
                note(result, run)
        result.violations += row.outage(result.gap_s)
        stack.until_whole()
        may_lose = run.cut if row.may_lose else None
        oracle = judge(
            stack,
            load,
            FUNDS,
            may_lose=may_lose,
            reopened_s=run.reopened_s,
            forged=run.forged,
            faulty=run.faulty,
        )
        result.violations += oracle.violations
        result.duplicates = oracle.duplicates
        if row.may_lose:
            result.measured["acknowledged and lost"] = oracle.gone

    def _stack_for(self, row: Row) -> FaultStack:
        kind = (row.stack, row.proxied, row.leases, row.planted, row.auditor)
        if self._stack is not None and (kind != self._kind or row.own_stack):
            self.close()
        if self._stack is None:
            folder = Path(tempfile.mkdtemp(prefix="logbourse-faults-"))
            self._stack = FaultStack(
                folder / "data",
                *row.stack,
                proxied=row.proxied,
                leases=row.leases,
                planted=row.planted,
                auditor=row.auditor,
            )
            self._kind, self._runs = kind, 0
            try:
                self._stack.start()
                self._stack.until_whole()
                self._stack.admin("list-asset", code="BNB", name="BNB")
                self._stack.admin("list-market", **BNBUSDT)
            except AssertionError:
                self.close()
                raise
        self._runs += 1
        return self._stack

    def _accounts(self, stack: FaultStack) -> list[Account]:
        """New users, as many on either ledger shard."""
        found: tuple[list[Account], list[Account]] = ([], [])
        while min(map(len, found)) < CLIENTS // 2:
            account = stack.add_user(**FUNDS)
            found[account.user_id % 2].append(account)
        return [account for shard in found for account in shard[: CLIENTS // 2]]


def note(result: Result, run: Run) -> None:
    """What the clients saw, in numbers; a violation if orders never came back after the fault."""
    load = run.load
    acknowledged = load.acknowledged()
    orders = [sent for client in load.clients for sent in client.record[:] if sent.places]
    fault_s = run.fault_s or load.ended_s
    gap_s = longest_gap(acknowledged, fault_s, load.ended_s)
    result.gap_s = max(gap_s, last_gap(orders, fault_s, load.ended_s))
    result.quiet_gap_s = longest_gap(acknowledged, fault_s - WARM_S, fault_s)
    result.recovery_s = recovery_s(acknowledged, fault_s)
    if run.fault_s and result.recovery_s is None:
        result.violations.append("orders must come back on each ledger, and never did")
    result.requests = sum(len(client.record) for client in load.clients)
    result.acknowledged = len(acknowledged)
    result.retried = sum(client.retried for client in load.clients)
    result.measured, result.words = run.measured, run.words
