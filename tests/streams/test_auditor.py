"""The continuous auditor on simulated logs: silent where all is well, sharp where it is not."""

import json
import random
from collections import Counter
from typing import Any

import pytest

from domain.accounts.messages import HaltWithdrawals
from domain.markets import HaltMarket
from domain.matching.messages import TradeExecuted
from domain.orders.messages import CloseReason
from domain.protocol import HaltAction
from infra.log import Mark
from schemas.record import decode_record
from schemas.topics import inbox
from streams.audit.priority_book import Outcome, PriorityBook
from streams.auditor import checkpoint
from streams.auditor.log_auditor import LogAuditor, Resolutions
from streams.auditor.violations import Violation, orders_for
from streams.shard import Shard
from tests.simulation.world import MATCHERS
from tests.streams.audited_log import traded, with_half_the_tick
from tests.streams.growing_log import (
    audited,
    auditor_on,
    follow,
    halted_by_a_gap,
    last_from,
    log_of,
    say_skip,
    world,
)
from tests.streams.records import forged


def test_an_honest_log_is_sound_whichever_way_it_is_read():
    checked: Counter[str] = Counter()
    for seed in range(8):
        log = log_of(traded(seed, crashes=4, duplicate_rate=0.03))
        told: list[Violation] = []
        auditor = auditor_on(log, told)
        auditor.start()
        follow(auditor, log, random.Random(seed))
        assert told == []
        checks, broken = auditor.checked()
        checked.update(checks)
        assert not any(broken.values())
        assert {f.place: f.position for f in auditor.followed.values()} == {
            place: len(log.whole[place]) for place in map(inbox, auditor.followed)
        }
        assert not any(c.due or c.suspects for c in auditor.crossings.values())
        assert auditor.legs.open == {}
    unchecked = {invariant for invariant, count in checked.items() if not count}
    # There are no wallets; S3 is counted in records; snapshots are watched apart.
    assert unchecked == {"L3", "S3", "S4"}


def test_an_auditor_without_memory_ends_and_complains_of_nothing(monkeypatch):
    log = log_of(traded(2))
    told: list[Violation] = []
    auditor = auditor_on(log, told)
    auditor.start()

    def exhausted(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Shard, "step", exhausted)
    with pytest.raises(MemoryError):
        follow(auditor, log, random.Random(2))
    assert told == []


def as_stored(auditor: LogAuditor) -> Any:
    return json.loads(json.dumps(checkpoint.dump(auditor)))


def test_it_goes_on_from_a_checkpoint_of_any_moment():
    for seed in range(5):
        rng, log, told = random.Random(seed), log_of(world()), list[Violation]()
        first = auditor_on(log, told)
        first.start()
        for record in log.read(rng):
            first.take(record)
        first.work()
        kept = as_stored(first)
        second = auditor_on(log, told)
        checkpoint.load(second, kept)
        assert as_stored(second)["shards"] == kept["shards"]
        second.start()
        follow(second, log, rng)
        assert told == []
        assert second.legs.open == {}


def test_a_checkpoint_of_another_exchange_is_refused():
    auditor = auditor_on(log_of(world()), [])
    kept = checkpoint.dump(auditor) | {"partitions": [9, 9]}
    with pytest.raises(ValueError, match="wanted"):
        checkpoint.load(auditor, kept)


def about(told: list[Violation]) -> set[tuple[str, str, str]]:
    return {(v.invariant, v.position, v.shard) for v in told}


def test_a_forged_record_in_a_ledgers_inbox_is_named_before_it_is_applied():
    log = log_of(world())
    place = ("ledger.in", 0)
    _, value = last_from(log, place, "M0")
    cseq = decode_record(value).cseq + 1
    log.whole[place].append(forged(value, cseq=cseq))
    log.show_all()
    at = f"ledger.in.0@{len(log.whole[place]) - 1}"
    told = audited(log)
    assert ("S1", at, "L0") in about(told)
    assert f"FORGED M0 → ledger.in.0 #{cseq}" in told[0].words
    # A forger who does not know the chain also halts the shard, as the next violation says.
    assert "HALTED DIVERGENCE" in told[1].words


def test_a_forged_record_in_a_ledgers_outbox_is_named():
    log = log_of(world())
    place = ("ledger.ev", 0)
    _, value = last_from(log, place, "L0")
    log.whole[place].append(forged(value, cseq=decode_record(value).cseq + 1))
    log.whole[place].append(forged(value, time_us=1))
    log.whole[place].append(forged(value, src="L1"))
    log.whole[place].append(b"junk")
    log.show_all()
    end = len(log.whole[place])
    assert about(audited(log)) == {
        ("S1", f"ledger.ev.0@{end - 4}", "L0"),
        ("S3", f"ledger.ev.0@{end - 3}", "L0"),
        ("S1", f"ledger.ev.0@{end - 2}", "L0"),
        ("S3", f"ledger.ev.0@{end - 1}", "L0"),
    }


def test_a_record_that_is_missing_below_the_mark_is_missed():
    log = log_of(world())
    place = ("matching.ev", 0)
    offset, value = last_from(log, place, "M0")
    # Kafka keeps offsets; what is lost is the tail.
    log.whole[place] = [v for v in log.whole[place][:offset] if v != value]
    log.show_all()
    told = audited(log)
    assert {v.shard for v in told} == {"M0"}
    assert any("committed past its cause" in v.words for v in told)


def test_a_mark_that_tells_of_another_input_is_seen():
    log = log_of(world())
    mark = log.marks["ledger.in", 1]
    ordinal, _, _ = mark.metadata.partition(" ")
    log.marks["ledger.in", 1] = Mark(mark.offset, f"{ordinal} {'ab' * 16}")
    told = audited(log)
    assert {(v.invariant, v.shard) for v in told} == {("S2", "L1")}


def test_a_halt_that_an_operator_has_resolved_is_passed_as_the_shard_passes_it():
    told: list[Violation] = []
    resolutions: Resolutions = {}
    log, auditor = halted_by_a_gap(told, resolutions)
    assert [f.id for f in auditor.followed.values() if f.stopped] == ["L0"]
    halted = auditor.followed["L0"].stopped
    assert halted is not None
    say_skip(log, halted.record_hash)
    place = ("ledger.in", 0)
    for record in log.scan(*place, len(log.whole[place]) - 1, len(log.whole[place])):
        auditor.take(record)
    assert auditor.outdated, "it begins anew"
    assert resolutions == {"L0": {halted.offset: HaltAction.SKIP}}
    told.clear()
    anew = auditor_on(log, told, resolutions)
    anew.start()
    follow(anew, log, random.Random(2))
    assert not any(f.stopped for f in anew.followed.values())
    assert all("HALTED" not in v.words for v in told)


def test_a_record_that_was_skipped_brings_no_fills():
    """Those that are on their way behind it arrive later, and nothing is said against them."""
    log, told, place = log_of(world()), list[Violation](), ("ledger.in", 0)
    records = [decode_record(value) if len(value) > 40 else None for value in log.whole[place]]
    offset = max(
        number
        for number, record in enumerate(records)
        if record and any(isinstance(message, TradeExecuted) for message in record.messages)
    )
    value = log.whole[place][offset]
    far_ahead = forged(value, cseq=decode_record(value).cseq + 1_000)
    log.whole[place].insert(offset, far_ahead)
    log.show_all()
    auditor = auditor_on(log, told, {"L0": {offset: HaltAction.SKIP}})
    auditor.start()
    follow(auditor, log, random.Random(3))
    assert auditor.followed["L0"].position == len(log.whole[place])
    assert any("FORGED" in violation.words for violation in told)
    assert [violation for violation in told if violation.invariant == "E5"] == []


def test_an_asset_that_does_not_add_up_is_reported_once_until_it_has():
    log, told = log_of(world()), list[Violation]()
    auditor = auditor_on(log, told)
    auditor.start()
    follow(auditor, log, random.Random(1))
    asset = auditor.assets()[0]
    record = auditor.followed["L0"].ledger
    assert record is not None
    for times in (1, 2):
        record.deposited[asset] += 7
        for offset in range(3):
            auditor.followed["L0"].position += offset
            auditor.check_cut()
        assert [(v.invariant, v.asset) for v in told] == [("L2", asset)] * times
        record.deposited[asset] -= 7
        auditor.check_cut()


def test_an_invariant_is_reported_however_often_it_was_broken_before(monkeypatch):
    def place(*_: object) -> Outcome:
        return Outcome([], CloseReason.UNKNOWN_MARKET, 0)

    monkeypatch.setattr(PriorityBook, "place", place)
    log, told = log_of(world()), list[Violation]()
    auditor = auditor_on(log, told)
    auditor.start()
    follow(auditor, log, random.Random(1))
    found = Counter(v.markets for v in told if v.invariant == "E2")
    assert found.keys() >= {(market,) for market in auditor.markets()}
    _, broken = auditor.checked()
    assert sum(found.values()) >= broken["E2"] > 5 * MATCHERS


def test_a_wrong_balance_is_reported_once_and_the_next_one_too():
    log, told = log_of(world()), list[Violation]()
    auditor = auditor_on(log, told)
    auditor.start()
    follow(auditor, log, random.Random(1))
    record = auditor.followed["L0"].ledger
    assert record is not None
    first, *_, last = record.available

    def words_after(change: tuple[int, int], amount: int) -> list[str]:
        told.clear()
        record.available[change] += amount
        for _ in range(9):
            auditor.check_books()
        return [violation.invariant for violation in told]

    assert words_after(first, 7) == ["L5"]
    assert words_after(last, 7) == ["L5"]
    assert words_after(first, -7) == []
    assert words_after(first, 7) == ["L5"]


@pytest.mark.sources
def test_both_legs_settled_at_a_wrong_amount_alike_are_each_reported(monkeypatch):
    with_half_the_tick(monkeypatch)
    told = audited(log_of(traded(3)))
    assert {v.invariant for v in told} >= {"E5"}
    wrong = [v for v in told if v.words.endswith("was settled otherwise than traded")]
    assert {v.shard for v in wrong} == {"L0", "L1"}


def test_what_is_stopped_for_what():
    log = log_of(world())
    auditor = auditor_on(log, [])
    auditor.start()
    follow(auditor, log, random.Random(1))
    assets, markets = auditor.assets(), auditor.markets()
    assert len(assets) > 1 and len(markets) > 1

    def commands(violation: Violation) -> list[tuple[str, str, int]]:
        orders = orders_for(violation, assets, markets, MATCHERS)
        commands = [(o.shard, o.command(7)) for o in orders]
        return [(shard, type(c).__name__, _number(c)) for shard, c in commands]

    of_ledger = commands(Violation("S1", "ledger.ev.0@7", "forged", shard="L0"))
    assert of_ledger == [("A0", "HaltWithdrawals", asset) for asset in assets]
    one = Violation("L2", "before ledger.in.0@7", "sum", asset=assets[1])
    assert commands(one) == [("A0", "HaltWithdrawals", assets[1])]
    of_market = Violation("E2", "matching.in.0@7", "priority", markets=(markets[0],), shard="M0")
    assert commands(of_market) == [(f"M{markets[0] % MATCHERS}", "HaltMarket", markets[0])]
    of_shard = commands(Violation("S1", "matching.ev.1@7", "forged", shard="M1"))
    assert of_shard == [("M1", "HaltMarket", m) for m in markets if m % MATCHERS == 1]
    assert commands(Violation("P1", "redis", "view")) == []
    (order,) = orders_for(one, assets, markets, MATCHERS)
    first, again = order.command(1), order.command(2)
    assert isinstance(first, HaltWithdrawals) and isinstance(again, HaltWithdrawals)
    assert first.command_id == again.command_id != order.command(1, 1).command_id
    assert first.reason == "L2 before ledger.in.0@7: sum"


def _number(command: HaltWithdrawals | HaltMarket) -> int:
    return command.asset_id if isinstance(command, HaltWithdrawals) else command.market_id
