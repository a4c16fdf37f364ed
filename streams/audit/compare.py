"""Compares every record that stands in the log with what re-execution says should stand there."""

from collections.abc import Mapping, Sequence

from infra.log import LogRecord, Partition
from schemas.topics import QUARANTINE_TOPIC, inbox, outbox, shard_of
from streams.audit.archive import Archive, position_name
from streams.audit.channels import Found, FoundChannel, Produced
from streams.audit.findings import AFTER_ALL, Finding, Findings, Kind, of_channel
from streams.audit.reader import Reader
from streams.audit.rerun import Run, SetAside
from streams.marks import Done
from streams.quarantine import Notice, decode_notice, encode_notice


def compare(
    archive: Archive, runs: Mapping[str, Run], found: Mapping[Partition, Found]
) -> Findings:
    """All divergences between the log and the runs; `found` has every partition they write to.

    Records of shards that were not run are not judged. A record that its source does not produce
    is forged below the first sight of its partition's end; above it is only cut off.
    """
    findings = Findings()
    readers = {
        place: Reader(archive, place, runs.get(shard_of(*place)))
        for place in found
        if place[0].endswith(".in")
    }
    for place, stream in found.items():
        _judge_offsets(archive, place, stream, findings)
        if place[0].endswith(".ev"):
            _judge_strangers(place, stream, findings)
        else:
            _judge_outside(place, stream, findings)
    for shard, run in runs.items():
        _judge_nameless(run, archive.manifest.shards(), findings)
        for place in _places_of(run, shard, found):
            channel = found[place].channels.get(shard, FoundChannel())
            _Comparison(archive, run, place, channel, readers.get(place), findings).judge()
    _judge_quarantine(archive, runs, findings)
    for run in runs.values():
        _judge_run(archive, run, findings)
    return findings


def mark_of(archive: Archive, shard: str) -> Done | None:
    """The shard's committed mark; None if there is none that can be read."""
    mark = archive.mark(shard)
    try:
        return Done.of_mark(mark) if mark is not None else None
    except ValueError:
        return None


def _places_of(run: Run, shard: str, found: Mapping[Partition, Found]) -> list[Partition]:
    """Where the shard has written, or should have; a partition that is nowhere cannot be judged."""
    places = dict.fromkeys(place for place in run.produced if place in found)
    places.update(dict.fromkeys(p for p, stream in found.items() if shard in stream.channels))
    return list(places)


def _judge_offsets(archive: Archive, place: Partition, stream: Found, findings: Findings) -> None:
    bounds = archive.manifest.bounds[place]
    if bounds.first:
        words = f"the partition must begin at offset 0, begins at {bounds.first}"
        findings.add(Finding(Kind.MISSING, place, 0, words))
    for wanted, offset in stream.breaks:
        words = f"offset {wanted} was next, found {offset}"
        kind = Kind.MISSING if offset > wanted else Kind.OUT_OF_ORDER
        findings.add(Finding(kind, place, wanted, words))
    if stream.next_offset > bounds.end:
        words = f"the manifest says that the partition ends at offset {bounds.end}, more is here"
        findings.add(Finding(Kind.FORGED, place, bounds.end, words))
    if stream.next_offset < bounds.end:
        words = f"the partition must end at offset {bounds.end}, ends here"
        findings.add(Finding(Kind.MISSING, place, stream.next_offset, words))


def _judge_strangers(place: Partition, stream: Found, findings: Findings) -> None:
    """An outbox has one writer, and holds nothing that is not a record."""
    owner = shard_of(*place)
    for offset, why in stream.unreadable:
        findings.add(Finding(Kind.CHANGED, place, offset, f"{owner} wrote no such record: {why}"))
    for offset, src, _ in stream.outside:
        words = f"only {owner} writes here, the record says it is an outside record of {src!r}"
        findings.add(Finding(Kind.FORGED, place, offset, words, src))
    for src, channel in stream.channels.items():
        if src != owner:
            for offset, cseq in zip(channel.offsets, channel.cseqs, strict=True):
                words = f"only {owner} writes here, the record says it is of {src!r}"
                findings.add(Finding(Kind.FORGED, place, offset, words, src, cseq))


def _judge_outside(place: Partition, stream: Found, findings: Findings) -> None:
    for offset, src, cause_offset in stream.outside:
        words = f"an outside record ({src!r}) has cause_offset 0, this one {cause_offset}"
        findings.add(Finding(Kind.CHANGED, place, offset, words, src))


def _judge_nameless(run: Run, shards: Sequence[str], findings: Findings) -> None:
    """A channel record that names no shard as its source must have been set aside."""
    aside = {quarantined.offset for quarantined in run.set_aside}
    reached = run.stop if run.halted is None else run.halted.offset
    for src, channel in run.found.channels.items():
        if src not in shards:
            for offset, cseq in zip(channel.offsets, channel.cseqs, strict=True):
                if offset not in aside and offset < reached and not run.base_ordinal:
                    words = f"no shard is called {src!r}"
                    findings.add(Finding(Kind.FORGED, run.found.place, offset, words, src, cseq))


class _Comparison:
    """One channel: what its source produces against what stands in the partition."""

    def __init__(
        self,
        archive: Archive,
        run: Run,
        place: Partition,
        channel: FoundChannel,
        reader: Reader | None,
        findings: Findings,
    ) -> None:
        """`reader` is the shard whose inbox this is; an outbox has none."""
        self._run = run
        self._place = place
        self._channel = channel
        self._reader = reader
        self._findings = findings
        self._produced = run.produced.get(place) or Produced(1)
        self._bounds = archive.manifest.bounds[place]
        self._mark = mark_of(archive, run.shard)
        # A run that ended before the archive's end says nothing of what the source wrote later.
        self._whole = run.halted is None and run.stop >= archive.end(inbox(run.shard))
        self._aside = reader.set_aside(self._suspects(reader)) if reader is not None else set()
        self._harmless = channel.harmless(self._aside, self._produced, self._produced.last)
        self._high = self._produced.first - 1
        self._seen: set[int] = set()

    def judge(self) -> None:
        """Judge each record found, then each that is not there."""
        produced, channel, reader = self._produced, self._channel, self._reader
        for index, (cseq, offset) in enumerate(zip(channel.cseqs, channel.offsets, strict=True)):
            name = channel.name_at(index)
            if reader is not None and reader.has_dropped(offset, name):
                continue
            if not self._is_due(cseq):
                self._findings.not_judged += 1
            elif cseq > produced.last and offset >= self._bounds.settled:
                self._findings.cut_off += 1
            elif self._may_be_dropped(index, offset, name):
                self._findings.not_judged += 1
            else:
                self._findings.compared += 1
                self._judge_found(index)
        for cseq in range(produced.first, produced.last + 1):
            if cseq not in self._seen:
                self._judge_absent(cseq, self._high)

    def _suspects(self, reader: Reader) -> list[int]:
        """The offsets of what its source does not produce, where the reader's run did not come."""
        channel, produced = self._channel, self._produced
        return [
            offset
            for index, (cseq, offset) in enumerate(zip(channel.cseqs, channel.offsets, strict=True))
            if not reader.has_read(offset)
            and self._is_due(cseq)
            and not produced.has(cseq, channel.content_at(index))
        ]

    def _is_due(self, cseq: int) -> bool:
        """Whether the run would have produced the record of this number if its source did."""
        produced = self._produced
        if produced.first <= cseq <= produced.last:
            return True
        return self._whole and not 0 < cseq < produced.first

    def _may_be_dropped(self, index: int, offset: int, name: bytes) -> bool:
        """Whether only the reader's run, which did not come there, could excuse the record."""
        if self._reader is None or self._reader.has_read(offset):
            return False
        cseq = self._channel.cseqs[index]
        genuine = self._produced.has(cseq, self._channel.content_at(index))
        in_turn = genuine and cseq <= self._high + 1
        return not in_turn and self._reader.may_have_dropped(offset, name)

    def _judge_found(self, index: int) -> None:
        produced, channel = self._produced, self._channel
        cseq, offset = channel.cseqs[index], channel.offsets[index]
        harmless = offset in self._harmless
        dropped = harmless or (cseq < self._high and self._place[0].endswith(".in"))
        if not produced.first <= cseq <= produced.last:
            words = "its source produces no such record"
            self._add(Kind.FORGED, offset, cseq, words, dropped=dropped)
            return
        changed = channel.content_at(index) != produced.content_of(cseq)
        if changed or offset in self._aside:
            words = "it is not what its source produces" if changed else "it cannot be read"
            self._add(Kind.CHANGED, offset, cseq, words, dropped=dropped)
        if harmless:
            return
        self._seen.add(cseq)
        if cseq > self._high + 1:
            self._add(Kind.OUT_OF_ORDER, offset, cseq, f"#{self._high + 1} was next")
        self._high = max(self._high, cseq)

    def _judge_absent(self, cseq: int, high: int) -> None:
        cause = self._produced.cause_of(cseq)
        below_mark = self._mark is not None and cause <= self._mark.ordinal
        if cseq > high and not below_mark:
            self._findings.unwritten += 1
            return
        if self._findings.is_full(Kind.MISSING, self._place, self._run.shard):
            self._findings.left_out += 1
            return
        why = "its source has committed past its cause" if below_mark else "later ones are there"
        self._add(Kind.MISSING, self._where_due(cseq), cseq, f"it is not there, and {why}")

    def _where_due(self, cseq: int) -> int:
        """The offset of the first record of the channel behind the missing one, else the end."""
        channel = self._channel
        pairs = zip(channel.cseqs, channel.offsets, strict=True)
        later = (offset for number, offset in pairs if number > cseq)
        return next((o for o in later if o not in self._harmless), self._bounds.end)

    def _add(
        self, kind: Kind, offset: int, cseq: int, words: str, *, dropped: bool = False
    ) -> None:
        produced = self._produced
        known = produced.first <= cseq <= produced.last
        self._findings.add(
            Finding(
                kind,
                self._place,
                offset,
                f"{of_channel(self._run.shard, self._place, cseq)}: {words}",
                self._run.shard,
                cseq,
                produced.cause_of(cseq) if known else AFTER_ALL,
                dropped=dropped,
            )
        )


def _judge_quarantine(archive: Archive, runs: Mapping[str, Run], findings: Findings) -> None:
    """The quarantine must say what the shards set aside, all of it and nothing else.

    The words of its notices are left out: they may differ between builds.
    """
    place = (QUARANTINE_TOPIC, 0)
    due: dict[Notice, tuple[Run, SetAside]] = {}
    for shard, run in runs.items():
        for aside in run.set_aside:
            name = aside.record_hash.hex()
            due[Notice(*inbox(shard), aside.offset, aside.index, "", name)] = (run, aside)
    told: set[Notice] = set()
    stream = Found(place, archive.manifest.bounds[place].first)
    for record in archive.everything(place):
        stream.note(record.offset, record.value)
        _judge_notice(archive, runs, record, due, told, findings)
    _judge_offsets(archive, place, stream, findings)
    for key, (run, aside) in due.items():
        mark = mark_of(archive, run.shard)
        if key not in told and mark is not None and aside.offset < mark.offset:
            words = f"{run.shard} sets this aside ({aside.why}), but the quarantine tells nothing"
            findings.add(Finding(Kind.INPUT_CHANGED, inbox(run.shard), aside.offset, words))


def _judge_notice(
    archive: Archive,
    runs: Mapping[str, Run],
    record: LogRecord,
    due: Mapping[Notice, tuple[Run, SetAside]],
    told: set[Notice],
    findings: Findings,
) -> None:
    place = (record.topic, record.partition)
    notice = decode_notice(record.value)
    if notice is None or encode_notice(notice) != record.value:
        findings.add(Finding(Kind.CHANGED, place, record.offset, "it is no quarantine notice"))
        return
    wordless = notice._replace(why="")
    if wordless in due:
        told.add(wordless)
    elif _is_judged(archive, runs, notice, record.offset):
        about = position_name(notice[:2], notice[2])
        words = f"it is about {about}, of which nothing is set aside"
        findings.add(Finding(Kind.FORGED, place, record.offset, words, about=about))


def _is_judged(archive: Archive, runs: Mapping[str, Run], notice: Notice, offset: int) -> bool:
    """Whether the run of the shard that the notice is of went as far as its record."""
    topic, partition, about = notice[:3]
    settled = archive.manifest.bounds[(QUARANTINE_TOPIC, 0)].settled
    if (topic, partition) not in map(inbox, archive.manifest.shards()):
        return True
    run = runs.get(shard_of(topic, partition))
    if run is None or offset >= settled:
        return False
    reached = run.stop if run.halted is None else run.halted.offset
    return run.base_ordinal == 0 and (about < reached or about >= archive.end(inbox(run.shard)))


def _judge_run(archive: Archive, run: Run, findings: Findings) -> None:
    """What a run says of itself: a halt, unsound books, another input than its mark tells."""
    place = inbox(run.shard)
    if run.halted is not None:
        words = f"{run.shard} halts here: {run.halted.words}"
        findings.add(
            Finding(Kind.HALTED, place, run.halted.offset, words, cause=run.halted.ordinal + 1)
        )
    if run.unsound:
        findings.add(Finding(Kind.UNSOUND, outbox(run.shard), run.stop, run.unsound))
    mark = archive.mark(run.shard)
    if mark is None or run.halted is not None or mark.offset > run.stop:
        if mark is not None and mark.offset > archive.end(place):
            words = f"{run.shard} has committed {mark.offset}, the log ends here"
            findings.add(Finding(Kind.MISSING, place, archive.end(place), words))
        return
    told, at_mark = mark_of(archive, run.shard), run.at_mark
    if told is None:
        words = f"{run.shard}'s mark cannot be read: {mark.metadata!r}"
        findings.add(Finding(Kind.INPUT_CHANGED, place, mark.offset, words))
    elif at_mark is not None and at_mark != told:
        words = (
            f"the input before this mark is not what {run.shard} read: it committed input "
            f"{told.ordinal} {told.input_hash.hex()}, here it is "
            f"{at_mark.ordinal} {at_mark.input_hash.hex()}"
        )
        findings.add(Finding(Kind.INPUT_CHANGED, place, mark.offset, words, cause=at_mark.ordinal))
