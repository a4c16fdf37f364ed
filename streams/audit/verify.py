"""Re-executes shards, several at a time where there are processors, and judges the whole log."""

import os
import signal
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing import active_children, get_context

from infra.children import die_with
from infra.log import Partition
from schemas.topics import inbox, outbox
from streams.audit.archive import Archive, BadArchive, Bounds, Progress
from streams.audit.channels import Found, scan
from streams.audit.compare import compare
from streams.audit.explain import explain
from streams.audit.findings import Findings
from streams.audit.rerun import DEFAULT, Options, Run, rerun

WORTH_PROCESSES = 20_000
"""Records from which on starting further processes takes less time than it saves."""


@dataclass(slots=True)
class Verdict:
    """The runs of the shards, all that was found in the log, and how they differ."""

    runs: dict[str, Run]
    found: dict[Partition, Found]
    findings: Findings


def verify(
    archive: Archive,
    shards: Sequence[str],
    options: Mapping[str, Options],
    progress: Progress,
    processes: int = 0,
) -> Verdict:
    """Re-execute the shards and compare all they would write with what stands in the log.

    `processes` 0 takes what the machine has if the log is long. Raises `BadArchive`.
    """
    processes = min(processes or _processes(archive), len(shards))
    if processes > 1:
        results = _side_by_side(archive, shards, options, progress, processes)
    else:
        results = [_run(archive, shard, options.get(shard), progress) for shard in shards]
    runs = {run.shard: run for run, _ in results}
    found = {run.found.place: run.found for run, _ in results}
    found |= {written.place: written for _, written in results}
    for place in _further_places(runs.values(), archive.manifest.bounds, found):
        found[place] = scan(archive, place)
    findings = compare(archive, runs, found)
    explain(archive, runs, findings, options)
    return Verdict({shard: runs[shard] for shard in shards}, found, findings)


def _processes(archive: Archive) -> int:
    records = archive.manifest.records()
    return (os.cpu_count() or 1) if records >= WORTH_PROCESSES else 1


def _side_by_side(
    archive: Archive,
    shards: Sequence[str],
    options: Mapping[str, Options],
    progress: Progress,
    processes: int,
) -> list[tuple[Run, Found]]:
    """Each shard in a process of its own; the longest inboxes first, so that all end together."""
    longest_first = sorted(shards, key=lambda shard: -archive.end(inbox(shard)))
    results = []
    spawning = get_context("spawn")
    with ProcessPoolExecutor(processes, spawning, _begin, (os.getpid(),)) as pool:
        try:
            futures = [pool.submit(_run, archive, s, options.get(s)) for s in longest_first]
            for future in as_completed(futures):
                results.append(future.result())
                progress.advance(results[-1][0].found.next_offset)
        except BrokenProcessPool:
            raise BadArchive(
                "each process that replays must live, one was killed: for want of memory? "
                "--processes 1 needs the least"
            ) from None
        except BaseException:
            # Who is interrupted, or cannot read on, waits for no other shard.
            pool.shutdown(wait=False, cancel_futures=True)
            for process in active_children():
                process.kill()
            raise
    return results


def _begin(parent: int) -> None:
    """A process of ours ends with the one that waits for it, and at Ctrl-C without a word."""
    die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(
    archive: Archive, shard: str, options: Options | None, progress: Progress | None = None
) -> tuple[Run, Found]:
    run = rerun(archive, shard, options or DEFAULT, progress)
    return run, scan(archive, outbox(shard))


def _further_places(
    runs: Iterable[Run], known: Mapping[Partition, Bounds], found: Mapping[Partition, Found]
) -> list[Partition]:
    """Inboxes of shards that were not run, in which records of those that were should stand.

    A changed Genesis may make a shard write to partitions that do not exist.
    """
    places = dict.fromkeys(place for run in runs for place in run.produced)
    return [place for place in places if place in known and place not in found]
