"""Explains findings: decodes both sides, names a changed input, tells causes from consequences."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from infra.log import Partition
from schemas.record import Record, UndecodableRecord, decode_record, to_dict
from schemas.topics import inbox, outbox, shard_of
from streams.audit.archive import Archive, position_name
from streams.audit.compare import mark_of
from streams.audit.findings import AFTER_ALL, Finding, Findings, Kind
from streams.audit.rerun import Options, Run, rerun


def explain(
    archive: Archive, runs: Mapping[str, Run], findings: Findings, options: Mapping[str, Options]
) -> None:
    """Say of each shard's first finding what was expected and found, and what follows from what.

    Runs the shards a second time whose records are wanted for comparison.
    """
    for shard, run in runs.items():
        changed = [
            finding
            for finding in findings.listed
            if finding.place == outbox(shard) and finding.kind is Kind.CHANGED and finding.cseq
        ]
        if changed:
            first = min(changed, key=lambda finding: finding.cseq)
            _decode(archive, first, options.get(shard, Options()))
            if _input_differs(first) and _input_is_to_blame(archive, run, first, findings):
                _blame_input(run, first, findings)
    _trace_consequences(runs, findings)
    for shard in runs:
        first_here = findings.first_of((inbox(shard), outbox(shard)))
        if first_here is not None and first_here.found is None:
            _decode(archive, first_here, options.get(first_here.src, Options()))


def _decode(archive: Archive, finding: Finding, options: Options) -> None:
    """Put both sides of the finding beside each other."""
    if finding.kind is not Kind.MISSING:
        for record in archive.records(finding.place, finding.offset, finding.offset + 1):
            finding.found = readable(record.value)
    if finding.cseq and finding.cause < AFTER_ALL and finding.kind is not Kind.FORGED:
        value = _regenerate(archive, finding, options)
        finding.expected = readable(value) if value is not None else None


def _regenerate(archive: Archive, finding: Finding, options: Options) -> bytes | None:
    """The bytes of the record that its source produces, by running it once more."""
    wanted: list[bytes] = []

    def look(place: Partition, cseq: int, value: bytes) -> None:
        if place == finding.place and cseq == finding.cseq:
            wanted.append(value)

    rerun(archive, finding.src, replace(options, on_output=look))
    return wanted[0] if wanted else None


def readable(value: bytes | None) -> dict[str, Any]:
    """A record for people; of bytes that are none, why, and the bytes in hex."""
    try:
        record: Record = decode_record(value)
    except UndecodableRecord as error:
        return {"undecodable": str(error), "bytes": (value or b"").hex()}
    return to_dict(record)


def _input_differs(finding: Finding) -> bool:
    expected, found = finding.expected, finding.found
    if expected is None or found is None or "input_hash" not in found:
        return False
    return bool(expected["input_hash"] != found["input_hash"])


def _input_is_to_blame(archive: Archive, run: Run, first: Finding, findings: Findings) -> bool:
    """Whether the input was changed, rather than what the outbox says of it.

    The input hash rolls on: a changed input shows in all later records, and in the mark.
    """
    produced = run.produced[first.place]
    if first.cseq < produced.last:
        later = first.cseq + 1
        return any(f.place == first.place and f.cseq == later for f in findings.listed)
    mark = mark_of(archive, run.shard)
    return mark is None or mark.ordinal < first.cause or run.at_mark != mark


def _blame_input(run: Run, first: Finding, findings: Findings) -> None:
    """The first record of another input names the place where the inputs part."""
    assert first.expected is not None and first.found is not None
    offset = min(first.expected["cause_offset"], max(first.found["cause_offset"], 0))
    place = inbox(run.shard)
    at = position_name(place, offset)
    findings.add(
        Finding(
            Kind.INPUT_CHANGED,
            place,
            offset,
            f"input {at} is not what {run.shard} read, as {first.position} attests",
            cause=first.cause,
            expected=first.expected,
            found=first.found,
        )
    )


def _trace_consequences(runs: Mapping[str, Run], findings: Findings) -> None:
    """Mark what needs no other reason than a changed input or an earlier finding."""
    tainted = _first_changed_inputs(runs, findings)
    for finding in findings.listed:
        if finding.src in tainted and finding.cause >= tainted[finding.src]:
            finding.consequence = True
    for finding in findings.listed:
        if not finding.src and finding.kind is not Kind.UNSOUND:
            finding.consequence = any(
                other is not finding and _explains(other, finding) for other in findings.listed
            )


def _explains(other: Finding, finding: Finding) -> bool:
    """Whether `other` is reason enough for what a shard, or the quarantine, made of an inbox."""
    if other.consequence:
        return False
    if finding.about:
        return other.kind is Kind.INPUT_CHANGED and other.position == finding.about
    if other.place != finding.place or finding.kind not in (Kind.HALTED, Kind.INPUT_CHANGED):
        return False
    if other.offset != finding.offset:
        return other.offset < finding.offset and not other.dropped
    return _weight(other) > _weight(finding)


def _weight(finding: Finding) -> int:
    """Of two findings at one place the one that says more explains the other."""
    if finding.src or finding.kind in (Kind.MISSING, Kind.OUT_OF_ORDER):
        return 3
    if finding.kind is Kind.INPUT_CHANGED:
        return 2 if finding.expected is not None else 1
    return 0


def _first_changed_inputs(runs: Mapping[str, Run], findings: Findings) -> dict[str, int]:
    """By shard, the ordinal from which on its re-execution reads another input than it did."""
    first: dict[str, int] = {}
    for finding in findings.listed:
        shard = _owner(finding)
        if finding.kind is Kind.INPUT_CHANGED and shard in runs and finding.expected:
            first[shard] = min(finding.cause, first.get(shard, finding.cause))
    return first


def _owner(finding: Finding) -> str:
    try:
        return shard_of(*finding.place)
    except KeyError:
        return ""
