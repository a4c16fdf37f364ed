"""Exports: what comes back is what was there, however often it was interrupted."""

import functools
import json
import operator
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import fastavro
import pytest

import logbourse
from infra.log import LogRecord, Mark, Partition
from schemas.topics import catalogue
from streams.audit.archive import (
    Archive,
    BadArchive,
    Bounds,
    Manifest,
    capture,
    parse_position,
)
from streams.audit.export import export
from streams.audit.exported import ExportSource, open_export, partition_file
from streams.audit.manifests import read_manifest, write_manifest
from tests.streams.audited_log import Nobody, archived, partitions_of, replayed, told, traded

PLACE = ("ledger.in", 0)


def small(count: int, *, mark: int = 0) -> Archive:
    """A log of one interesting partition with `count` records."""
    return Archive(Numbers(), manifest(count, mark))


def manifest(count: int, mark: int = 0) -> Manifest:
    bounds = {(topic.name, 0): Bounds(0, 0, 0) for topic in catalogue(1, 1)}
    bounds[PLACE] = Bounds(0, count, count)
    return Manifest(1, 1, bounds, {PLACE: Mark(mark, f"{mark} {bytes(16).hex()}")})


def opened(directory: Path) -> Archive:
    """The export of a log that does not begin with Genesis."""
    return Archive(ExportSource(directory), read_manifest(directory))


class Numbers:
    """Records whose content is their offset, behind some bytes that do not compress."""

    def __init__(self, fails_at: int = -1) -> None:
        self._fails_at = fails_at

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        for offset in range(start, stop):
            if offset == self._fails_at:
                raise BadArchive("the log went away")
            value = None if offset == 3 else bytes(range(256)) * 40 + str(offset).encode()
            yield LogRecord(topic, partition, offset, 1_000 + offset, value)


def contents(archive: Archive, place: Partition = PLACE) -> list[LogRecord]:
    return list(archive.records(place, 0, archive.end(place)))


def test_what_comes_back_is_what_was_there(tmp_path: Path):
    archive = small(1_000, mark=7)
    assert export(archive, tmp_path, Nobody()) == 1_000
    again = opened(tmp_path)
    assert again.manifest == archive.manifest
    assert contents(again) == contents(archive)
    assert list(again.records(PLACE, 500, 503)) == contents(archive)[500:503]
    assert contents(again, ("dlq", 0)) == []


def test_a_second_run_adds_what_is_new(tmp_path: Path):
    export(small(400), tmp_path, Nobody())
    assert export(small(1_000), tmp_path, Nobody()) == 600
    assert export(small(1_000), tmp_path, Nobody()) == 0
    assert contents(opened(tmp_path)) == contents(small(1_000))


def test_an_interrupted_export_goes_on(tmp_path: Path):
    with pytest.raises(BadArchive, match="went away"):
        export(replace(small(1_000), source=Numbers(fails_at=700)), tmp_path, Nobody())
    with pytest.raises(BadArchive, match="was the export finished"):
        opened(tmp_path)
    assert 0 < export(small(1_000), tmp_path, Nobody()) < 1_000
    assert contents(opened(tmp_path)) == contents(small(1_000))


@pytest.mark.parametrize("kept", [0, 10, 300, 0.3, 0.5, 0.99, 0.9999])
def test_a_torn_end_is_cut_off(kept, tmp_path: Path):
    export(small(1_000), tmp_path, Nobody())
    path = partition_file(tmp_path, PLACE)
    whole = path.read_bytes()
    path.write_bytes(whole[: kept if isinstance(kept, int) else int(len(whole) * kept)])
    assert export(small(1_000), tmp_path, Nobody()) > 0
    assert contents(opened(tmp_path)) == contents(small(1_000))


class Other(Numbers):
    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        for record in super().records(topic, partition, start, stop):
            yield replace(record, value=b"other")


def contents_of_files(directory: Path) -> dict[str, bytes]:
    files = [path for path in directory.rglob("*") if path.is_file()]
    return {str(path.relative_to(directory)): path.read_bytes() for path in files}


@pytest.mark.parametrize("log", [replace(small(20), source=Other()), small(9), small(0)])
def test_a_directory_of_another_log_is_refused_and_stays_as_it_is(log, tmp_path: Path):
    """It may be the one copy that `recover` can bring lost records back from."""
    export(small(10), tmp_path, Nobody())
    before = contents_of_files(tmp_path)
    with pytest.raises(BadArchive, match="must go on with the same log"):
        export(log, tmp_path, Nobody())
    assert contents_of_files(tmp_path) == before


def test_a_directory_with_a_manifest_of_something_else_is_refused_and_stays(tmp_path: Path):
    (tmp_path / "manifest.json").write_text('{"name": "a web site"}')
    before = contents_of_files(tmp_path)
    with pytest.raises(BadArchive, match="must be an export's manifest, was not"):
        export(small(10), tmp_path, Nobody())
    assert contents_of_files(tmp_path) == before


@pytest.mark.parametrize("torn", [0, 2_000])
def test_an_interrupted_export_keeps_the_copy_that_there_was(torn, tmp_path: Path):
    export(small(400), tmp_path, Nobody())
    with pytest.raises(BadArchive, match="went away"):
        export(replace(small(1_000), source=Numbers(fails_at=900)), tmp_path, Nobody())
    path = partition_file(tmp_path, PLACE)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - torn)
    copy = opened(tmp_path)
    assert copy.manifest == small(400).manifest
    assert contents(copy) == contents(small(400))
    assert 0 < export(small(1_000), tmp_path, Nobody()) < 600
    assert contents(opened(tmp_path)) == contents(small(1_000))


def test_what_an_interrupted_export_has_added_is_no_finding(tmp_path: Path):
    archive = archived(traded(4))
    places = sorted(place for place, bounds in archive.manifest.bounds.items() if bounds.end)
    shorter = dict(archive.manifest.bounds)
    for place in (places[0], places[-1]):
        end = shorter[place].end - 1
        shorter[place] = Bounds(0, end, end)
    former = replace(archive.manifest, bounds=shorter, marks={})
    export(replace(archive, manifest=former), tmp_path, Nobody())
    with pytest.raises(BadArchive, match="went away"):
        export(replace(archive, source=LastIsGone(archive, places[-1])), tmp_path, Nobody())
    copy = open_export(tmp_path)
    assert copy.manifest == former
    assert "more is here" not in told(replayed(copy).findings)
    export(archive, tmp_path, Nobody())
    write_manifest(tmp_path, former)
    assert "more is here" in told(replayed(open_export(tmp_path)).findings)


@dataclass(frozen=True)
class LastIsGone:
    """Gives all records but the last of one partition."""

    archive: Archive
    place: Partition

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        if (topic, partition) == self.place and stop == self.archive.end(self.place):
            raise BadArchive("the log went away")
        return self.archive.source.records(topic, partition, start, stop)


def test_damage_is_told_in_one_sentence(tmp_path: Path):
    export(small(1_000), tmp_path, Nobody())
    path = partition_file(tmp_path, PLACE)
    whole = bytearray(path.read_bytes())
    for at in range(len(whole) // 3, len(whole), len(whole) // 50):
        spoiled = bytearray(whole)
        spoiled[at] ^= 0x55
        path.write_bytes(spoiled)
        said = damage_in(tmp_path)
        assert "is damaged after" in said or said == "other records"
        assert "\n" not in said


def damage_in(directory: Path) -> str:
    """What reading the files again says."""
    try:
        found = contents(opened(directory))
    except BadArchive as error:
        return str(error)
    return "nothing" if found == contents(small(1_000)) else "other records"


TEXTS = ["", "{}", "[]", '{"format": 9}', '{"format": 1, "marks": 3}', "[" * 100_000]


@pytest.mark.parametrize("text", TEXTS, ids=lambda text: text[:24])
def test_a_manifest_that_is_none_is_told(text, tmp_path: Path):
    (tmp_path / "manifest.json").write_text(text)
    with pytest.raises(BadArchive, match=r"manifest\.json must be"):
        open_export(tmp_path)


def lie(directory: Path, path: str, value: Any) -> None:
    """Have the manifest say something else there, or nothing."""
    file = directory / "manifest.json"
    said = json.loads(file.read_text())
    *way, last = path.split("/")
    at = functools.reduce(operator.getitem, way, said)
    if value is None:
        del at[last]
    else:
        at[last] = value
    file.write_text(json.dumps(said))


LIES: list[tuple[str, Any]] = [
    *[(f"partitions/ledger.in.0/{name}", float("nan")) for name in ("first", "settled", "end")],
    *[("partitions/ledger.in.0/end", end) for end in ("5", 5.0, True, -1, 3, 10**30, [0], None)],
    *[("partitions/ledger.in.0/settled", settled) for settled in (0, -1, 10**9)],
    ("partitions/ledger.in.0/first", 10**9),
    ("partitions/ledger.in.0/more", 1),
    ("partitions/ledger.in.0", None),
    ("partitions/ledger.in.0", []),
    ("partitions/ledger.in.9", {"first": 0, "settled": 0, "end": 0}),
    ("partitions/dlq.0", None),
    ("partitions/audit.in.0", {"first": 0, "settled": 0, "end": 0}),
    *[("ledger_partitions", count) for count in (0, 1, 3, 10**12, 2.0, "2", True)],
    *[("matching_partitions", count) for count in (1, float("inf"))],
    ("marks/ledger.in.0/offset", float("nan")),
    ("marks/ledger.in.0/offset", -1),
    ("marks/ledger.in.0/metadata", 7),
    ("marks/ledger.ev.0", {"offset": 1, "metadata": ""}),
    ("marks/ledger.in.7", {"offset": 1, "metadata": ""}),
]


@pytest.fixture(scope="module")
def exchange(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An exchange, exported."""
    directory = tmp_path_factory.mktemp("export")
    export(archived(traded(4)), directory, Nobody())
    return directory


@pytest.mark.parametrize(("path", "value"), LIES)
def test_a_manifest_that_no_export_writes_is_refused(path, value, exchange, tmp_path, capsys):
    """NaN is no end, "settled" 0 would excuse what is forged: nothing would be compared."""
    shutil.copytree(exchange, tmp_path, dirs_exist_ok=True)
    lie(tmp_path, path, value)
    with pytest.raises(BadArchive, match=r"manifest\.json must be"):
        open_export(tmp_path)
    assert logbourse.main(["replay", "--from", str(tmp_path)]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_a_manifest_of_a_smaller_exchange_than_its_genesis_is_refused(exchange, tmp_path):
    """All that the manifest names is there, and the rest would pass unseen."""
    shutil.copytree(exchange, tmp_path, dirs_exist_ok=True)
    for name in ("matching.in.1", "matching.ev.1"):
        lie(tmp_path, f"partitions/{name}", None)
    lie(tmp_path, "marks/matching.in.1", None)
    lie(tmp_path, "matching_partitions", 1)
    with pytest.raises(BadArchive, match="must have the partitions of its Genesis"):
        open_export(tmp_path)


def test_a_log_that_grew_or_lost_its_end_may_be_exported(exchange, tmp_path):
    """The ends may move between the two looks, and a mark may be beyond what is left."""
    shutil.copytree(exchange, tmp_path, dirs_exist_ok=True)
    end = open_export(tmp_path).end(PLACE)
    lie(tmp_path, "marks/ledger.in.0/offset", end + 5)
    open_export(tmp_path)
    lie(tmp_path, "partitions/ledger.in.0/settled", end - 3)
    open_export(tmp_path)
    lie(tmp_path, "marks/ledger.in.0/offset", end - 2)
    lie(tmp_path, "partitions/ledger.in.0/settled", end - 2)
    open_export(tmp_path)


def test_an_exported_exchange_replays_equal_and_brings_its_schemas(tmp_path: Path):
    archive = archived(traded(4))
    export(archive, tmp_path, Nobody())
    verdict = replayed(open_export(tmp_path))
    assert told(verdict.findings) == ""
    assert [r.state_hash for r in verdict.runs.values()] == [
        r.state_hash for r in replayed(archive).runs.values()
    ]
    value = next(archive.records(PLACE, 0, 1)).value or b""
    schema = json.loads((tmp_path / "schemas" / f"{value[2:10].hex()}.avsc").read_text())
    with partition_file(tmp_path, PLACE).open("rb") as file:
        first: Any = next(iter(fastavro.reader(file)))
    assert first["value"] == value
    assert schema["name"] == "Record"


def test_a_record_taken_out_of_the_files_is_missed(tmp_path: Path):
    archive = archived(traded(4))
    export(archive, tmp_path, Nobody())
    partitions = partitions_of(traded(4))
    del partitions[PLACE][6]
    gone = archived(traded(4), partitions)
    partition_file(tmp_path, PLACE).unlink()
    export(Archive(gone.source, archive.manifest), tmp_path, Nobody())
    assert "MISSING ledger.in.0@6" in told(replayed(open_export(tmp_path)).findings)


class GrowingLog:
    """A log that grows by a record whenever it is asked for its end."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        self.asked.append("end")
        return 0, len(self.asked)

    def committed(self, topic: str, partition: int) -> Mark | None:
        self.asked.append("mark")
        return Mark(1, "1 00") if partition == 0 else None


def test_marks_are_read_before_ends_and_all_ends_twice():
    log = GrowingLog()
    found = capture(log, 2, 1)  # type: ignore[arg-type]
    assert log.asked == ["mark"] * 5 + ["end"] * 22
    assert set(found.marks) == {("accounts.in", 0), ("ledger.in", 0), ("matching.in", 0)}
    latest_settled = max(bounds.settled for bounds in found.bounds.values())
    assert all(bounds.end > latest_settled for bounds in found.bounds.values())


class NewLeader(GrowingLog):
    """Shows its end late: a record whose mark was read already is not there at the first look."""

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, min(super().ends(topic, partition)[1] // 8, 3)

    def committed(self, topic: str, partition: int) -> Mark | None:
        return Mark(2, "1 00")


def test_what_a_mark_has_passed_is_settled_however_late_it_is_shown(tmp_path: Path):
    found = capture(NewLeader(), 2, 1)  # type: ignore[arg-type]
    for place, mark in found.marks.items():
        bounds = found.bounds[place]
        assert bounds.settled == min(mark.offset, bounds.end)
    write_manifest(tmp_path, found)
    assert read_manifest(tmp_path) == found


@pytest.mark.parametrize("text", ["", "ledger.in", "ledger.in.0", "ledger.in.x@1", "@1", "a.1@²"])
def test_a_position_that_is_none_is_refused(text):
    with pytest.raises(BadArchive, match="a position such as"):
        parse_position(text)
