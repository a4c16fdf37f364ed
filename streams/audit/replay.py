"""The subcommand that proves or disproves that the log follows from its inputs, bit for bit."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from schemas.record import UndecodableRecord, decode_head
from schemas.topics import inbox, outbox, shard_of
from streams.audit.archive import Archive, BadArchive, parse_position, place_name
from streams.audit.exported import open_export
from streams.audit.findings import Finding, differences
from streams.audit.live import open_live
from streams.audit.progress import Bar
from streams.audit.rerun import Options, Run
from streams.audit.verify import Verdict, verify
from streams.shard import UnknownLayout
from streams.snapshots import BadSnapshot, Snapshot, decode_snapshot

ROOTS_SHOWN = 20
FIELDS_SHOWN = 16
CELL_WIDTH = 48


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What `logbourse replay` takes."""
    add_log_arguments(parser)
    parser.add_argument(
        "--shard", action="append", default=[], metavar="L0", help="only this shard; repeatable"
    )
    parser.add_argument(
        "--until", default="", metavar="POSITION", help="stop behind it, such as ledger.in.0@17"
    )
    parser.add_argument(
        "--from-snapshot", type=Path, metavar="FILE", help="start there, with one --shard"
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.add_argument("--processes", type=int, default=0, help="how many at once (0: as fit)")


def add_log_arguments(parser: argparse.ArgumentParser) -> None:
    """Which log to read: an export, or the log of a running stack."""
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--from", dest="directory", type=Path, metavar="DIR", help="an export")
    where.add_argument("--bootstrap", default="", metavar="HOST:PORT", help="which Kafka to read")


def open_log(arguments: argparse.Namespace, *, begun: bool = True) -> Archive:
    """The log that the arguments name; the running stack's if they name none.

    `begun` as in `open_live`. Raises `BadArchive`.
    """
    if arguments.directory is not None:
        return open_export(arguments.directory)
    return open_live(arguments.bootstrap, begun=begun)


def run(arguments: argparse.Namespace) -> int:
    """Replay: 0 if everything follows, 1 if not, or nothing was judged. Raises `BadArchive`."""
    archive = open_log(arguments)
    shards, options = _choose(archive, arguments)
    bar = Bar("replay", sum(archive.end(inbox(shard)) for shard in shards))
    try:
        verdict = verify(archive, shards, options, bar, arguments.processes)
    except UnknownLayout as error:
        raise BadArchive(f"{arguments.from_snapshot}: {error}") from error
    bar.end()
    if arguments.json:
        print(json.dumps(as_json(verdict), indent=2))
    else:
        print("\n".join(report(verdict)))
    return 0 if verdict.findings.equal else 1


def report(verdict: Verdict) -> list[str]:
    """The table of shards, the divergences that no other explains, and the sum."""
    lines = [_row(*_HEADINGS)]
    lines += [_row(*_cells(run)) for run in verdict.runs.values()]
    findings = verdict.findings
    roots = findings.roots()
    for finding in roots[:ROOTS_SHOWN]:
        lines += ["", finding.sentence(), *_side_by_side(finding)]
    if len(roots) > ROOTS_SHOWN:
        lines.append(f"and {len(roots) - ROOTS_SHOWN} more")
    lines += [""] if roots else []
    for run in verdict.runs.values():
        first = findings.first_of((inbox(run.shard), outbox(run.shard)))
        if first is not None:
            lines.append(f"first divergence of {run.shard}: {first.kind} {first.position}")
        for name, action in run.resolved.items():
            lines.append(f"{run.shard} passed record {name.hex()}: an operator said {action.name}")
    return [*lines, "", _sum(verdict)]


def as_json(verdict: Verdict) -> dict[str, Any]:
    """The same for machines."""
    findings = verdict.findings
    return {
        "equal": findings.equal,
        "compared": findings.compared,
        "not_yet_written": findings.unwritten,
        "too_new_to_be_judged": findings.cut_off,
        "not_judged": findings.not_judged,
        "shards": {shard: _run_as_json(run, verdict) for shard, run in verdict.runs.items()},
        "divergences": [finding.as_json() for finding in findings.listed],
        "divergences_left_out": findings.left_out,
    }


def _choose(
    archive: Archive, arguments: argparse.Namespace
) -> tuple[list[str], dict[str, Options]]:
    """Which shards to run, and how."""
    known = archive.manifest.shards()
    shards: list[str] = list(dict.fromkeys(arguments.shard)) or known
    unknown = [shard for shard in shards if shard not in known]
    if unknown:
        raise BadArchive(f"a shard must be among {' '.join(known)}, was {unknown[0]}")
    options: dict[str, Options] = {}
    if arguments.from_snapshot is not None:
        if len(shards) != 1:
            raise BadArchive("--from-snapshot must come with one --shard")
        snapshot = _read_snapshot(arguments.from_snapshot, shards[0])
        if snapshot.offset > archive.end(inbox(shards[0])):
            raise BadArchive(f"the log must reach offset {snapshot.offset}, does not")
        options[shards[0]] = Options(snapshot=snapshot)
    if arguments.until:
        shard, stop = _stop(archive, arguments.until)
        if shard not in shards:
            raise BadArchive(f"--until names a position of {shard}, which is not replayed")
        start = options.get(shard, Options()).snapshot
        if start is not None and stop < start.offset:
            wanted = f"--until must stop at the snapshot's offset {start.offset} or behind it"
            raise BadArchive(f"{wanted}, was {stop}")
        options[shard] = Options(stop=stop, snapshot=start)
        shards = shards if arguments.shard else [shard]
    return shards, options


def _read_snapshot(path: Path, shard: str) -> Snapshot:
    try:
        snapshot = decode_snapshot(path.read_bytes())
        owner = json.loads(snapshot.payload)["shard"]
    except (OSError, BadSnapshot, ValueError, KeyError, TypeError, RecursionError) as error:
        raise BadArchive(f"{path} must be a snapshot, was not: {error}") from error
    if owner != shard:
        raise BadArchive(f"{path} must be a snapshot of {shard}, was of {owner}")
    return snapshot


def _stop(archive: Archive, text: str) -> tuple[str, int]:
    """The shard of a position and the inbox offset to stop at: behind it, or behind its cause."""
    place, offset = parse_position(text)
    if place not in archive.manifest.bounds or not place[0].endswith((".in", ".ev")):
        raise BadArchive(f"--until must name a shard's partition, was {place_name(place)}")
    shard = shard_of(*place)
    # An inbox's end may be named, too; what lies beyond it is in no log.
    if place[0].endswith(".in") and offset <= archive.end(place):
        return shard, offset + 1
    for record in archive.records(place, offset, offset + 1):
        try:
            return shard, decode_head(record.value)[2] + 1
        except UndecodableRecord as error:
            raise BadArchive(f"{text} must be a record, was not: {error}") from error
    raise BadArchive(f"{text} must be in the log, which ends at {archive.end(place)}")


_HEADINGS = (
    "shard",
    "records",
    "commands",
    "messages",
    "trades",
    "duplicates",
    "commands/s",
    "messages/s",
    "state hash",
)


def _cells(run: Run) -> Sequence[str]:
    rate = 1 / max(run.seconds, 1e-9)
    return (
        run.shard,
        f"{run.records:,}",
        f"{run.commands:,}",
        f"{run.messages:,}",
        f"{run.trades:,}",
        f"{run.duplicates:,}",
        f"{run.commands * rate:,.0f}",
        f"{run.messages * rate:,.0f}",
        run.state_hash.hex() or "none: halted",
    )


def _row(*cells: str) -> str:
    *numbers, state_hash = cells[1:]
    return f"{cells[0]:<6}" + "".join(f"{cell:>12}" for cell in numbers) + f"  {state_hash}"


def _side_by_side(finding: Finding) -> list[str]:
    """The fields that differ, expected beside found; of a record with one side only, that side."""
    if finding.expected is None and finding.found is None:
        return []
    if finding.expected is None or finding.found is None:
        side = "found" if finding.expected is None else "expected"
        record = finding.found if finding.expected is None else finding.expected
        return [f"  {side}: {json.dumps(record)[: 4 * CELL_WIDTH]}"]
    rows = differences(finding.expected, finding.found)
    lines = [f"  {'field':<28} {'expected':<{CELL_WIDTH}} found"]
    for path, expected, found in rows[:FIELDS_SHOWN]:
        left, right = _contrast(expected, found)
        lines.append(f"  {path:<28} {left:<{CELL_WIDTH}} {right}")
    if len(rows) > FIELDS_SHOWN:
        lines.append(f"  and {len(rows) - FIELDS_SHOWN} more fields")
    return lines


def _contrast(expected: str, found: str) -> tuple[str, str]:
    """Both texts, cut to the width of a cell so that their first difference is seen."""
    pairs = enumerate(zip(expected, found, strict=False))
    same = next((at for at, (left, right) in pairs if left != right), 0)
    start = max(0, same - CELL_WIDTH // 2) if max(len(expected), len(found)) > CELL_WIDTH else 0
    return _cut(expected, start), _cut(found, start)


def _cut(text: str, start: int) -> str:
    shown = ("…" if start else "") + text[start:]
    return shown if len(shown) <= CELL_WIDTH else shown[: CELL_WIDTH - 1] + "…"


def _sum(verdict: Verdict) -> str:
    findings = verdict.findings
    consequences = len(findings.listed) - len(findings.roots()) + findings.left_out
    if findings.listed:
        roots = len(findings.roots())
        noun = "divergence" if roots == 1 else "divergences"
        return f"DIVERGENT: {roots:,} {noun}, {consequences:,} more findings follow"
    unwritten = f", {findings.unwritten:,} not yet written" if findings.unwritten else ""
    cut_off = f", {findings.cut_off:,} too new to be judged" if findings.cut_off else ""
    others = f", {findings.not_judged:,} not judged" if findings.not_judged else ""
    if not findings.equal:
        return (
            f"NOTHING JUDGED: this part lets none of its {findings.not_judged:,} records be judged"
        )
    equal = f"EQUAL: {findings.compared:,} records are what their inputs lead to"
    return f"{equal}{unwritten}{cut_off}{others}"


def _run_as_json(run: Run, verdict: Verdict) -> dict[str, Any]:
    first = verdict.findings.first_of((inbox(run.shard), outbox(run.shard)))
    return {
        "records": run.records,
        "commands": run.commands,
        "messages": run.messages,
        "trades": run.trades,
        "duplicates": run.duplicates,
        "set_aside": len(run.set_aside),
        "seconds": round(run.seconds, 6),
        "commands_per_s": round(run.commands / max(run.seconds, 1e-9)),
        "resolved": {name.hex(): action.name for name, action in run.resolved.items()},
        "state_hash": run.state_hash.hex(),
        "first_divergence": first.as_json() if first is not None else None,
    }
