"""The audit: sound where it must be, at any cut, and sharp: each invariant can be seen to fail."""

import functools
import json
import random
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from domain.decider import Message, State
from domain.matching.messages import OrderTerminated, TradeExecuted
from domain.orders.messages import CloseReason, FillSettled, OrderAccepted, OrderClosed
from schemas.topics import inbox
from streams.audit import audit, inspect
from streams.audit.archive import Archive, BadArchive, Bounds, Manifest
from streams.audit.channels import Produced
from streams.audit.checks import TITLES, Checks
from streams.audit.cut import consistent_cut
from streams.audit.export import export
from streams.audit.ledger_witness import LedgerRecord, LedgerWitness
from streams.audit.matching_witness import MatchingRecord, MatchingWitness
from streams.audit.rerun import Options, rerun
from streams.families import decider_of
from streams.snapshots import Snapshot, encode_snapshot
from tests.simulation.faults import Faults
from tests.simulation.load import genesis
from tests.simulation.races import Races
from tests.simulation.sizes import Size
from tests.simulation.world import World
from tests.streams.audited_log import (
    Nobody,
    archived,
    arguments,
    partitions_of,
    replayed,
    settle_marks,
    traded,
)


@functools.cache
def world() -> World:
    return traded(3)


@pytest.mark.parametrize("seed", range(11, 19))
def test_a_drained_exchange_is_sound_and_nothing_is_in_flight(seed):
    result = audit.audit(archived(traded(seed, crashes=5, duplicate_rate=0.03)), Nobody())
    assert result.checks.words == []
    assert all(sheet.clearing == 0 == sheet.in_flight for sheet in result.sheets.values())
    checked = {invariant for invariant, count in result.checks.counts.items() if count}
    assert checked == TITLES.keys() - {"L3", "S4"}


def keep(folder: Path, shard: str, offset: int, until: int, dumped: bytes = b"") -> Path:
    """A snapshot of the shard that says `offset`, of the state before `until` unless `dumped`."""
    dumped = dumped or rerun(archived(world()), shard, Options(stop=until)).dumped
    path = folder / shard / f"{offset:020d}.snapshot"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_snapshot(Snapshot(offset, dumped)))
    return path


def test_each_snapshot_is_the_state_of_its_position(tmp_path: Path):
    archive = archived(world())
    end = archive.end(inbox("L1"))
    for shard, offset in (("L0", 1), ("L0", 9), ("L1", end), ("M0", 7)):
        keep(tmp_path, shard, offset, offset)
    keep(tmp_path, "L1", end + 1, end)
    result = audit.audit(archive, Nobody(), 1, tmp_path)
    assert result.checks.words == []
    assert result.checks.counts["S4"] == 4, "nothing is said of what is beyond the end"
    keep(tmp_path, "M0", 7, 6)
    path = keep(tmp_path, "L0", 9, 9)
    path.write_bytes(path.read_bytes()[:-1])
    result = audit.audit(archive, Nobody(), 1, tmp_path)
    assert result.checks.words == [
        f"S4: L0/{9:020d}.snapshot: must be a snapshot, is damaged",
        f"S4: M0/{7:020d}.snapshot: is not the state before 7",
    ]
    assert (result.checks.counts["S4"], result.checks.broken["S4"]) == (4, 2)
    with pytest.raises(BadArchive, match="--snapshots must name a directory"):
        audit.audit(archive, Nobody(), 1, tmp_path / "nowhere")


def altered(until: int, table: int, rows: Any) -> bytes:
    """L0's dump before `until` with other rows in one table of its state."""
    dumped = json.loads(rerun(archived(world()), "L0", Options(stop=until)).dumped)
    dumped["state"][table] = rows(dumped["state"][table])
    return json.dumps(dumped, separators=(",", ":")).encode()


def test_a_snapshot_that_hosts_pass_over_is_passed_over_and_counted(tmp_path: Path):
    keep(tmp_path, "L0", 9, 9)
    keep(tmp_path, "L0", 12, 12, altered(12, 6, lambda _: ["no order"]))
    keep(tmp_path, "L1", 10**6, 9)
    result = audit.audit(archived(world()), Nobody(), 1, tmp_path)
    assert (result.checks.words, result.checks.counts["S4"]) == ([], 1)
    assert "snapshots: 1 checked, 2 passed over" in "\n".join(audit.report(result))
    assert audit.as_json(result)["snapshots"] == {"checked": 1, "passed_over": 2}


def test_a_folder_without_snapshots_is_said_to_have_none(tmp_path: Path):
    result = audit.audit(archived(world()), Nobody(), 1, tmp_path)
    assert "snapshots: 0 checked, 0 passed over" in "\n".join(audit.report(result))
    unasked = audit.audit(archived(world()), Nobody(), 1)
    assert "snapshots:" not in "\n".join(audit.report(unasked))
    assert audit.as_json(unasked)["snapshots"] is None


def test_a_snapshot_whose_books_are_unsound_is_a_violation(tmp_path: Path):
    more = altered(30, 7, lambda rows: [[*rows[0][:2], rows[0][2] + 1], *rows[1:]])
    keep(tmp_path, "L0", 30, 30, more)
    result = audit.audit(archived(world()), Nobody(), 1, tmp_path)
    (words,) = result.checks.words
    assert words.startswith(f"S4: L0/{30:020d}.snapshot: must be a sound state, was not: L1: ")
    assert (result.checks.counts["S4"], result.checks.broken["S4"]) == (1, 1)


def cut_short(seed: int) -> Archive:
    """A log of which every partition ends somewhere, as if read while it grew."""
    rng = random.Random(seed)
    partitions = {
        place: values[: rng.randint(len(values) // 2, len(values))]
        for place, values in partitions_of(world()).items()
    }
    archive = archived(world(), partitions)
    bounds = {place: Bounds(0, 0, b.end) for place, b in archive.manifest.bounds.items()}
    return Archive(archive.source, Manifest(2, 2, bounds, {}))


def test_every_cut_is_sound_and_clearing_is_what_is_in_flight():
    in_flight: Counter[bool] = Counter()
    for seed in range(80):
        result = audit.audit(cut_short(seed), Nobody())
        assert result.checks.words == [], seed
        assert all(sheet.clearing == sheet.in_flight for sheet in result.sheets.values())
        in_flight[any(sheet.clearing for sheet in result.sheets.values())] += 1
    assert in_flight[True] > 3
    assert in_flight[False] > 3


def test_the_cut_leaves_no_fact_without_its_cause():
    for seed in range(60):
        archive = cut_short(seed)
        verdict = replayed(archive)
        cut = consistent_cut(archive, verdict.runs, verdict.found)
        # Of nothing it would be true, too.
        assert sum(cut.values()) > sum(archive.end(inbox(shard)) for shard in cut) / 3, seed
        assert all(cut.values()), seed
        for shard, run in verdict.runs.items():
            for source, channel in run.found.channels.items():
                produced = verdict.runs[source].produced.get(run.found.place, Produced(1))
                last = produced.last_caused_by(verdict.runs[source].last_cause_below(cut[source]))
                for cseq, offset in zip(channel.cseqs, channel.offsets, strict=True):
                    assert offset >= cut[shard] or cseq <= last


def test_trades_in_lots_that_were_changed_on_the_way_are_settled_as_traded():
    for seed in range(8):
        world = World(Faults(random.Random(seed), 0))
        genesis(world)
        Races(random.Random(seed), Size("of races", races=(8,), orders=(30,))).run(world)
        world.faults.end()
        settle_marks(world)
        result = audit.audit(archived(world), Nobody(), processes=1)
        assert (result.checks.counts["E5"] > 0, result.checks.broken["E5"]) == (True, 0), seed


class Scripted:
    """A ledger decider that lets anything happen."""

    family = "L"

    def __getattr__(self, name: str) -> Any:
        return getattr(decider_of("L0"), name)

    def evolve(self, state: Any, event: Message) -> Any:
        return state


class Listening(LedgerWitness):
    """Keeps the events it sees."""

    def __init__(self) -> None:
        super().__init__(decider_of("L0"), LedgerRecord())
        self.seen: list[tuple[State, Message]] = []

    def evolve(self, state: Any, event: Message) -> Any:
        self.seen.append((State(state.time_us), event))
        return super().evolve(state, event)


def events_of(kind: type[Message]) -> list[tuple[State, Any]]:
    """The log time and events of ledger shard 0 up to the first of this kind."""
    listening = Listening()
    rerun(archived(world()), "L0", Options(decider=lambda _: listening))
    first = next(i for i, (_, event) in enumerate(listening.seen) if isinstance(event, kind))
    return listening.seen[: first + 1]


@pytest.mark.parametrize(
    ("kind", "field", "change", "invariant"),
    [
        (FillSettled, "fee_amount", 1, "L8"),
        (FillSettled, "price_ticks", 1_000, "E4"),
        (FillSettled, "filled_lots", 1, "E3"),
        (FillSettled, "lots", 100_000, "E3"),
        (FillSettled, "paid_amount", 10**12, "L6"),
        (FillSettled, "received_amount", -(10**12), "L5"),
        (FillSettled, "order_id", 10**6, "E3"),
        (OrderClosed, "released_amount", 1, "L7"),
        (OrderClosed, "filled_quote", 1, "L7"),
        (OrderClosed, "order_id", 10**6, "E3"),
        (OrderAccepted, "held_amount", 10**12, "L4"),
        (OrderAccepted, "order_count_10s", 1, "L9"),
    ],
)
def test_the_ledgers_witness_sees_an_event_that_is_wrong(kind, field, change, invariant):
    record = LedgerRecord()
    witness = LedgerWitness(Scripted(), record)
    *before, (state, event) = events_of(kind)
    for each in before:
        witness.evolve(*each)
    assert record.checks.ok()
    setattr(event, field, getattr(event, field) + change)
    witness.evolve(state, event)
    assert record.checks.broken[invariant] > 0


def test_an_event_that_happens_twice_is_a_violation():
    for kind, invariant in ((FillSettled, "E5"), (OrderAccepted, "E6"), (OrderClosed, "E3")):
        record = LedgerRecord()
        witness = LedgerWitness(Scripted(), record)
        events = events_of(kind)
        for each in [*events, events[-1]]:
            witness.evolve(*each)
        assert record.checks.broken[invariant] == 1


class Unfair:
    """A matching decider whose answers are bent before they are given."""

    family = "M"

    def __init__(self, bend: Any) -> None:
        self._real = decider_of("M0")
        self._bend = bend

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real, name)

    def decide(self, state: Any, command: Message) -> Sequence[Message]:
        return self._bend(list(self._real.decide(state, command)))


def _other_maker(events: list[Message]) -> list[Message]:
    for event in events:
        if isinstance(event, TradeExecuted):
            event.maker_order_id += 4
    return events


def _other_price(events: list[Message]) -> list[Message]:
    for event in events:
        if isinstance(event, TradeExecuted):
            event.price_ticks += 50 if event.taker_side == 0 else -50
    return events


def _no_report(events: list[Message]) -> list[Message]:
    return [event for event in events if not isinstance(event, OrderTerminated)]


def _other_reason(events: list[Message]) -> list[Message]:
    for event in events:
        if isinstance(event, OrderTerminated) and event.command_id:
            event.reason = CloseReason.FOK_NOT_FILLABLE
    return events


@pytest.mark.parametrize(
    ("bend", "invariant"),
    [(_other_maker, "E2"), (_other_price, "E4"), (_no_report, "E2"), (_other_reason, "E2")],
)
def test_the_books_witness_sees_an_unfair_answer(bend, invariant):
    records: list[MatchingRecord] = []

    def witnessed(_: str) -> Any:
        records.append(MatchingRecord())
        return MatchingWitness(Unfair(bend), records[-1])

    rerun(archived(world()), "M0", Options(decider=witnessed))
    assert records[-1].checks.broken[invariant] > 0


def test_the_command_prints_the_table_and_tells_by_its_status(tmp_path: Path, capsys):
    export(archived(world()), tmp_path, Nobody())
    assert audit.run(arguments(audit, "--from", str(tmp_path))) == 0
    out = capsys.readouterr().out
    assert out.rstrip().endswith("SOUND")
    assert all(f"\n{invariant}" in out for invariant in TITLES)
    assert "BTC" in out
    assert audit.run(arguments(audit, "--from", str(tmp_path), "--json")) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["sound"]
    assert said["balance_sheet"]["USDT"]["clearing"] == 0
    with pytest.raises(BadArchive, match="must be readable"):
        audit.run(arguments(audit, "--from", str(tmp_path / "nowhere")))
    partitions = partitions_of(world())
    place = ("matching.ev", 0)
    offset, value = partitions[place][5]
    partitions[place][5] = (offset, value[:-2] + bytes([value[-2] ^ 1]) + value[-1:])
    export(archived(world(), partitions), tmp_path / "spoiled", Nobody())
    assert audit.run(arguments(audit, "--from", str(tmp_path / "spoiled"))) == 1
    assert "S3: CHANGED matching.ev.0@5" in capsys.readouterr().out


def test_checks_keep_the_first_words_and_count_all():
    checks = Checks()
    for number in range(9):
        checks.check("L1", False, f"number {number}")
    assert checks.broken["L1"] == 9
    assert checks.words == [f"L1: number {number}" for number in range(5)]


def test_checks_that_go_on_note_what_is_broken_later_and_what_stands_once():
    checks = Checks()

    def look(*broken: int) -> list[str]:
        for number in range(9):
            checks.check("L5", number not in broken, f"account {number}", number)
        checks.end_look()
        return checks.take_words()

    assert look(1, 2) == ["L5: account 1", "L5: account 2"]
    for _ in range(3):
        assert look(1, 2) == []
    assert look(2, 3) == ["L5: account 3"], "what stands takes no place in the list"
    assert look(1, 2, 3) == ["L5: account 1"], "it had held again"
    assert look(*range(9)) == [f"L5: account {number}" for number in (0, 4, 5, 6, 7)]
    assert look(*range(9)) == ["L5: account 8"], "what was not noted yet does not stand"
    for _ in range(9):
        checks.check("E2", False, "an order")
    assert checks.take_words() == 5 * ["E2: an order"], "each of these is made once"


def test_inspect_shows_a_record(tmp_path: Path, capsys):
    export(archived(world()), tmp_path, Nobody())
    there = ("--from", str(tmp_path))
    assert inspect.run(arguments(inspect, "ledger.in", "0", "0", *there)) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["position"] == "ledger.in.0@0"
    assert shown["record"]["messages"][0]["type"] == "Genesis"
    assert len(shown["record_hash"]) == len(shown["chain_hash"]) == 32
    junk = next(o for o, v in partitions_of(world())[("ledger.in", 0)] if v.startswith(b"no rec"))
    assert inspect.run(arguments(inspect, "ledger.in", "0", str(junk), *there)) == 0
    assert "undecodable" in json.loads(capsys.readouterr().out)["record"]
    assert inspect.run(arguments(inspect, "dlq", "0", "0", *there)) == 0
    assert json.loads(capsys.readouterr().out)["notice"]["topic"] == "ledger.in"


@pytest.mark.parametrize(
    ("where", "sentence"),
    [
        (("ledger.in", "7", "0"), "a partition must be among"),
        (("ledger.in", "0", "100000"), "must be in the log, which ends at"),
    ],
)
def test_inspect_says_in_one_sentence_what_is_not_there(where, sentence, tmp_path: Path):
    export(archived(world()), tmp_path, Nobody())
    with pytest.raises(BadArchive, match=sentence):
        inspect.run(arguments(inspect, *where, "--from", str(tmp_path)))
