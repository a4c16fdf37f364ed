"""L9 as the audit counts it: honest ledgers are never named, one order too many always is."""

import copy
import json
import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounts.messages import LimitsChanged
from domain.markets import MarketRulesChanged, ReferencePriceChanged
from domain.orders.decider import LedgerDecider
from domain.orders.messages import OrderAccepted, OrderType, Side, TimeInForce
from streams.audit import audit
from streams.audit.ledger_witness import LedgerRecord, LedgerWitness
from streams.audit.order_limits import OrderLimits
from streams.auditor import checkpoint
from streams.auditor.violations import Violation
from tests.domain.orders import toy_exchange
from tests.domain.orders.random_steps import Step, funded, play, steps
from tests.domain.orders.tables import ANN, BTCUSDT, LIMITS, NOON_US, RULES, genesis, listed
from tests.examples import examples
from tests.simulation import load
from tests.simulation.breaking import mutated
from tests.streams.audited_log import Nobody, archived, traded
from tests.streams.growing_log import auditor_on, follow, log_of

WINDOW_10S_US = 10_000_000
DAY_US = 86_400_000_000


def order(number: int, **changes: int) -> OrderAccepted:
    """Ann's order `number` in the windows, 10 lots at 100 unless changed."""
    accepted = OrderAccepted(
        command_id=b"",
        order_id=2 * number,
        user_id=ANN,
        market_id=BTCUSDT,
        market_revision=1,
        client_order_id="",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=100,
        lots=10,
        quote_amount=0,
        held_asset=2,
        held_amount=3_000,
        order_count_10s=number,
        order_count_1d=number,
    )
    return replace(accepted, **changes)  # type: ignore[arg-type]


def opened() -> OrderLimits:
    """8 orders in 10 s, 20 in a day, 5 open in a market."""
    limits = OrderLimits()
    for event in (genesis(), listed()):
        limits.learn(event)
    return limits


@settings(max_examples=examples(100), deadline=None)
@given(partitions=st.sampled_from([1, 2]), script=st.lists(steps, min_size=5, max_size=80))
def test_nothing_is_said_of_what_a_ledger_accepts(partitions: int, script: list[Step]) -> None:
    """Limits, rules and prices change meanwhile, and time passes."""
    records: list[LedgerRecord] = []

    def witnessed() -> LedgerWitness:
        records.append(LedgerRecord())
        return LedgerWitness(LedgerDecider(), records[-1])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(toy_exchange, "LedgerDecider", witnessed)
        exchange = funded(partitions)
    for step in script:
        play(exchange, step)
    assert [each for record in records for each in record.checks.words if each[:2] == "L9"] == []
    for shard, record in zip(exchange.shards, records, strict=True):
        accounts = shard.state.accounts.values()
        waiting = {
            (a.user_id, m): len(ids) for a in accounts for m, ids in a.open_by_market.items()
        }
        assert record.limits.open == waiting


def test_orders_that_have_ended_count_in_their_windows_and_not_as_open():
    limits = opened()
    for number in range(1, 9):
        assert limits.accept(order(number), NOON_US) == ""
        limits.end(ANN, BTCUSDT)
    assert limits.accept(order(9), NOON_US) == "order 18 of user 2 is number 9 in 10 s, limit 8"
    assert limits.open == {(ANN, BTCUSDT): 1}


def test_as_many_are_open_as_the_market_allows():
    limits = opened()
    said = [limits.accept(order(number), NOON_US) for number in range(1, 7)]
    assert said == [""] * 5 + ["order 12 of user 2 is number 6 open in market 1, limit 5"]


@pytest.mark.parametrize("length_us", [WINDOW_10S_US, DAY_US])
def test_a_window_ends_with_its_last_microsecond(length_us):
    last_us = NOON_US - NOON_US % length_us + length_us - 1
    in_a_day = 1 if length_us == DAY_US else 3
    limits = opened()
    limits.learn(LimitsChanged(b"", replace(LIMITS, orders_per_10s=2)))
    assert limits.accept(order(1), last_us) == limits.accept(order(2), last_us) == ""
    first = order(3, order_count_10s=1, order_count_1d=in_a_day)
    assert limits.accept(replace(first, user_id=4, order_count_1d=1), last_us) == ""
    assert copy.deepcopy(limits).accept(first, last_us + 1) == ""
    said = limits.accept(order(3), last_us)
    assert said == "order 6 of user 2 is number 3 in 10 s, limit 2"


def test_a_limit_that_is_lowered_is_for_the_next_order():
    limits = opened()
    for number in (1, 2, 3):
        assert limits.accept(order(number), NOON_US) == ""
    limits.learn(LimitsChanged(b"", replace(LIMITS, orders_per_day=2)))
    limits.learn(MarketRulesChanged(b"", BTCUSDT, 1, replace(RULES, max_open_orders=1), 100))
    later_us = NOON_US + WINDOW_10S_US
    said = limits.accept(order(4, order_count_10s=1), later_us)
    assert said == "order 8 of user 2 is number 4 in a day, limit 2"
    limits.learn(LimitsChanged(b"", LIMITS))
    said = limits.accept(order(5, order_count_10s=2), later_us)
    assert said == "order 10 of user 2 is number 5 open in market 1, limit 1"


@pytest.mark.parametrize(
    ("changes", "named"),
    [
        ({"lots": RULES.max_lots + 1}, "of 1001 lots"),
        ({"lots": RULES.min_lots - 1}, "of 1 lots"),
        ({"price_ticks": RULES.min_price_ticks - 1}, "at 9"),
        ({"price_ticks": 151}, "at 151"),
        ({"price_ticks": 79, "side": Side.SELL}, "at 79"),
        ({"lots": 1_000, "price_ticks": 150}, ""),
        ({"lots": 2, "price_ticks": 99}, "has a notional"),
        ({"order_type": OrderType.MARKET, "lots": 2}, "of 2 lots"),
        ({"order_type": OrderType.MARKET, "price_ticks": 151}, ""),
        ({"order_type": OrderType.MARKET, "lots": 0, "quote_amount": 599}, "has a notional"),
        ({"order_type": OrderType.MARKET, "lots": 0, "quote_amount": 600}, ""),
        ({"order_count_10s": 2}, "says 2 in 10 s and 1 in a day, is number 1 and 1"),
        ({"market_id": 7}, "never listed"),
    ],
)
def test_an_order_by_itself_keeps_to_its_markets_rules(changes, named):
    said = opened().accept(order(1, **changes), NOON_US)
    assert (named in said) if named else said == ""


def test_a_price_is_judged_by_the_last_that_the_shard_was_told():
    limits = opened()
    limits.learn(ReferencePriceChanged(BTCUSDT, 200))
    assert limits.accept(order(1, price_ticks=300), NOON_US) == ""
    assert "at 301" in limits.accept(order(2, price_ticks=301), NOON_US)


@pytest.mark.sources
def test_a_log_with_an_order_too_many_is_named_by_audit_and_auditor(monkeypatch):
    """The replay agrees, for it runs the same code; what the auditor counts does not."""
    monkeypatch.setattr(load, "LIMITS", replace(load.LIMITS, orders_per_day=3))
    assert audit.audit(archived(traded(3)), Nobody(), processes=1).checks.words == []
    with mutated("order limits ignored"):
        world = traded(3)
        result = audit.audit(archived(world), Nobody(), processes=1)
        log, told = log_of(world), list[Violation]()
        auditor = auditor_on(log, told)
        auditor.start()
        follow(auditor, log, random.Random(3))
    assert {invariant for invariant, count in result.checks.broken.items() if count} == {"L9"}
    assert "number 4 in a day, limit 3" in result.checks.words[0]
    assert any(line.startswith("L9: order") for line in audit.report(result))
    assert {violation.invariant for violation in told} == {"L9"}
    assert all(violation.shard[0] == "L" for violation in told), "withdrawals are halted"


def test_what_was_counted_is_kept_in_a_checkpoint():
    log = log_of(traded(3))
    first, second = auditor_on(log, []), auditor_on(log, [])
    first.start()
    follow(first, log, random.Random(3))
    checkpoint.load(second, json.loads(json.dumps(checkpoint.dump(first))))
    for shard in ("L0", "L1"):
        ours, theirs = first.followed[shard].ledger, second.followed[shard].ledger
        assert ours is not None
        assert theirs is not None
        assert ours.limits == theirs.limits
        assert ours.limits.placed
