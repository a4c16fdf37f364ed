"""What a fault leaves behind: numbers, records twice, history that is short, an auditor's words."""

import json
import re
import urllib.request
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from infra.log import LogRecord, Partition
from projections.layout import FED_TABLES
from schemas.record import decode_envelope
from schemas.topics import outbox
from tests.faults.rows import Run
from tests.faults.stack import FaultStack, until
from tests.integration.auditor import metrics, said, until_metric
from tests.integration.running_stack import prefixed

MOVED_S = 15.0
"""Processes refresh their numbers every 5 s."""

NEWEST = 200
"""Among so many records at the end of a partition is the one with its highest sequence."""

Offsets: TypeAlias = Mapping[Partition, int]
Sequences: TypeAlias = Mapping[Partition, int]
"""Both by topic and partition."""

PREFIX = "logbourse_shard_"
CHECKED = 'checks_total{invariant="L2"}'
HALT = re.compile(r"HALTED and stays down.*?shard (\w+) halted at offset (\d+): (\w+): ([^;\n]*)")
COMPLAINTS = ("violation", "halting")
"""Lines of the auditor's log that say that something is wrong."""


def numbers(stack: FaultStack, process: str) -> Counter[str]:
    """What a host of shards tells Prometheus, by name without its prefix; labels are part of it.

    Raises `OSError` while it does not answer.
    """
    return prefixed(stack.metrics(process), PREFIX)


def duplicates_read(stack: FaultStack, process: str) -> int:
    """The records that a host has dropped since they came before: DuplicateRecords goes by these.

    Raises `OSError` while it does not answer.
    """
    return duplicates_in(numbers(stack, process))


def duplicates_in(told: Counter[str]) -> int:
    """The records that were dropped, of all shards and sources."""
    return sum(n for name, n in told.items() if name.startswith("duplicates_total{"))


def reads_duplicates(stack: FaultStack, process: str, known: int) -> bool:
    """Whether a host drops more than the `known` ones soon."""

    def more() -> bool:
        with suppress(OSError):
            return duplicates_read(stack, process) > known
        return False

    return until(more, MOVED_S)


def promotions(stack: FaultStack) -> Counter[str]:
    """By shard, how many shadows have taken over so far, as the hosts' log files say."""
    return Counter(
        said["shard"] for name in stack.hosts() for said in stack.said_in_log(name, "promoted")
    )


def started_at(stack: FaultStack, process: str) -> dict[str, int]:
    """The input offset by shard from which a host went on when it started: that of its snapshot.

    Empty while it does not tell.
    """
    try:
        return starts_in(numbers(stack, process))
    except OSError:
        return {}


def starts_in(told: Counter[str]) -> dict[str, int]:
    """Where each shard began: its position, less what it has taken since."""
    before, behind = 'position{shard="', '"}'
    ends = {
        name.removeprefix(before).removesuffix(behind): end
        for name, end in told.items()
        if name.startswith(before)
    }
    return {shard: end - told[f'records_total{{shard="{shard}"}}'] for shard, end in ends.items()}


@dataclass(slots=True, frozen=True)
class Repeats:
    """Records of an outbox that stand there again: how many, and the log time that they span."""

    records: int = 0
    span_s: float = 0.0


def end_of_outbox(stack: FaultStack, shard: str) -> int:
    """The offset that the next record of the outbox will get."""
    log = stack.log()
    try:
        return log.ends(*outbox(shard))[1]
    finally:
        log.close()


def repeated(stack: FaultStack, shard: str, start: int) -> Repeats:
    """What the outbox has again from offset `start` on; what was repeated before does not count."""
    log = stack.log()
    try:
        end = log.ends(*outbox(shard))[1]
        return repeats_in(log.scan(*outbox(shard), max(0, start - 1), end))
    finally:
        log.close()


def repeats_in(records: Iterable[LogRecord]) -> Repeats:
    """The records that are no later than one before them."""
    last, times_us = 0, list[int]()
    for each in records:
        envelope = decode_envelope(each.value)
        if envelope.cseq <= last:
            times_us.append(envelope.time_us)
        last = max(last, envelope.cseq)
    if not times_us:
        return Repeats()
    return Repeats(len(times_us), (max(times_us) - min(times_us)) / 1e6)


def sequences_before(stack: FaultStack, ends: Offsets) -> Sequences:
    """By topic and partition, the sequence that the log had come to before an offset."""
    log = stack.log()
    try:
        return {
            place: max(
                decode_envelope(raw.value).cseq
                for raw in log.scan(*place, max(0, end - NEWEST), end)
            )
            for place, end in ends.items()
        }
    finally:
        log.close()


def history_reaches(stack: FaultStack, wanted: Sequences) -> bool:
    """Whether each table of history stands at these sequences, as the query API tells.

    Its `/health/ready` does not look at history.
    """
    try:
        url = f"http://127.0.0.1:{stack.settings.query_port}/x/v1/positions"
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return tables_reach(json.load(answer)["positions"], wanted)
    except OSError:
        return False


def tables_reach(told: Iterable[Mapping[str, Any]], wanted: Sequences) -> bool:
    """Whether positions as `/x/v1/positions` has them say so of all tables."""
    at = {(each["view"], each["topic"], each["partition"]): each["sequence"] for each in told}
    return all(
        at.get((table, topic, partition), 0) >= sequence
        for (topic, partition), sequence in wanted.items()
        for table in FED_TABLES[topic]
    )


class Halt(NamedTuple):
    """Where a shard has halted, and why: the word for it, and what is told behind that."""

    shard: str
    offset: int
    reason: str
    words: str


def halts_in(words: str) -> list[Halt]:
    """The halts that the supervisor tells of, in their order."""
    return [Halt(shard, int(at), reason, more) for shard, at, reason, more in HALT.findall(words)]


def complaints(stack: FaultStack) -> list[dict[str, Any]]:
    """The lines of the auditor's log that say that something is wrong."""
    return [line for event in COMPLAINTS for line in said(stack, event)]


@contextmanager
def quiet_auditor(run: Run) -> Iterator[None]:
    """Within, the auditor of the stack may complain of nothing and stop nothing.

    It follows the log before the block, and has checked the money again behind it.
    """
    stack = run.stack
    until_metric(stack, "state", 1)
    before = complaints(stack)
    yield
    until_metric(stack, CHECKED, metrics(stack)[CHECKED] + 2)
    told = [each for each in complaints(stack) if each not in before]
    run.demand(not told, f"the auditor may complain of nothing: {told[:3]}")
