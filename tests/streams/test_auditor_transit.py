"""Money between a book and a ledger: a withheld settlement is named, an outage accuses nobody."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from domain.matching.messages import TradeExecuted
from domain.orders.messages import FillSettled
from infra.log import Partition
from schemas.record import decode_head, decode_record
from streams.auditor import checkpoint
from streams.auditor.transit import OVERDUE_STEPS, TransitWatch
from streams.auditor.violations import Violation, orders_for
from tests.simulation.faults import Faults
from tests.simulation.load import SETUP_PHASES, Traffic, genesis
from tests.simulation.processes import Process, SimClock
from tests.simulation.sizes import Size
from tests.simulation.world import ALL_SHARDS, MATCHERS, World
from tests.streams.growing_log import GrowingLog, auditor_on

SIZE = Size("of money in transit", phases=(12,))
CALM_PHASES = SETUP_PHASES + 4
"""So many phases run before anything is broken."""

OUTAGE_STEPS = 110
"""Two minutes: at least 1.1 s pass in each."""

LIFE_STEPS = 75


class Beside:
    """An auditor that reads all that a simulated exchange writes, by the same clock."""

    def __init__(self, log: Any, clock: SimClock) -> None:
        self.told: list[Violation] = []
        self.log = log
        self.auditor = auditor_on(self.log, self.told)
        self.auditor.start()
        self.transit = TransitWatch(self.log, self.auditor, clock)
        self.oldest_us = 0

    def look(self) -> None:
        self.log.show_all()
        for place in self.log.positions:
            self.read(place, self.log.ends(*place)[1])
        self.judge()

    def read(self, place: Partition, stop: int) -> None:
        for record in self.log.scan(*place, self.log.positions[place], stop):
            self.auditor.take(record)
        self.log.positions[place] = stop

    def judge(self) -> None:
        self.auditor.work()
        self.oldest_us = max(self.oldest_us, self.transit.age_us())
        self.told += self.transit.look()


def beside(world: World) -> Beside:
    # Marks promise the same by another rule, which has tests of its own.
    return Beside(GrowingLog(world.log.partitions, {}), world.clock)


def exchange(seed: int) -> tuple[World, Traffic]:
    """One that has its markets; each shard is a process of its own."""
    world = World(Faults(random.Random(seed), 0, duplicate_rate=0.0))
    world.processes = [Process([shard], {shard: world.files[shard]}) for shard in ALL_SHARDS]
    genesis(world)
    return world, Traffic(random.Random(seed), SIZE)


def trade(world: World, traffic: Traffic, break_it: Callable[[], None]) -> None:
    for number, phase in enumerate(traffic.phases()):
        if number == CALM_PHASES:
            break_it()
        for envelope in phase:
            world.send(*envelope)
        world.drain()


def let_live(world: World, beside: Beside, steps: int) -> None:
    for _ in range(steps):
        world.settle()
        beside.look()


def withhold(world: World, source: str, place: Partition) -> None:
    """Lose what this shard writes there from now on; it believes that it was replicated."""
    append = world.log.append

    def lossy(partition: Partition, value: bytes) -> None:
        if partition != place or decode_head(value)[0] != source:
            append(partition, value)

    world.log.append = lossy  # type: ignore[method-assign]


@pytest.fixture(scope="module")
def withheld() -> Beside:
    """M0 and L0 go on for long, and L0 gets nothing from M0."""
    world, traffic = exchange(1)
    trade(world, traffic, lambda: withhold(world, "M0", ("ledger.in", 0)))
    found = beside(world)
    let_live(world, found, 50)
    assert found.told == [], "a minute has not passed"
    assert found.transit.age_us() > 50_000_000
    let_live(world, found, 30)
    return found


def test_a_settlement_that_is_withheld_for_a_minute_is_named_for_each_asset_that_it_moves(withheld):
    assert {(v.invariant, v.asset) for v in withheld.told} == {("L7", 1), ("L7", 2)}
    assert len(withheld.told) == 2, "each once"
    for violation in withheld.told:
        topic, _, offset = violation.position.partition("@")
        assert topic == "matching.in.0"
        cause = decode_record(withheld.log.whole["matching.in", 0][int(offset)])
        assert cause.messages, "an order that has traded"
        assert "is not settled for order" in violation.words
        assert "before ledger.in.0@" in violation.words
    assert withheld.auditor.checks.broken["L7"] > 0


def test_withdrawals_of_what_is_overdue_are_stopped_and_nothing_else(withheld):
    orders = [o for v in withheld.told for o in orders_for(v, [1, 2, 3], [1, 2], MATCHERS)]
    assert {(o.shard, o.asset, o.market) for o in orders} == {("A0", 1, 0), ("A0", 2, 0)}


@pytest.mark.parametrize("shard", ["M0", "L0"])
def test_a_shard_that_was_down_for_two_minutes_owes_nothing(shard):
    world, traffic = exchange(2)
    process = next(each for each in world.processes if each.shard_ids == [shard])

    def take_down() -> None:
        world.kill(process)
        process.refused = True

    trade(world, traffic, take_down)
    found = beside(world)
    let_live(world, found, OUTAGE_STEPS)
    process.refused = False
    world.drain()
    let_live(world, found, LIFE_STEPS)
    assert found.told == []
    assert found.auditor.legs.open == {}
    assert found.auditor.checks.counts["L7"] > 0


def test_a_broker_that_was_away_for_two_minutes_is_nobodys_debt():
    world, traffic = exchange(3)
    away = ("ledger.in", 0)

    def take_away() -> None:
        world.log.away[away] = 1 << 40

    for number, phase in enumerate(traffic.phases()):
        if number == CALM_PHASES:
            take_away()
        for shard, source, messages in phase:
            if number < CALM_PHASES or shard != "L0":
                world.send(shard, source, messages)
        run_for(world, 2_000_000)
    found = beside(world)
    for _ in range(OUTAGE_STEPS):
        run_for(world, 1_100_000)
        found.look()
    world.log.away.clear()
    let_live(world, found, LIFE_STEPS)
    assert found.told == []
    assert found.auditor.legs.open == {}


def run_for(world: World, time_us: int) -> None:
    """So much time, whether or not something cannot be delivered."""
    until_us = world.clock.elapsed_us + time_us
    while world.clock.elapsed_us < until_us:
        world.run(10)


@dataclass
class Outage:
    """A log in which M0 lived, was down while L0 lived, and lived again."""

    log: GrowingLog
    ended: int
    """The end of M0's outbox before the outage."""
    traded: int
    """The end of L0's inbox once all orders of the outage were there; then it ticked."""


@pytest.fixture(scope="module")
def outage() -> Outage:
    world, traffic = exchange(2)
    book = next(each for each in world.processes if each.shard_ids == ["M0"])
    ended = 0

    def take_down() -> None:
        nonlocal ended
        for _ in range(LIFE_STEPS):
            world.settle()
        world.kill(book)
        book.refused = True
        ended = len(world.log.partitions["matching.ev", 0])

    trade(world, traffic, take_down)
    traded = len(world.log.partitions["ledger.in", 0])
    for _ in range(OUTAGE_STEPS):
        world.settle()
    book.refused = False
    for _ in range(LIFE_STEPS):
        world.settle()
    return Outage(GrowingLog(world.log.partitions, {}), ended, traded)


def read_but(log: GrowingLog, clock: SimClock, *, told: int, received: int) -> Beside:
    """An auditor that has read all but what is beyond these of M0's outbox and L0's inbox."""
    found = Beside(log, clock)
    log.show_all()
    ends = {("matching.ev", 0): told, ("ledger.in", 0): received}
    for place in log.positions:
        found.read(place, ends.get(place, log.ends(*place)[1]))
    found.judge()
    return found


def read_on(
    found: Beside,
    clock: SimClock,
    steps: int = OVERDUE_STEPS + 8,
    *,
    pace_us: int = 1_100_000,
    received: int = 1,
    growing: bool = False,
) -> None:
    """Let that outbox be read, or grow, a record at each step, and that inbox so many."""
    for _ in range(steps):
        clock.elapsed_us += pace_us
        for place, count in ((("matching.ev", 0), 1), (("ledger.in", 0), received)):
            stop = found.log.positions[place] + count
            if growing:
                found.log.shown[place] = stop
            found.read(place, stop)
        found.judge()


def test_who_reads_a_ledgers_inbox_later_than_the_books_outbox_accuses_nobody(outage):
    clock = SimClock()
    told = len(outage.log.whole["matching.ev", 0]) - LIFE_STEPS + 3
    found = read_but(outage.log, clock, told=told, received=outage.traded)
    read_on(found, clock)
    assert found.auditor.legs.open, "their settlements stand behind the outage"
    found.look()
    assert found.told == []
    assert found.auditor.legs.open == {}
    assert found.oldest_us > 60_000_000


def test_an_end_accuses_only_of_what_was_overdue_when_it_was_asked_for(outage):
    """The last settlement stands behind that end; its trade becomes overdue before it is read."""
    inbox = ("ledger.in", 0)
    end = [offset for offset, value in enumerate(outage.log.whole[inbox]) if is_trade(value)][-1]
    clock = SimClock()
    found = read_but(outage.log, clock, told=outage.ended + 1, received=outage.traded)
    found.log.shown[inbox] = end
    read_on(found, clock, OVERDUE_STEPS + 1)
    found.log.show_all()
    unread = end - found.log.positions[inbox]
    read_on(found, clock, unread % 3)
    read_on(found, clock, unread // 3, received=3)
    assert found.log.positions[inbox] == end
    assert found.auditor.legs.open, "its settlement is read next"
    read_on(found, clock, 5)
    assert found.told == []
    assert found.auditor.legs.open == {}


def test_what_a_slow_book_has_not_traded_yet_is_not_in_transit(outage):
    clock = SimClock()
    found = read_but(outage.log, clock, told=outage.ended - LIFE_STEPS, received=outage.traded)
    read_on(found, clock, growing=True)
    assert found.auditor.legs.open, "computed here, and not told by its book"
    assert (found.told, found.oldest_us) == ([], 0)


def nearly_read(log: GrowingLog, clock: SimClock) -> Beside:
    """An auditor before the last ticks of M0 and L0."""
    ends = {place: len(values) - LIFE_STEPS for place, values in log.whole.items()}
    return read_but(log, clock, told=ends["matching.ev", 0], received=ends["ledger.in", 0])


@pytest.mark.parametrize(("pace_us", "found"), [(10_000, 0), (1_100_000, 2)])
def test_a_minute_that_is_read_at_once_is_none(withheld, pace_us, found):
    clock = SimClock()
    again = nearly_read(withheld.log, clock)
    read_on(again, clock, pace_us=pace_us, growing=True)
    assert len(again.told) == found


def test_who_owes_again_is_named_again(withheld):
    clock = SimClock()
    found = nearly_read(withheld.log, clock)
    read_on(found, clock, growing=True)
    legs, found.auditor.legs.open = found.auditor.legs.open, {}
    read_on(found, clock, 2, growing=True)
    found.auditor.legs.open = legs
    read_on(found, clock, 3, growing=True)
    assert len(found.told) == 4


def test_a_leg_that_is_open_keeps_when_it_began_in_a_checkpoint(withheld):
    kept = json.loads(json.dumps(checkpoint.dump(withheld.auditor)))
    again = auditor_on(withheld.log, [])
    checkpoint.load(again, kept)
    assert again.legs.open == withheld.auditor.legs.open
    assert all(traded.origin.time_us for traded in again.legs.open.values())


def test_settlements_tell_how_long_they_took(monkeypatch):
    seen: list[float] = []
    monkeypatch.setattr("streams.auditor.metrics.SETTLED_AFTER_S.observe", seen.append)
    world, traffic = exchange(5)
    trade(world, traffic, lambda: None)
    beside(world).look()
    events = [e for p in (0, 1) for v in world.log.partitions["ledger.ev", p] for e in messages(v)]
    assert len(seen) == sum(isinstance(event, FillSettled) for event in events)
    assert all(0 <= age_s < 5 for age_s in seen)


def is_trade(value: bytes) -> bool:
    return any(isinstance(message, TradeExecuted) for message in messages(value))


def messages(value: bytes) -> list[object]:
    return list(decode_record(value).messages)
