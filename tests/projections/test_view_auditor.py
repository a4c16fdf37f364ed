"""Views beside the fold of the log: equal however both were batched, mended where they are not."""

import json
from random import Random
from typing import Any

import pytest
from fakeredis import FakeRedis

from infra.log import LogRecord
from projections import view_auditor
from projections.follower import Follower
from projections.layout import LEDGER_EVENTS, Balance, pack, redis_key
from projections.live_cells import LiveCells
from projections.redis_sink import RedisSink
from projections.view_auditor import Complaint, ViewAuditor, as_plain, from_plain
from projections.view_fold import ViewFold
from tests.projections.scenarios import busy_exchange, offer, raw
from tests.projections.small_exchange import BTC, SmallExchange

Told = list[Complaint]
PLACE = (LEDGER_EVENTS, 0)


class Stage:
    """A Redis that is fed in steps of random size, and an auditor that reads in others."""

    def __init__(self, exchange: SmallExchange, seed: int = 1, *, repairs: bool = True) -> None:
        self.rng = Random(seed)
        self.client = FakeRedis()
        self.values = exchange.outboxes()
        self.sink = RedisSink(self.client)
        self.followers = {topic: Follower(topic, 0, self.sink) for topic in self.values}
        self.read = dict.fromkeys(self.values, 0)
        self.told: Told = []
        self.views = ViewAuditor(1, 1, self.told.append, Random(seed), repairs=repairs)
        for follower in self.followers.values():
            follower.load()
        self.live = LiveCells(self.client)

    def feed(self, topic: str, upto: int) -> None:
        follower = self.followers[topic]
        records = raw(self.values[topic])[follower.position.offset + 1 : upto]
        while records:
            step = self.rng.randint(1, 9)
            assert offer(self.sink, follower, records[:step]) is None
            records = records[step:]

    def show(self, topic: str, upto: int) -> None:
        """Let the auditor read up to here."""
        for offset in range(self.read[topic], upto):
            self.views.take(LogRecord(topic, 0, offset, -1, self.values[topic][offset]))
        self.read[topic] = max(upto, self.read[topic])

    def go(self, rounds: int = 25) -> None:
        """Store and read the whole, with looks at the view all the way."""
        for number in range(1, rounds + 1):
            for topic, values in self.values.items():
                self.feed(topic, len(values) * number // rounds)
                end = len(values) if number == rounds else self.rng.randint(0, len(values))
                self.show(topic, end)
            self.look()

    def look(self, times: int = 1) -> bool:
        again = False
        for _ in range(times):
            self.views.touch(k.decode()[5:] for k in self.client.scan_iter(match="lb:1:*"))
            again |= self.views.check_live(self.live, lambda topic, _: len(self.values[topic]))
        return again

    def key(self, name: str) -> str:
        return redis_key("1", name)


@pytest.mark.parametrize("seed", range(8))
def test_what_the_workers_write_is_the_fold_at_its_sequence_however_it_was_batched(seed):
    stage = Stage(busy_exchange(seed, 150), seed)
    stage.go()
    stage.look(3)
    assert stage.told == []
    assert stage.views.checks["P1"] > 500
    folds = stage.views.folds
    assert {t: f.position.cseq for (t, _), f in folds.items()} == {
        topic: len(values) for topic, values in stage.values.items()
    }


def test_minutes_and_days_that_pass_between_the_steps_make_no_difference():
    exchange = busy_exchange(3, 60)
    for seconds in (59, 61, 3_600, 86_400, 90_000):
        exchange.tick(seconds)
        exchange.place(1, exchange.book[0].side, 6_000_000, 5)
    for seed in range(5):
        stage = Stage(exchange, seed)
        stage.go(60)
        assert stage.told == []


def wrong_balance(stage: Stage) -> None:
    stage.client.hset(stage.key("balances:2"), str(BTC), pack(Balance(1 << 60, 0)))


def forgotten_field(stage: Stage) -> None:
    stage.client.hdel(stage.key("balances:2"), str(BTC))


def forgotten_key(stage: Stage) -> None:
    stage.client.delete(stage.key("market:1"))


def invented_user(stage: Stage) -> None:
    stage.client.hset(stage.key("balances:77"), str(BTC), "[5,5]")


def wrong_exposure(stage: Stage) -> None:
    key = stage.key("account:1")
    risk = json.loads(stage.client.hget(key, "risk") or "")
    stage.client.hset(key, "risk", json.dumps([risk[0], {"1": 7}, *risk[2:]]))


def of_another_type(stage: Stage) -> None:
    stage.client.delete(stage.key("balances:2"))
    stage.client.set(stage.key("balances:2"), "5")


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (wrong_balance, "balances:2"),
        (of_another_type, "balances:2"),
        (forgotten_field, "balances:2"),
        (forgotten_key, "market:1"),
        (invented_user, "balances:77"),
        (wrong_exposure, "account:1"),
    ],
)
def test_what_differs_is_named_and_written_as_the_log_has_it(spoil, name):
    stage = Stage(busy_exchange(5, 80))
    stage.go()
    before, whole_before = stage.client.hgetall(stage.key(name)), stage.client.dump(stage.key(name))
    spoil(stage)
    assert stage.client.dump(stage.key(name)) != whole_before
    stage.views.touch([name])
    stage.look(4)
    (complaint,) = stage.told
    assert complaint.invariant == "P1"
    assert complaint.where.startswith(f"redis {name} at ")
    assert complaint.words.endswith("; repaired")
    assert stage.client.hgetall(stage.key(name)) == before
    assert stage.views.mended == 1


def test_it_is_mended_though_the_view_has_moved_on():
    stage = Stage(busy_exchange(6, 80))
    end = len(stage.values[LEDGER_EVENTS])
    stage.feed(LEDGER_EVENTS, end - 20)
    stage.show(LEDGER_EVENTS, end - 20)
    invented_user(stage)

    class Moving(LiveCells):
        """Lets the worker write once more between the look and the repair."""

        def repair(self, *arguments: Any) -> bool:
            stage.feed(LEDGER_EVENTS, end)
            return super().repair(*arguments)

    stage.live = Moving(stage.client)
    stage.look()
    (complaint,) = stage.told
    assert f"#{end - 20}" in complaint.where
    assert complaint.words.endswith("; repaired")
    assert not stage.client.exists(stage.key("balances:77"))


def test_a_key_that_was_written_meanwhile_is_looked_at_again():
    stage = Stage(busy_exchange(6, 80))
    stage.go()
    before = stage.client.hgetall(stage.key("balances:2"))
    wrong_balance(stage)

    class Written(LiveCells):
        """Lets somebody write between the look and the repair."""

        def repair(self, *arguments: Any) -> bool:
            stage.client.hset(stage.key("balances:2"), "9", "[1,1]")
            return super().repair(*arguments)

    stage.live = Written(stage.client)
    stage.look()
    assert stage.told[0].words.endswith("; not repaired")
    stage.live = LiveCells(stage.client)
    stage.look()
    assert stage.told[1].words.endswith("; repaired")
    assert stage.client.hgetall(stage.key("balances:2")) == before


def test_who_only_looks_changes_nothing():
    stage = Stage(busy_exchange(5, 80), repairs=False)
    stage.go()
    wrong_balance(stage)
    stage.look(2)
    assert "not repaired" in stage.told[0].words
    assert stage.client.hget(stage.key("balances:2"), str(BTC)) == b"[1152921504606846976,0]"


def test_a_key_that_is_wrong_again_soon_asks_for_a_new_view():
    stage = Stage(busy_exchange(5, 80))
    stage.go()
    wrong_balance(stage)
    assert not stage.look(3)
    wrong_balance(stage)
    assert stage.look(3)


@pytest.mark.parametrize("position", [{"cseq": "x"}, {}, "5"])
def test_a_view_that_does_not_say_where_it_stands_is_built_anew(position):
    stage = Stage(busy_exchange(5, 80))
    stage.go()
    key = stage.key("position:ledger.ev:0")
    stage.client.delete(key)
    if isinstance(position, str):
        stage.client.set(key, position)
    else:
        stage.client.hset(key, mapping={"offset": 3, **position})
    assert stage.look()
    assert {(c.invariant, "holds" in c.words) for c in stage.told} == {("P2", True)}
    assert stage.views.checks["P1"] > 0, "other partitions are looked at"


def test_a_view_beyond_the_end_of_the_log_is_of_another_log():
    stage = Stage(busy_exchange(5, 80))
    stage.go()
    stage.client.hset(stage.key("position:ledger.ev:0"), mapping={"cseq": 9**9, "offset": 9**9})
    stage.look()
    assert [c.invariant for c in stage.told] == ["P2"]


def test_a_view_that_says_it_is_further_than_the_log_at_its_offset_is_built_anew():
    stage = Stage(busy_exchange(5, 80))
    end = len(stage.values[LEDGER_EVENTS])
    stage.feed(LEDGER_EVENTS, end - 20)
    stage.show(LEDGER_EVENTS, end - 21)
    key = stage.key("position:ledger.ev:0")
    stage.client.hset(key, mapping={"cseq": 9**9})
    assert not stage.look(2), "the fold has not read so far"
    stage.show(LEDGER_EVENTS, end - 20)
    assert stage.look(1)
    assert {(c.invariant, c.where) for c in stage.told} == {
        ("P2", f"redis at ledger.ev.0#{9**9}"),
    }
    stage.show(LEDGER_EVENTS, end)
    assert stage.look(1), "however far the log goes on"
    stage.client.hset(key, mapping={"cseq": end - 20})
    stage.views.compare(stage.live)
    stage.told.clear()
    assert not stage.look(2) and not stage.told


def test_a_fold_goes_on_from_a_checkpoint():
    exchange = busy_exchange(7, 120)
    stage = Stage(exchange)
    stage.go(10)
    kept = json.loads(json.dumps(as_plain(stage.views)))
    for _ in range(30):
        exchange.place(1, exchange.book[0].side, 6_000_000, 5)
        exchange.tick(40)
    stage.values = exchange.outboxes()
    stage.views = ViewAuditor(1, 1, stage.told.append, Random(1))
    from_plain(stage.views, kept)
    assert stage.views.folds[LEDGER_EVENTS, 0].position.cseq == stage.read[LEDGER_EVENTS]
    stage.go(10)
    assert stage.told == []
    sums = [fold.sums["orders"].blocks for fold in (stage.views.folds[PLACE], whole(exchange))]
    assert sums[0] == sums[1]


def whole(exchange: SmallExchange) -> ViewFold:
    """The fold of somebody who has read everything from the start."""
    fold = ViewFold(*PLACE)
    for offset, value in enumerate(exchange.outboxes()[LEDGER_EVENTS]):
        fold.take(LogRecord(*PLACE, offset, -1, value))
    fold.fold_to(fold.seen)
    return fold


def test_without_a_view_to_compare_with_not_everything_is_kept_waiting(monkeypatch):
    monkeypatch.setattr(view_auditor, "WAITING_AT_MOST", 40)
    stage = Stage(busy_exchange(8, 100))
    fold = stage.views.folds[PLACE]
    for upto in range(len(stage.values[LEDGER_EVENTS]) + 1):
        stage.show(LEDGER_EVENTS, upto)
        stage.views.bound()
        assert fold.waiting <= 40
    stage.feed(LEDGER_EVENTS, 20)
    stage.look(2)
    assert stage.views.checks["P1"] == 0, "the view has not come to where the fold is"
    stage.go()
    stage.look(3)
    assert stage.told == []
    assert stage.views.checks["P1"] > 20
