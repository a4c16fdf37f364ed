"""What of a damaged log can stay: how far each partition is kept, and where each shard goes on."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from domain.protocol import HaltAction
from infra.log import Partition
from infra.refusal import Refusal
from schemas.record import record_hash
from schemas.topics import QUARANTINE_TOPIC, inbox, outbox
from streams.audit.archive import Archive, Progress, place_name, position_name
from streams.audit.channels import Found, FoundChannel
from streams.audit.cut import consistent_cut
from streams.audit.rerun import Options, Run, rerun
from streams.audit.verify import Verdict, verify
from streams.halts import HaltReason, resolution_in
from streams.marks import Done
from streams.quarantine import decode_notice
from streams.snapshots import Snapshot

QUARANTINE: Partition = (QUARANTINE_TOPIC, 0)
ROOTS_TOLD = 20
_CUT_IF_PRODUCED: Final[dict[str, bool]] = {
    HaltReason.GAP: True,
    HaltReason.DIVERGENCE: True,
    HaltReason.FOREIGN_MESSAGE: False,
    HaltReason.FAULT: False,
}
"""By reason, whether the source of a record at which a shard halts must produce it to be cut."""


@dataclass(slots=True, frozen=True)
class Plan:
    """How far each partition is kept, and each shard's mark and inadmissible snapshots.

    The log is kept up to a causally closed cut: every fact in it has its cause in it. What a
    shard has to write once more, since it is lost and follows from what is kept, lies behind its
    mark. `damage` says what the auditor finds wrong with the log as it is.
    """

    kept: dict[Partition, int]
    ends: dict[Partition, int]
    marks: dict[str, Done]
    committed: dict[str, int]
    spoiled: dict[str, list[int]]
    """By shard, the offsets of snapshots that know more than what stays, or something else."""
    resolved: dict[str, dict[bytes, HaltAction]]
    """By shard, the halted records that an operator has resolved in what does not stay."""
    damage: list[str]

    def dropped(self) -> dict[Partition, int]:
        """How many records of each partition do not stay."""
        return {p: self.ends[p] - kept for p, kept in self.kept.items() if kept < self.ends[p]}

    def must_rewrite(self) -> bool:
        """Whether a partition holds what cannot stay, so that the log has to be written anew."""
        return bool(self.dropped())

    def is_needed(self) -> bool:
        """Whether the shards would not simply go on."""
        lower = any(self.committed[shard] > mark.offset for shard, mark in self.marks.items())
        return self.must_rewrite() or lower or any(self.spoiled.values())


def make_plan(
    archive: Archive, snapshots: Mapping[str, Iterable[Snapshot]], progress: Progress
) -> Plan:
    """Re-execute all shards and find the cut. Raises `Refusal` where a halt is no loss.

    Raises `BadArchive` if the records cannot be read.
    """
    _expect_whole(archive)
    verdict = verify(archive, archive.manifest.shards(), {}, progress)
    cut = consistent_cut(archive, verdict.runs, verdict.found)
    _expect_only_losses(verdict, cut)
    kept = {inbox(shard): offset for shard, offset in cut.items()}
    for shard, run in verdict.runs.items():
        kept[outbox(shard)] = _kept_outbox(run, verdict.found[outbox(shard)], cut[shard])
    kept[QUARANTINE] = _kept_notices(archive, cut)
    told = _told_offsets(archive, kept[QUARANTINE])
    marks = {
        shard: _mark(archive, run, cut[shard], kept, verdict.found, told)
        for shard, run in verdict.runs.items()
    }
    found_marks = {shard: archive.mark(shard) for shard in marks}
    return Plan(
        kept=kept,
        ends={place: archive.end(place) for place in kept},
        marks=marks,
        committed={shard: mark.offset if mark else 0 for shard, mark in found_marks.items()},
        spoiled={
            shard: _spoiled(archive, shard, marks[shard], snapshots.get(shard, ()))
            for shard in marks
        },
        resolved={
            shard: _said_too_late(archive, run, cut[shard]) for shard, run in verdict.runs.items()
        },
        damage=[finding.sentence() for finding in verdict.findings.roots()[:ROOTS_TOLD]],
    )


def _said_too_late(archive: Archive, run: Run, cut: int) -> dict[bytes, HaltAction]:
    """What an operator has said of records that stay, in words that do not."""
    if not run.resolved:
        return {}
    staying = {record_hash(each.value or b"") for each in archive.records(inbox(run.shard), 0, cut)}
    return {
        name: action
        for name, action in run.resolved.items()
        if name in staying
        and resolution_in(archive.records(inbox(run.shard), 0, cut), name) is None
    }


def _expect_whole(archive: Archive) -> None:
    for place, bounds in archive.manifest.bounds.items():
        if bounds.first:
            raise Refusal(
                f"{place_name(place)} must begin at offset 0, begins at {bounds.first}: this "
                "command cuts off ends alone, so restore a backup of Kafka's data first, see "
                "docs/runbook.md#acked_loss"
            )


def _expect_only_losses(verdict: Verdict, cut: Mapping[str, int]) -> None:
    """A shard that halts for another reason than a lost record is not for this command.

    A record that its source does produce, and that does not fit, tells of a loss before it. One
    that fits, and that its source does not produce, is cut off with what is behind it: under an
    operator's word its channel would go on from it, and no genuine record would ever fit again.
    """
    for shard, run in verdict.runs.items():
        halted = run.halted
        if halted is None or cut[shard] < halted.offset:
            continue
        produced = _is_produced(verdict, shard, halted.offset)
        reason = halted.words.partition(":")[0]
        if produced is None or produced is not _CUT_IF_PRODUCED.get(reason):
            position = position_name(inbox(shard), halted.offset)
            raise Refusal(
                f"{shard} must read its inbox to the end, halts at {position} ({halted.words}): "
                "that is no loss, see docs/runbook.md#halts"
            )


def _is_produced(verdict: Verdict, shard: str, offset: int) -> bool | None:
    """Whether the source of this record produces it; None of what is no record of a channel."""
    for source, channel in verdict.found[inbox(shard)].channels.items():
        if offset not in channel.offsets:
            continue
        index = channel.offsets.index(offset)
        cseq = channel.cseqs[index]
        if source not in verdict.runs:
            return None
        produced = verdict.runs[source].produced.get(inbox(shard))
        return produced is not None and produced.has(cseq, channel.content_at(index))
    return None


def _kept_outbox(run: Run, found: Found, cut: int) -> int:
    """The offset of the first record that the shard, run to its cut, does not write there next."""
    strangers = [offset for offset, _ in found.unreadable]
    strangers += [offset for offset, _, _ in found.outside]
    for source, channel in found.channels.items():
        if source != run.shard:
            strangers.append(channel.offsets[0])
    first = min(strangers, default=found.next_offset)
    produced = run.produced.get(found.place)
    if run.shard not in found.channels:
        return first
    channel = found.channels[run.shard]
    if produced is None:
        return min(first, channel.offsets[0])
    last, high = produced.last_caused_by(run.last_cause_below(cut)), 0
    for index, cseq in enumerate(channel.cseqs):
        genuine = produced.first <= cseq <= min(last, high + 1)
        if not genuine or channel.content_at(index) != produced.content_of(cseq):
            return min(first, channel.offsets[index])
        high = max(high, cseq)
    return first


def _kept_notices(archive: Archive, cut: Mapping[str, int]) -> int:
    """The offset of the first notice that is of no record before the cut."""
    limits = {inbox(shard): offset for shard, offset in cut.items()}
    for record in archive.everything(QUARANTINE):
        place, offset = _noticed(record.value)
        if offset >= limits.get(place, 0):
            return record.offset
    return archive.end(QUARANTINE)


def _told_offsets(archive: Archive, kept: int) -> set[tuple[Partition, int]]:
    return {_noticed(record.value) for record in archive.records(QUARANTINE, 0, kept)}


def _noticed(value: bytes | None) -> tuple[Partition, int]:
    """Which record a notice is of; one of nothing where it is no notice."""
    notice = decode_notice(value)
    return (("", 0), 0) if notice is None else (notice[:2], notice.offset)


def _mark(
    archive: Archive,
    run: Run,
    cut: int,
    kept: Mapping[Partition, int],
    found: Mapping[Partition, Found],
    told: set[tuple[Partition, int]],
) -> Done:
    """The position before the first input with an output that is not in what is kept."""
    offset = cut
    for place, produced in run.produced.items():
        channel = found[place].channels.get(run.shard, FoundChannel())
        high = channel.received(produced, kept[place])
        if high < produced.last_caused_by(run.last_cause_below(cut)):
            offset = min(offset, run.accepted[produced.cause_of(high + 1) - 1])
    for aside in run.set_aside:
        if (inbox(run.shard), aside.offset) not in told:
            offset = min(offset, aside.offset)
    return _done_at(archive, run.shard, offset)


def _done_at(archive: Archive, shard: str, offset: int) -> Done:
    reached = rerun(archive, shard, Options(stop=offset)).restored()
    return Done(offset, reached.ordinal, reached.input_hash)


def _spoiled(archive: Archive, shard: str, mark: Done, snapshots: Iterable[Snapshot]) -> list[int]:
    """Outputs between a snapshot and the mark before it would never be written again."""
    spoiled = []
    for snapshot in snapshots:
        before = archive.records(inbox(shard), snapshot.offset - 1, snapshot.offset)
        other = any(
            snapshot.last and record_hash(record.value or b"") != snapshot.last for record in before
        )
        if snapshot.offset > mark.offset or other:
            spoiled.append(snapshot.offset)
    return spoiled
