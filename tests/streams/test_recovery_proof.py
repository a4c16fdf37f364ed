"""The proof of a recovery fails on what is new, and names what the former log had as well."""

from typing import Any

import pytest

from domain.decider import Decider
from domain.matching.messages import TradeExecuted
from domain.matching.state import MatchingState
from domain.orders.messages import OrderType, PlaceOrder, SelfTradePrevention, Side, TimeInForce
from domain.protocol import HaltAction, ResolveHalt, Tick
from schemas.record import encode_message, encode_record
from schemas.topics import inbox
from streams.audit.archive import Archive
from streams.families import decider_of
from streams.halts import HaltReason
from streams.recovery.proof import Proof, prove
from tests.simulation.corruption import Faulting
from tests.simulation.load import DEADLINE_US, users_of
from tests.simulation.processes import START_US
from tests.simulation.races import forge
from tests.simulation.world import MATCHERS, World
from tests.streams.audited_log import Nobody, archived, settle_marks, traded
from tests.streams.test_recovery import cancel_everything, recover

INBOX = inbox("L0")
MARKET = MATCHERS
"""M0's."""


def proved(world: World, former: Archive | None = None) -> Proof:
    return prove(archived(world), Nobody(), Nobody(), former)


def lose_the_end(world: World) -> Archive:
    """Every process dies, L0's inbox loses its last record; what is left."""
    settle_marks(world)
    for process in world.processes:
        world.kill(process)
    del world.log.partitions[INBOX][-1:]
    return archived(world)


def with_a_strange_outside_record() -> tuple[World, int]:
    """An exchange that has applied what says that another record caused it; where that stands."""
    world = traded(5)
    offset = world.log.end(INBOX)
    value = encode_record(
        prev=b"",
        cause_offset=7,
        src="gw",
        cseq=0,
        cause=0,
        time_us=START_US,
        input_hash=b"",
        messages=[encode_message(Tick())],
    )
    world.log.append(INBOX, value)
    cancel_everything(world)
    assert not world.halted
    return world, offset


def test_what_was_wrong_before_is_named_and_does_not_fail_the_proof():
    world, offset = with_a_strange_outside_record()
    former = lose_the_end(world)
    assert recover(world).kept[INBOX] > offset
    proof = proved(world, former)
    assert (proof.equal, proof.sound, proof.words) == (True, True, [])
    (known,) = proof.known
    assert known.startswith(f"CHANGED ledger.in.0@{offset}: an outside record")
    assert proof.sentences() == [
        f"so it was before: {known}",
        "replay: EQUAL, but for what the former log had as well (1)",
        "audit: SOUND, but for what the former log had as well (1)",
    ]
    assert not proved(world).equal, "of itself it is a finding"


def test_what_is_new_fails_the_proof_whatever_was_wrong_before():
    world, _ = with_a_strange_outside_record()
    former = lose_the_end(world)
    recover(world)
    values = world.log.partitions[INBOX]
    values.append(values[-1][:-1] + b"\x7f")
    forge(world, "M0", source="L0")
    proof = proved(world, former)
    assert (proof.equal, proof.sound, len(proof.known)) == (False, False, 1)
    assert any("matching.in.0" in words for words in proof.words)
    assert proof.sentences()[-2:] == ["replay: DIVERGENT", "audit: VIOLATED"]


@pytest.mark.parametrize("cseq", [1_000_000, 0])
def test_what_a_recovery_must_mend_is_not_excused_because_it_was_there(cseq):
    """A shard halts at it; or it took the place of a genuine record."""
    world = traded(5)
    forge(world, "L0", cseq=cseq or world.hosts()["L0"].shard.incoming["M0"].cseq + 1)
    proof = proved(world, archived(world))
    assert not proof.equal
    assert not proof.sound


def test_a_lost_notice_of_the_quarantine_is_not_excused():
    """It is written again where the mark is set before its record."""
    world = traded(5)
    world.log.append(INBOX, b"no record")
    cancel_everything(world)
    assert world.log.partitions["dlq", 0]
    world.log.partitions["dlq", 0].clear()
    proof = proved(world, archived(world))
    assert (proof.equal, proof.known) == (False, [])


def place(world: World, user: int, side: Side, price_ticks: int) -> None:
    number = world.log.end(INBOX)
    order = PlaceOrder(
        number.to_bytes(16),
        10 * DEADLINE_US,
        user_id=user,
        market_id=MARKET,
        market_revision=0,
        client_order_id=f"p{number}",
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=price_ticks,
        lots=1,
        quote_amount=0,
        stop_price_ticks=0,
        iceberg_lots=0,
        self_trade_prevention=SelfTradePrevention.NONE,
    )
    world.send("L0", "gw", [order])
    world.drain()


def with_a_fill_skipped(monkeypatch: pytest.MonkeyPatch) -> World:
    """L0 could not plan the fills of one trade; an operator had them skipped, and all went on."""
    world = traded(3)
    cancel_everything(world)
    state = world.hosts()["M0"].shard.state
    assert isinstance(state, MatchingState)
    skipped = state.markets[MARKET].trades + 1

    def planted(shard: str) -> Decider[Any]:
        sound = decider_of(shard)
        if shard != "L0":
            return sound
        return Faulting(
            sound,
            lambda each: (
                isinstance(each, TradeExecuted)
                and (each.market_id, each.trade_id) == (MARKET, skipped)
            ),
        )

    for process in world.processes:
        world.kill(process)
    world.deciders["L0"] = planted("L0")
    monkeypatch.setattr("streams.audit.rerun.decider_of", planted)
    monkeypatch.setattr("streams.audit.audit.decider_of", planted)
    seller, buyer, _ = users_of(0)
    place(world, seller, Side.SELL, 100)
    place(world, buyer, Side.BUY, 100)
    halted = world.halted.pop("L0")
    assert halted.reason is HaltReason.FAULT
    word = ResolveHalt(b"r" * 16, 10 * DEADLINE_US, halted.record_hash, HaltAction.SKIP)
    world.send("L0", "operator", [word])
    place(world, buyer, Side.BUY, 95)
    assert not world.halted
    return world


def test_a_fill_that_an_operator_had_skipped_long_ago_does_not_keep_the_exchange_closed(
    monkeypatch,
):
    world = with_a_fill_skipped(monkeypatch)
    former = lose_the_end(world)
    recover(world)
    alone = proved(world)
    assert (alone.equal, alone.sound) == (True, False)
    assert all(words.startswith("E5: leg") for words in alone.words)
    proof = proved(world, former)
    assert (proof.equal, proof.sound, proof.words) == (True, True, [])
    assert proof.known == alone.words
    assert proof.sentences()[-1] == "audit: SOUND, but for what the former log had as well (2)"
