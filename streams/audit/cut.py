"""The consistent cut: how far each inbox may be read so that every fact in it has its cause."""

from collections.abc import Mapping

from infra.log import Partition
from schemas.topics import inbox
from streams.audit.archive import Archive
from streams.audit.channels import Found, Produced
from streams.audit.rerun import Run


def consistent_cut(
    archive: Archive, runs: Mapping[str, Run], found: Mapping[Partition, Found]
) -> dict[str, int]:
    """By shard, the offset before which its inbox is read (ARCHITECTURE §3).

    Each inbox is cut off at the first record that its source, run up to its own cut, does not
    produce, unless the shard drops it; that is repeated until nothing changes. Of what the runs
    have noted alone.
    """
    cut = {shard: _reached(archive, run) for shard, run in runs.items()}
    while True:
        shorter = {
            shard: min(cut[shard], _first_unfounded(shard, runs, found[inbox(shard)], cut))
            for shard in runs
        }
        if shorter == cut:
            return cut
        cut = shorter


def _reached(archive: Archive, run: Run) -> int:
    return min(run.stop, archive.end(inbox(run.shard))) if run.halted is None else run.halted.offset


def _first_unfounded(
    shard: str, runs: Mapping[str, Run], found: Found, cut: Mapping[str, int]
) -> int:
    """The offset of the first channel record that its source does not produce before its cut.

    What comes after its turn needs no cause: the shard drops it, or halts at it. Nor does what
    it sets aside whole, unless that stands where a genuine record should.
    """
    first = found.next_offset
    aside = runs[shard].set_aside_whole()
    for source, channel in found.channels.items():
        if source not in runs:
            continue
        produced = runs[source].produced.get(inbox(shard), Produced(1))
        last = produced.last_caused_by(runs[source].last_cause_below(cut[source]))
        harmless = channel.harmless(aside, produced, last)
        received = produced.first - 1
        for index, (cseq, offset) in enumerate(zip(channel.cseqs, channel.offsets, strict=True)):
            if offset >= first:
                break
            if offset in harmless:
                continue
            founded = offset not in aside and produced.has(cseq, channel.content_at(index))
            if founded and cseq <= last:
                if cseq == received + 1:
                    received = cseq
            elif cseq > received and not runs[shard].has_dropped(offset, channel.name_at(index)):
                first = offset
                break
    return first
