"""What an auditor writes when it has found something, and what it keeps for its next start."""

import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from domain.accounts.messages import HaltWithdrawals, ResumeWithdrawals
from domain.ledger.balances import Balances
from domain.markets import HaltMarket
from infra.files import Directory
from infra.log import LogFailure, Partition
from schemas.record import Record, decode_record, encode_message, outside_record
from streams.auditor.alarms import NEWEST_RECORDS, REPEATED_EVERY_S, Alarms
from streams.auditor.keeping import AnotherLog, Keeping
from streams.auditor.log_auditor import LogAuditor
from streams.auditor.snapshot_watch import SnapshotWatch
from streams.auditor.violations import Violation
from streams.shard import Shard
from streams.snapshots import SnapshotStore
from tests.simulation.background import Inline
from tests.streams.growing_log import GrowingLog, auditor_on, follow, log_of, world
from tests.streams.records import forged

AT = "ledger.ev.0@7"


@dataclass
class Written(GrowingLog):
    """A log that remembers what is appended to it, and may not take it."""

    produced: dict[Partition, list[Record]] = field(default_factory=lambda: defaultdict(list))
    takes: bool = True
    lets_in: bool = True
    """Whether what is written gets into the log."""
    stamps: list[int | None] = field(default_factory=list)

    def produce(self, topic, partition, value, *, time_us=None, acked=None):
        self.produced[topic, partition].append(decode_record(value))
        self.stamps.append(time_us)
        if self.lets_in:
            self.whole[topic, partition].append(value)
            self.shown[topic, partition] += 1

    def flush(self, timeout_s: float) -> bool:
        return self.takes


class WrongClock:
    """A machine's clock that is years off; its seconds pass as the test says."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_us(self) -> int:
        return 7

    def monotonic_s(self) -> float:
        return self.seconds


def followed(told: list[Violation] | None = None) -> tuple[Any, LogAuditor]:
    """An honest log, read to its end; later violations go to `told`."""
    log = log_of(world())
    written = Written(log.whole, log.marks, log.shown)
    auditor = auditor_on(written, [] if told is None else told)
    auditor.start()
    follow(auditor, written, random.Random(1))
    return written, auditor


def read_on(auditor: LogAuditor, log: Any) -> None:
    """Read and apply what was written to accounts since."""
    place = ("accounts.in", 0)
    for record in log.scan(*place, auditor.next_offsets[place], log.ends(*place)[1]):
        auditor.take(record)
    auditor.work()


def test_a_violation_stops_each_asset_once_and_says_where_it_shows():
    log, auditor = followed()
    alarms = Alarms(log, WrongClock(), halts=True)
    alarms.take(Violation("S1", AT, "FORGED L0 → ledger.ev.0 #9", shard="L0"))
    alarms.take(Violation("S3", AT, "CHANGED L0 → ledger.ev.0 #9", shard="L0"))
    alarms.take(Violation("L2", "before …", "asset 1", asset=1))
    assert alarms.act(auditor)
    ((place, (record,)),) = log.produced.items()
    assert place == ("accounts.in", 0)
    log_time_us = auditor.followed["A0"].shard.state.time_us
    assert (record.src, record.cseq, record.time_us) == ("auditor", 0, log_time_us)
    assert log.stamps == [log_time_us], "the log has taken this time already"
    halts = [message for message in record.messages if isinstance(message, HaltWithdrawals)]
    assert [halt.asset_id for halt in halts] == auditor.assets()
    assert {halt.reason for halt in halts} == {f"S1 {AT}: FORGED L0 -> ledger.ev.0 #9"}
    assert all(halt.deadline_us > log_time_us for halt in halts)
    assert not alarms.act(auditor)
    read_on(auditor, log)
    assert alarms.pending and not alarms.act(auditor)
    assert not alarms.pending and not auditor.assets()
    assert len(log.stamps) == 1


def test_each_asset_that_does_not_add_up_at_one_cut_is_stopped():
    log, auditor = followed()
    alarms = Alarms(log, WrongClock(), halts=True)
    first, second, *_ = auditor.assets()
    for asset in (first, second, first):
        alarms.take(Violation("L2", AT, f"asset {asset}", asset=asset))
    assert alarms.act(auditor)
    ((_, (record,)),) = log.produced.items()
    halts = [message for message in record.messages if isinstance(message, HaltWithdrawals)]
    assert [halt.asset_id for halt in halts] == [first, second]


def test_an_auditor_that_is_far_behind_gives_time_enough_at_the_end_of_the_log():
    log, auditor = followed()
    late_us = auditor.followed["A0"].shard.state.time_us + 3_600_000_000
    for value in (*[outside_record("clock", late_us, [])] * NEWEST_RECORDS, b"junk"):
        log.whole["accounts.in", 0].append(value)
        log.shown["accounts.in", 0] += 1
    alarms = Alarms(log, WrongClock(), halts=True)
    alarms.take(Violation("S1", AT, "FORGED", shard="L0"))
    alarms.act(auditor)
    read_on(auditor, log)
    assert not auditor.assets()


def test_what_an_operator_let_go_on_is_not_stopped_once_more():
    log, auditor = followed()
    asset = auditor.assets()[0]
    clock = WrongClock()
    found = Violation("L2", "before …", "sum", asset=asset)
    alarms = Alarms(log, clock, halts=True)
    alarms.take(found)
    alarms.act(auditor)
    resume = ResumeWithdrawals(b"r" * 16, 1 << 60, asset, "understood")
    log.produce("accounts.in", 0, outside_record("operator", 0, [encode_message(resume)]))
    read_on(auditor, log)
    assert asset in auditor.assets(), "both in one turn"
    for seconds in range(2):
        clock.seconds += seconds * REPEATED_EVERY_S
        alarms.act(auditor)
        assert not alarms.pending
    again = Alarms(log, clock, halts=True)
    again.take(found)
    again.act(auditor)
    read_on(auditor, log)
    clock.seconds += REPEATED_EVERY_S
    again.act(auditor)
    assert asset in auditor.assets() and not again.pending, "whoever finds it a second time"


def test_a_halt_that_came_too_late_is_written_again_until_it_holds():
    log, auditor = followed()
    asset = auditor.assets()[0]
    clock = WrongClock()
    alarms = Alarms(log, clock, halts=True)
    log.lets_in = False
    alarms.take(Violation("L2", "before …", "sum", asset=asset))
    alarms.act(auditor)
    written = log.produced["accounts.in", 0]
    late_us = written[0].messages[0].deadline_us + 1
    for record in (
        outside_record("clock", late_us, []),
        outside_record("auditor", 0, [encode_message(written[0].messages[0])]),
    ):
        log.whole["accounts.in", 0].append(record)
        log.shown["accounts.in", 0] += 1
    read_on(auditor, log)
    alarms.act(auditor)
    assert len(written) == 1, "not at once"
    clock.seconds += REPEATED_EVERY_S
    log.lets_in = True
    alarms.act(auditor)
    assert [len(record.messages) for record in written] == [1, 1]
    first, second = (record.messages[0] for record in written)
    assert first.command_id != second.command_id
    read_on(auditor, log)
    alarms.act(auditor)
    assert asset not in auditor.assets()
    clock.seconds += REPEATED_EVERY_S
    alarms.act(auditor)
    assert len(written) == 2 and not alarms.pending


def test_a_violation_of_a_book_stops_its_market_alone():
    log, auditor = followed()
    market = auditor.markets()[0]
    alarms = Alarms(log, WrongClock(), halts=True)
    alarms.take(Violation("E2", "matching.in.0@7", "priority", markets=(market,), shard="M0"))
    alarms.act(auditor)
    ((_, (record,)),) = log.produced.items()
    (halt,) = record.messages
    assert isinstance(halt, HaltMarket) and halt.market_id == market


def test_of_accounts_that_are_wrong_in_one_look_each_is_told(capsys):
    told: list[Violation] = []
    log, auditor = followed(told)
    alarms = Alarms(log, WrongClock(), halts=True)
    record = auditor.followed["L0"].ledger
    assert record is not None
    first, *_, last = record.available
    record.available[first] += 7
    record.available[last] += 7
    auditor.check_books()
    for violation in (*told, *told):
        alarms.take(violation)
    assert capsys.readouterr().out.count("L5 ledger.in.0@") == len(told) == 2


def test_a_wrong_view_and_an_auditor_that_only_looks_stop_nothing():
    log, auditor = followed()
    alarms = Alarms(log, WrongClock(), halts=True)
    alarms.take(Violation("P1", "redis balances:7", "wrong"))
    assert alarms.act(auditor)
    looking = Alarms(log, WrongClock(), halts=False)
    looking.take(Violation("S1", AT, "FORGED", shard="L0"))
    assert looking.act(auditor)
    assert not log.produced


def test_a_halt_that_was_not_written_ends_the_auditor():
    log, auditor = followed()
    log.takes = False
    alarms = Alarms(log, WrongClock(), halts=True)
    alarms.take(Violation("S1", AT, "FORGED", shard="L0"))
    with pytest.raises(LogFailure, match="were not written"):
        alarms.act(auditor)


def keeping(log: Any, path: Path) -> Keeping:
    return Keeping(SnapshotStore(Directory(path), Inline()), log)


def kept(tmp_path: Path) -> Any:
    """A log whose auditor has left a checkpoint, with "views" beside it."""
    log, auditor = followed()
    keeper = keeping(log, tmp_path)
    keeper.begin(auditor, lambda: "views")
    assert keeper.tend() == ""
    return log


def test_it_begins_from_its_newest_checkpoint(tmp_path):
    log = kept(tmp_path)
    auditor, beside = keeping(log, tmp_path).restore(lambda: auditor_on(log, []))
    assert beside == "views"
    _, before = followed()
    assert auditor.positions() == before.positions()


def test_without_a_checkpoint_or_with_a_damaged_one_it_begins_at_genesis(tmp_path):
    log = log_of(world())
    auditor, beside = keeping(log, tmp_path / "new").restore(lambda: auditor_on(log, []))
    assert beside is None
    kept(tmp_path)
    for path in tmp_path.iterdir():
        if path.is_file():
            path.write_bytes(path.read_bytes()[:-1])
    auditor, beside = keeping(log, tmp_path).restore(lambda: auditor_on(log, []))
    assert beside is None
    assert set(auditor.positions().values()) == {0}


def test_a_checkpoint_of_a_build_with_other_dumps_leaves_nothing_behind(tmp_path, monkeypatch):
    log = kept(tmp_path)
    load, loaded = Shard.load, []

    def load_all_but_one(dumped, decider):
        loaded.append(load(dumped, decider))
        if loaded[-1].id == "L0":
            raise ValueError("another layout")
        return loaded[-1]

    monkeypatch.setattr("streams.auditor.checkpoint.Shard.load", load_all_but_one)
    auditor, beside = keeping(log, tmp_path).restore(lambda: auditor_on(log, []))
    assert beside is None and len(loaded) > 1
    assert set(auditor.positions().values()) == set(auditor.next_offsets.values()) == {0}


@pytest.mark.parametrize("spoilt", ["shorter", "another"])
def test_a_checkpoint_of_another_log_is_refused(tmp_path, spoilt, monkeypatch):
    monkeypatch.setattr("streams.auditor.keeping.SHOWN_WITHIN_S", 0.2)
    log = kept(tmp_path)
    values = log.whole["ledger.in", 1]
    if spoilt == "shorter":
        values.pop()
    else:
        values[-1] = forged(values[-1], time_us=5)
    log.show_all()
    with pytest.raises(AnotherLog, match=r"ledger.in.1@\d+ must be the record"):
        keeping(log, tmp_path).restore(lambda: auditor_on(log, []))


def test_unsound_books_are_not_kept_but_told(tmp_path):
    log, auditor = followed()
    state = auditor.followed["L0"].shard.state
    (asset, account, amount), *rest = state.balances.dump()
    state.balances = Balances.load([[asset, account, amount + 1], *rest])
    keeper = keeping(log, tmp_path)
    keeper.begin(auditor, lambda: None)
    assert "L1" in keeper.tend()
    assert keeper.tend() == ""
    assert not any(path.is_file() for path in tmp_path.iterdir())


def test_what_is_read_again_for_a_view_is_not_compared_again():
    log = log_of(world())
    place = ("ledger.ev", 0)
    log.whole[place].append(b"junk")
    log.show_all()
    told: list[Violation] = []
    auditor = auditor_on(log, told)
    auditor.start()
    follow(auditor, log, random.Random(1))
    assert len(told) == 1
    auditor.read_again(place, 5)
    for record in log.scan(*place, 5, len(log.whole[place])):
        auditor.take(record)
    assert len(told) == 1
    assert auditor.next_offsets[place] == len(log.whole[place])


class Breaking(Inline):
    """A background whose work cannot begin, or does not end, so many times; then it does."""

    def __init__(self, begins: int, ends: int) -> None:
        self.begins, self.ends = begins, ends

    def start(self, work: Callable[[], None]) -> Any:
        if self.begins:
            self.begins -= 1
            raise OSError("no memory for a process")
        if self.ends:
            self.ends -= 1
            return Broken()
        return super().start(work)


class Broken:
    def done(self) -> bool:
        raise OSError("killed")


def stores_with(tmp_path: Path, auditor: LogAuditor, payload: bytes) -> Any:
    """Every shard's snapshots; L0 has one of its first six records."""
    stores = {
        shard: SnapshotStore(Directory(tmp_path / shard), Inline()) for shard in auditor.followed
    }
    stores["L0"].publish(stores["L0"].start(6, lambda: payload))
    return stores


def test_a_check_of_a_snapshot_that_failed_is_made_again_and_is_no_violation(tmp_path):
    log, auditor = followed()
    stores = stores_with(tmp_path, auditor, early_snapshot(log))
    watch = SnapshotWatch(log, auditor, stores.__getitem__, Breaking(1, 1))
    assert [watch.look() for _ in range(2 * len(stores))] == [None] * 2 * len(stores)
    assert watch.checked == 0, "it could not begin, then it did not end"
    assert [watch.look() for _ in range(2 * len(stores))] == [None] * 2 * len(stores)
    assert watch.checked == 1


def early_snapshot(log: Any) -> bytes:
    early = auditor_on(log, [])
    for record in log.scan("ledger.in", 0, 0, 6):
        early.followed["L0"].shard.step(record.offset, record.value)
    return early.followed["L0"].shard.dump()


@pytest.mark.parametrize("spoilt", [False, True])
def test_a_snapshot_that_leads_elsewhere_than_the_log_is_named(tmp_path, spoilt):
    log, auditor = followed()
    payload = early_snapshot(log)
    if spoilt:
        payload = payload.replace(b'"ordinal":6', b'"ordinal":7')
    stores = stores_with(tmp_path, auditor, payload)
    watch = SnapshotWatch(log, auditor, stores.__getitem__, Inline())
    told = [watch.look() for _ in range(2 * len(stores))]
    found = [violation for violation in told if violation is not None]
    assert watch.checked == 1, "each once"
    assert [(v.invariant, v.position) for v in found] == (
        [("S4", "L0's snapshot ledger.in.0@6")] if spoilt else []
    )


def test_a_snapshot_that_cannot_be_loaded_is_passed_over(tmp_path):
    log, auditor = followed()
    stores = stores_with(tmp_path, auditor, b"[" * 100_000)
    watch = SnapshotWatch(log, auditor, stores.__getitem__, Inline())
    assert [watch.look() for _ in range(2 * len(stores))] == [None] * 2 * len(stores)
    assert watch.checked == 0
