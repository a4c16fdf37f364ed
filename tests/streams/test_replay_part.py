"""A replay of a part of the log: it judges what it can know, and counts the rest as not judged."""

import functools
import json
from pathlib import Path

import pytest

from domain.markets import HaltMarket
from domain.protocol import HaltAction, ResolveHalt
from schemas.record import decode_record, record_hash
from schemas.topics import inbox
from streams.audit import replay
from streams.audit.archive import Archive, BadArchive
from streams.audit.export import export
from streams.audit.exported import open_export
from streams.audit.rerun import Options, rerun
from streams.audit.verify import Verdict, verify
from streams.snapshots import Snapshot, encode_snapshot
from tests.archived.kept import all_kept
from tests.simulation.load import DEADLINE_US
from tests.simulation.races import forge
from tests.simulation.world import World
from tests.streams.audited_log import (
    Nobody,
    archived,
    arguments,
    partitions_of,
    renumbered,
    replayed,
    settle_marks,
    told,
    traded,
)
from tests.streams.test_resolved_records import change_market, say
from tests.streams.test_set_aside_records import with_one_in_the_middle

INBOX = ("ledger.in", 0)


@functools.cache
def world() -> World:
    return traded(2)


def part(archive: Archive, *shards: str, **stops: int) -> Verdict:
    """The verdict of a replay of these shards, some of which end at an offset."""
    options = {shard: Options(stop=stop) for shard, stop in stops.items()}
    return verify(archive, shards, options, Nobody(), processes=1)


def snapshot_of(archive: Archive, shard: str, offset: int) -> Snapshot:
    return Snapshot(offset, rerun(archive, shard, Options(stop=offset)).dumped)


class TestWhatIsNotJudged:
    """It is told, and is not among the records that are what their inputs lead to."""

    def test_a_record_behind_the_stop(self):
        archive = _with_a_changed_end()
        whole = part(archive, "L1").findings
        assert (len(whole.listed), whole.not_judged) == (1, 0)
        stop = archive.end(inbox("L1")) // 2
        findings = part(archive, "L1", L1=stop).findings
        assert findings.listed == []
        assert findings.not_judged > 0
        assert findings.compared + findings.not_judged == whole.compared

    def test_a_record_before_the_snapshot(self):
        archive = _with_a_changed_end(at=3)
        whole = part(archive, "L1").findings
        snapshot = snapshot_of(archive, "L1", archive.end(inbox("L1")) // 2)
        options = {"L1": Options(snapshot=snapshot)}
        findings = verify(archive, ["L1"], options, Nobody(), processes=1).findings
        assert findings.listed == []
        assert findings.not_judged > 0
        assert findings.compared + findings.not_judged == whole.compared

    def test_it_is_said(self, tmp_path: Path, capsys):
        export(_with_a_changed_end(), tmp_path, Nobody())
        words = ("--from", str(tmp_path), "--until", "ledger.in.1@10")
        assert replay.run(arguments(replay, *words, "--json")) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["compared"] > 0
        assert told["not_judged"] > 0
        assert replay.run(arguments(replay, *words)) == 0
        assert capsys.readouterr().out.splitlines()[-1] == (
            f"EQUAL: {told['compared']:,} records are what their inputs lead to, "
            f"{told['not_judged']:,} not judged"
        )

    def test_a_part_of_which_nothing_can_be_judged_is_not_equal(self, tmp_path: Path, capsys):
        archive = archived(world())
        end = archive.end(inbox("L1"))
        export(archive, tmp_path / "log", Nobody())
        (tmp_path / "last").write_bytes(encode_snapshot(snapshot_of(archive, "L1", end)))
        words = ("--from", str(tmp_path / "log"), "--shard", "L1")
        options = (*words, "--from-snapshot", str(tmp_path / "last"))
        assert replay.run(arguments(replay, *options)) == 1
        assert "\nNOTHING JUDGED: " in capsys.readouterr().out
        assert replay.run(arguments(replay, *options, "--json")) == 1
        assert json.loads(capsys.readouterr().out)["equal"] is False

    def test_a_replay_of_everything_judges_everything(self):
        assert replayed(archived(world())).findings.not_judged == 0


def _with_a_changed_end(at: int = -2) -> Archive:
    """One byte of a record of ledger.ev.1 is another."""
    partitions = partitions_of(world())
    values = partitions[("ledger.ev", 1)]
    offset, value = values[at]
    values[at] = (offset, value[:-2] + bytes([value[-2] ^ 1]) + value[-1:])
    return archived(world(), partitions)


class TestWhereItEnds:
    def test_a_stop_before_the_snapshot_is_refused(self, tmp_path: Path, capsys):
        archive = archived(world())
        export(archive, tmp_path / "log", Nobody())
        (tmp_path / "one").write_bytes(encode_snapshot(snapshot_of(archive, "L1", 20)))
        words = ("--from", str(tmp_path / "log"), "--shard", "L1", "--until")
        words_at = (*words, "ledger.in.1@{}", "--from-snapshot", str(tmp_path / "one"))
        for offset, status in ((19, 1), (25, 0)):
            assert replay.run(arguments(replay, *(w.format(offset) for w in words_at))) == status
            stopped = rerun(archive, "L1", Options(stop=offset + 1))
            assert stopped.state_hash.hex() in capsys.readouterr().out
        for offset in (10, 18):
            behind = f"the snapshot's offset 20 or behind it, was {offset + 1}"
            with pytest.raises(BadArchive, match=f"--until must stop at {behind}"):
                replay.run(arguments(replay, *(w.format(offset) for w in words_at)))

    @pytest.mark.parametrize("shard", ["L0", "A1"])
    def test_a_position_that_the_log_does_not_have_is_refused(self, shard, tmp_path: Path, capsys):
        archive = archived(world())
        export(archive, tmp_path, Nobody())
        topic, partition = inbox(shard)
        end = archive.end(inbox(shard))
        words = ("--from", str(tmp_path), "--until", f"{topic}.{partition}@{{}}")
        for offset in (end - 1, end):
            assert replay.run(arguments(replay, *(w.format(offset) for w in words))) == 0
        for offset in (end + 1, 99_999_999):
            with pytest.raises(
                BadArchive, match=f"@{offset} must be in the log, which ends at {end}"
            ):
                replay.run(arguments(replay, *(w.format(offset) for w in words)))


class TestWhoseReaderWasNotRun:
    """Only the reader's run tells whether an operator's word has dropped a record."""

    @pytest.mark.parametrize("kept", all_kept(), ids=lambda kept: kept.name)
    def test_each_shard_of_a_sound_log_alone_is_equal(self, kept):
        with kept.unpacked() as directory:
            archive = open_export(directory)
            for shard in archive.manifest.shards():
                assert told(part(archive, shard).findings) == "", shard
            assert told(part(archive, "L0", "M0", L0=101).findings) == ""

    @pytest.mark.parametrize("ahead", [0, 1, 2, 1_000])
    def test_a_forged_record_with_a_word_behind_it_is_not_judged(self, ahead):
        """Of the last number, of the next one in another chain, of ones that come too early."""
        world = _forged(ahead)
        archive = archived(world)
        whole = part(archive, "L0", "M0").findings
        assert (told(whole), whole.not_judged) == ("", 0)
        alone = part(archive, "M0").findings
        assert (told(alone), alone.not_judged) == ("", 1)
        assert told(part(archive, "L0", "M0", L0=10).findings) == ""

    def test_a_word_hides_no_genuine_record_that_is_missing(self):
        world = _forged(1)
        number = world.hosts()["L0"].shard.incoming["M0"].cseq
        partitions = partitions_of(world)
        values = partitions[INBOX]
        genuine = max(o for o, value in values if len(value) > 16 and decode_record(value).cseq)
        del values[genuine]
        partitions[INBOX] = renumbered(values)
        words = told(part(archived(world, partitions), "M0").findings)
        assert f"M0 → ledger.in.0 #{number}: it is not there" in words

    def test_without_a_word_it_is_named(self):
        world = traded(5)
        forge(world, "L0", cseq=1_000_000)
        offset = world.log.end(INBOX) - 1
        settle_marks(world)
        archive = archived(world)
        assert f"FORGED ledger.in.0@{offset}" in told(part(archive, "M0").findings)
        assert f"HALTED ledger.in.0@{offset}" in told(part(archive, "L0").findings)

    def test_a_word_before_a_copy_of_it_does_not_excuse_the_copy(self):
        world = _forged(1_000)
        values = partitions_of(world)[INBOX]
        value = next(v for _, v in values if len(v) > 16 and decode_record(v).cseq > 1_000)
        world.log.append(INBOX, value)
        copy = world.log.end(INBOX) - 1
        findings = part(archived(world), "M0").findings
        assert [finding.position for finding in findings.listed] == [f"ledger.in.0@{copy}"]

    @pytest.mark.parametrize("ahead", [0, 1, 2, 1_000_000])
    def test_what_the_reader_sets_aside_is_judged_as_with_it(self, ahead):
        world, _ = with_one_in_the_middle(ahead)
        archive = archived(world)
        (whole,) = part(archive, "L0", "M0").findings.listed
        (alone,) = part(archive, "M0").findings.listed
        assert alone.sentence() == whole.sentence()
        assert alone.dropped

    def test_a_word_on_what_the_reader_sets_aside_excuses_nothing(self):
        """No shard has halted at it, so that no word can have passed it."""
        world, offset = with_one_in_the_middle(1)
        name = record_hash(partitions_of(world)[INBOX][offset][1])
        word = ResolveHalt(b"w" * 16, 10 * DEADLINE_US, name, HaltAction.SKIP)
        world.send("L0", "operator", [word])
        world.drain()
        settle_marks(world)
        archive = archived(world)
        for shards in (("L0", "M0"), ("M0",)):
            (finding,) = part(archive, *shards).findings.listed
            assert finding.position == f"ledger.in.0@{offset}"


def _forged(ahead: int) -> World:
    """A record that M0 has not written halted L0, an operator skipped it, and M0 wrote on."""
    world = traded(5)
    forge(world, "L0", cseq=world.hosts()["L0"].shard.incoming["M0"].cseq + ahead)
    world.drain()
    say(world)
    change_market(world, HaltMarket)
    assert not world.halted
    settle_marks(world)
    return world
