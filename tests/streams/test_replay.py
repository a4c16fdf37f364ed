"""Replay: equal for whatever the hosts wrote, restarts included, and the same on any machine."""

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import logbourse
from domain.protocol import HaltAction, ResolveHalt
from schemas.record import decode_record, encode_message, encode_record, outside_record, record_hash
from schemas.topics import inbox
from streams.audit import replay
from streams.audit.archive import Bounds, Manifest
from streams.audit.export import export
from streams.audit.findings import Kind, differences
from streams.audit.rerun import Options, rerun
from streams.audit.verify import verify
from streams.shard import Shard
from streams.snapshots import Snapshot, decode_snapshot, encode_snapshot
from tests.simulation.processes import START_US
from tests.simulation.world import World
from tests.streams.audited_log import (
    Nobody,
    archived,
    arguments,
    partitions_of,
    replayed,
    told,
    traded,
)


@functools.cache
def world() -> World:
    return traded(2)


@pytest.mark.parametrize("seed", range(3, 11))
def test_crashes_and_repetitions_leave_an_equal_log_and_the_hosts_own_states(seed):
    crashed = traded(seed, crashes=8, duplicate_rate=0.05)
    verdict = replayed(archived(crashed))
    assert told(verdict.findings) == ""
    hosts = crashed.hosts()
    assert {s: run.state_hash for s, run in verdict.runs.items()} == {
        shard: host.shard.state_hash() for shard, host in hosts.items()
    }
    assert sum(run.duplicates for run in verdict.runs.values()) > 0
    assert verdict.findings.compared > 100


def test_a_replay_without_memory_ends_and_finds_nothing(monkeypatch):
    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Shard, "step", exhausted)
    with pytest.raises(MemoryError):
        rerun(archived(world()), "L0")


def test_other_processes_come_to_the_same_verdict():
    archive = archived(world())
    shards = archive.manifest.shards()
    here = verify(archive, shards, {}, Nobody(), processes=1)
    there = verify(archive, shards, {}, Nobody(), processes=2)
    assert list(there.runs) == list(here.runs)
    assert [r.state_hash for r in there.runs.values()] == [r.state_hash for r in here.runs.values()]
    assert there.findings.compared == here.findings.compared


@pytest.mark.slow
def test_state_hashes_do_not_depend_on_the_hash_seed():
    script = (
        "from tests.streams.test_replay import world\n"
        "from tests.streams.audited_log import archived, replayed\n"
        "runs = replayed(archived(world())).runs\n"
        "print(' '.join(run.state_hash.hex() for run in runs.values()))"
    )
    outputs = {
        subprocess.run(
            [sys.executable, "-c", script],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("0", "1", "4711")
    }
    assert len(outputs) == 1
    assert len(outputs.pop().split()) == 6


def test_a_shard_alone_is_judged_wherever_it_wrote():
    partitions = partitions_of(world())
    place = ("matching.in", 0)
    offset, value = [each for each in partitions[place] if decode_record(each[1]).cseq][-1]
    partitions[place][offset] = (offset, value[:-3] + bytes([value[-3] ^ 1]) + value[-2:])
    archive = archived(world(), partitions)
    found = {
        shard: verify(archive, [shard], {}, Nobody(), 1).findings.listed
        for shard in archive.manifest.shards()
    }
    assert any(f.position == f"matching.in.0@{offset}" for f in [*found["L0"], *found["L1"]])
    assert not found["A1"]
    assert not found["M1"]


def test_a_run_that_stops_early_says_nothing_of_what_comes_later():
    archive = archived(world())
    for stop in range(archive.end(inbox("L0")) + 1):
        verdict = verify(archive, ["L0"], {"L0": Options(stop=stop)}, Nobody(), 1)
        assert told(verdict.findings) == ""
        assert verdict.runs["L0"].records == stop


def test_a_run_from_a_snapshot_ends_in_the_same_state():
    archive = archived(world())
    whole = rerun(archive, "L1")
    for offset in range(1, archive.end(inbox("L1")), 5):
        part = rerun(archive, "L1", Options(stop=offset))
        snapshot = decode_snapshot(encode_snapshot(Snapshot(offset, part.dumped)))
        verdict = verify(archive, ["L1"], {"L1": Options(snapshot=snapshot)}, Nobody(), 1)
        assert told(verdict.findings) == ""
        assert verdict.runs["L1"].state_hash == whole.state_hash


def test_records_behind_the_marks_may_be_missing():
    """A live log: outputs of the last inputs are not there yet, and nobody has claimed they are."""
    partitions = partitions_of(world())
    del partitions[("ledger.ev", 0)][-3:]
    archive = archived(world(), partitions)
    manifest = archive.manifest
    marks = {place: mark for place, mark in manifest.marks.items() if place != ("ledger.in", 0)}
    open_end = Manifest(2, 2, manifest.bounds, marks)
    verdict = replayed(type(archive)(archive.source, open_end))
    assert told(verdict.findings) == ""
    assert verdict.findings.unwritten == 3


def test_what_was_appended_while_the_ends_were_read_is_no_forgery():
    partitions = partitions_of(world())
    cut = len(partitions[("ledger.in", 0)]) - 2
    del partitions[("ledger.in", 0)][cut:]
    archive = archived(world(), partitions)
    settled = {p: Bounds(0, 0, bounds.end) for p, bounds in archive.manifest.bounds.items()}
    verdict = replayed(type(archive)(archive.source, Manifest(2, 2, settled, {})))
    assert told(verdict.findings) == ""
    assert Kind.FORGED in {f.kind for f in replayed(archive).findings.listed}


def test_a_resolved_halt_is_honored():
    """A forged record halts L0; the operator skips it, and the log is what L0 made of it then."""
    halted = traded(5)
    place = ("ledger.in", 0)
    forged = encode_record(
        prev=bytes(16),
        cause_offset=0,
        src="M0",
        cseq=1_000,
        cause=1,
        time_us=START_US,
        input_hash=b"",
        messages=[],
    )
    halted.log.append(place, forged)
    halted.drain()
    assert "L0" in halted.halted
    assert Kind.HALTED in {f.kind for f in replayed(archived(halted)).findings.listed}
    word = ResolveHalt(b"w" * 16, START_US + 10**12, record_hash(forged), HaltAction.SKIP)
    halted.log.append(place, outside_record("operator", START_US, [encode_message(word)]))
    halted.halted.clear()
    halted.drain()
    verdict = replayed(archived(halted))
    assert told(verdict.findings) == ""
    assert list(verdict.runs["L0"].resolved) == [record_hash(forged)]
    assert any("an operator said SKIP" in line for line in replay.report(verdict))


def test_the_command_tells_by_its_status(tmp_path: Path, capsys):
    export(archived(world()), tmp_path, Nobody())
    assert replay.run(arguments(replay, "--from", str(tmp_path))) == 0
    assert "EQUAL" in capsys.readouterr().out
    assert replay.run(arguments(replay, "--from", str(tmp_path), "--json", "--shard", "M0")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["equal"]
    assert list(said["shards"]) == ["M0"]
    partitions = partitions_of(world())
    place = ("ledger.ev", 1)
    offset, value = partitions[place][4]
    partitions[place][4] = (offset, value[:-2] + bytes([value[-2] ^ 1]) + value[-1:])
    spoiled = tmp_path / "spoiled"
    export(archived(world(), partitions), spoiled, Nobody())
    assert replay.run(arguments(replay, "--from", str(spoiled))) == 1
    out = capsys.readouterr().out
    assert "first divergence of L1: CHANGED ledger.ev.1@4" in out
    assert "DIVERGENT: 1 divergence, 0 more" in out
    assert "expected" in out


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--from", "{there}", "--shard", "L9"], "a shard must be among A0 A1 L0 L1 M0 M1, was L9"),
        (["--from", "{there}/nowhere"], "must be readable"),
        (["--from", "{there}", "--until", "ledger.in"], "a position such as ledger.in.0@17"),
        (["--from", "{there}", "--until", "dlq.0@1"], "must name a shard's partition"),
        (["--from", "{there}", "--from-snapshot", "x"], "must come with one --shard"),
        (
            ["--from", "{there}", "--shard", "L0", "--from-snapshot", "{there}/manifest.json"],
            "must be a snapshot",
        ),
    ],
)
def test_bad_input_is_one_sentence(words, sentence, tmp_path: Path, capsys):
    export(archived(world()), tmp_path, Nobody())
    assert logbourse.main(["replay", *(word.format(there=tmp_path) for word in words)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("logbourse replay: ")
    assert sentence in said
    assert said.count("\n") == 1


def test_a_snapshot_of_another_build_is_one_sentence(tmp_path: Path, capsys):
    export(archived(world()), tmp_path / "log", Nobody())
    other = tmp_path / "other.snapshot"
    other.write_bytes(encode_snapshot(Snapshot(1, b'{"shard": "L0"}')))
    words = ["--from", str(tmp_path / "log"), "--shard", "L0", "--from-snapshot", str(other)]
    assert logbourse.main(["replay", *words]) == 2
    said = capsys.readouterr().err
    assert f"{other}: must be a dump of this build" in said
    assert said.count("\n") == 1


def test_a_snapshot_is_loaded_once(tmp_path: Path, monkeypatch):
    """It may be of gigabytes."""
    loaded = []
    load = Shard.load

    def counted(dumped, decider):
        loaded.append(dumped)
        return load(dumped, decider)

    archive = archived(world())
    export(archive, tmp_path / "log", Nobody())
    offset = archive.end(inbox("L1")) // 2
    part = verify(archive, ["L1"], {"L1": Options(stop=offset)}, Nobody(), 1).runs["L1"]
    (tmp_path / "one").write_bytes(encode_snapshot(Snapshot(offset, part.dumped)))
    monkeypatch.setattr(Shard, "load", counted)
    words = ["--from", str(tmp_path / "log"), "--shard", "L1"]
    assert replay.run(arguments(replay, *words, "--from-snapshot", str(tmp_path / "one"))) == 0
    assert loaded == [part.dumped]


def test_until_a_position_of_an_outbox_stops_behind_its_cause(tmp_path: Path, capsys):
    export(archived(world()), tmp_path, Nobody())
    words = ("--from", str(tmp_path), "--until", "ledger.ev.0@7", "--json")
    assert replay.run(arguments(replay, *words)) == 0
    said = json.loads(capsys.readouterr().out)
    assert list(said["shards"]) == ["L0"]
    assert said["shards"]["L0"]["records"] == 8


def test_differences_name_the_fields():
    expected = {"a": 1, "b": [{"c": 2}, {"c": 3}], "d": "x"}
    found = {"a": 1, "b": [{"c": 4}], "d": "x"}
    assert differences(expected, found) == [
        ("b[0].c", "2", "4"),
        ("b[1]", "{'c': 3}", "-"),
    ]
