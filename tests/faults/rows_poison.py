"""Rows of clocks that jump, poison in the inboxes, and a bug in one market."""

import json
import re
import time
from collections.abc import Iterator

from domain.decider import Message
from domain.ledger.messages import CreditDeposit
from domain.orders.messages import (
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.protocol import CommandFaulted, Tick
from infra.files import replace_text
from infra.log import Partition
from schemas.record import decode_record, encode_message, encode_record, outside_record
from schemas.topics import QUARANTINE_TOPIC
from tests.faults.evidence import halts_in, promotions
from tests.faults.load import LATE, Sent
from tests.faults.rows import Run, row
from tests.faults.stack import FaultStack, until

NOTICED_S = 30.0
PLANTED_BEFORE_US = 1_000_000
HOUR_S, DAY_S = 3_600.0, 86_400.0
LEDGER = ("ledger.in", 0)
INBOXES = (("accounts.in", 0), ("matching.in", 0), LEDGER)
OF_ANOTHER_PARTITION, NOBODY = 3, 1 << 50
HOSTS = ("shards", "shards-standby")
HALT_WORDS = re.compile(r"resolve-halt --shard (\w+) --record-hash (\w+)")


@row("F18 gateway", "a gateway's clock jumps by an hour and by a day, both ways", planted=True)
def clock_of_gateway_jumps(run: Run) -> None:
    """Clients are refused with -1021 while it is wrong; nothing is executed late or early."""
    for seconds in (HOUR_S, -HOUR_S, DAY_S, -DAY_S):
        run.fault("the gateway's clock jumps")
        begin_s = time.monotonic()
        run.stack.move_clock("gateway", seconds)
        run.wait(3.0)
        run.stack.move_clock("gateway")
        right_s = time.monotonic()
        run.demand(_late(run, begin_s) > 0, f"at {seconds:+.0f} s somebody must get {LATE}")
        took_s = run.recovered(right_s)
        name = f"after {seconds / HOUR_S:+.0f} h s"
        run.measured[name] = max(took_s, run.measured.get(name, 0.0))


def _late(run: Run, since_s: float) -> int:
    """How many requests were answered since then that their time is wrong."""
    return sum(
        sent.code == LATE and sent.answered_s > since_s
        for client in run.load.clients
        for sent in client.record[:]
    )


@row(
    "F18 shards",
    "a leader's clock jumps by an hour and by a day, both ways",
    planted=True,
    at_most={"promotions by a jump": 1.0},
)
def clock_of_leader_jumps(run: Run) -> None:
    """Ahead, Kafka refuses its ticks and it ends; behind, its ticks move no time."""
    for seconds in (HOUR_S, -HOUR_S, DAY_S, -DAY_S):
        promoted = promotions(run.stack)["L0"]
        name = run.stack.leading("L0")
        run.fault(f"the clock of {name} jumps")
        begin_s = time.monotonic()
        run.stack.move_clock(name, seconds)
        took_s = run.recovered(begin_s)
        run.measured[f"{seconds / HOUR_S:+.0f} h s"] = took_s
        run.wait(3.0)
        run.stack.move_clock(name)
        run.stack.until_whole()
        promoted = promotions(run.stack)["L0"] - promoted
        most = run.measured.get("promotions by a jump", 0)
        run.measured["promotions by a jump"] = max(most, promoted)


@row("F18 drift", "the clocks of gateway and leader drift apart, 2 s in 20 s", planted=True)
def clocks_drift(run: Run) -> None:
    name = run.stack.leading("L0")
    run.fault(f"gateway ahead, {name} behind, more each second")
    for tenths in range(20):
        run.stack.move_clock("gateway", tenths * 0.04)
        run.stack.move_clock(name, -tenths * 0.06 - 0.001)
        run.wait(1.0)
    run.stack.move_clock("gateway")
    run.stack.move_clock(name)
    run.recovered(time.monotonic())


@row(
    "F19",
    "poison of every kind is appended to an inbox of each family",
    target_s=2.0,
    at_most={"next answered s": 0.1},
)
def poison(run: Run) -> None:
    """It is set aside, each once; the ledger's next order after each of these is timed."""
    stack = run.stack
    before = {name: stack.pid(name) for name in stack.hosts()}
    expected = _notices(stack)
    known = next(c.account.user_id for c in run.load.clients if c.account.user_id % 2 == 0)
    run.fault(f"poison in {', '.join(f'{topic}.{number}' for topic, number in INBOXES)}")
    appended_s: list[float] = []
    for inbox in INBOXES:
        for value, set_aside in _poison(stack, inbox, known):
            stack.append(*inbox, value)
            appended_s.append(time.monotonic())
            expected += set_aside
    until(lambda: _notices(stack) >= expected, NOTICED_S)
    run.recovered(time.monotonic())
    found = _notices(stack)
    run.demand(found == expected, f"{expected} records must be set aside, {found} are")
    run.measured["next answered s"] = max(_next_took_s(run, at_s) for at_s in appended_s)
    after = {name: stack.pid(name) for name in stack.hosts()}
    run.demand(before == after, f"no host may end: {before}, then {after}")


def _next_took_s(run: Run, at_s: float) -> float:
    """How long the first order took that was sent to the ledger of the poison after a moment."""
    run.stack.until(lambda: bool(_sent_after(run, at_s)), NOTICED_S, "orders must go on")
    first = min(_sent_after(run, at_s), key=lambda sent: sent.sent_s)
    return first.answered_s - first.sent_s


def _sent_after(run: Run, at_s: float) -> list[Sent]:
    return [
        sent
        for sent in run.load.acknowledged()
        if sent.sent_s > at_s and sent.ledger == LEDGER[1] and sent.attempts == 1
    ]


@row("F19 gap", "a forged record of a channel halts, and an operator resolves it")
def forged_gap(run: Run) -> None:
    resolve_gap(run, forge_gap(run))


def forge_gap(run: Run) -> int:
    """Append a record that is far ahead of its channel; what the supervisor had said before."""
    mark = len(run.stack.words())
    run.fault("a record of M0 with cseq 1000000 in ledger.in.0")
    run.stack.append(*LEDGER, _of_channel(1_000_000))
    return mark


def resolve_gap(run: Run, mark: int) -> None:
    """Wait until both hosts have halted, and do what docs/runbook.md tells an operator to do."""
    stack = run.stack
    halted = until(lambda: all(not stack.pid(name) for name in stack.hosts()), NOTICED_S)
    run.demand(halted, "both hosts must halt at a gap")
    found = HALT_WORDS.search(stack.words()[mark:]) or HALT_WORDS.search(stack.evidence(40))
    assert found is not None, "a halt says how it is resolved"
    with run.timed("resolved s"):
        stack.admin("resolve-halt", shard=found[1], recordHash=found[2], action="skip")
        _start_halted(stack)
        run.recovered(time.monotonic())


@row(
    "F20",
    "a bug in planning, in one market only",
    own_stack=True,
    planted=True,
    at_most={"noticed s": 1.0},
)
def one_market_is_faulty(run: Run) -> None:
    """Its orders are closed as faulted and their holds released; the other market trades on.

    The bug begins at a log time, so that the shadow and the audit, which have it too, agree.
    """
    stack = run.stack
    faulty = _plant(run, "faulty-market")
    run.faulty.append(faulty)
    run.fault(f"orders of market {faulty} cannot be planned")
    begin_s = time.monotonic()
    seen = until(lambda: _faults(stack) > 0, NOTICED_S)
    run.measured["noticed s"] = time.monotonic() - begin_s
    run.demand(seen, "the fault must be told in the log")
    run.wait(3.0)
    others = _of_other_market(run, begin_s + 1.0)
    run.demand(others > 20, f"the other market must trade on, had {others} orders")


@row(
    "F20 apply",
    "a bug in applying, in one market's book, until a corrected build runs",
    own_stack=True,
    planted=True,
    at_most={"noticed s": 1.0, "reopened s": 15.0},
)
def one_book_cannot_be_applied(run: Run) -> None:
    """Leader and shadow halt at the same record, and with the shard all that their processes host.

    What that costs the other market is measured, not forbidden: an event that cannot be applied
    leaves no state to go on from. The way out is the runbook's: a corrected build goes on by
    itself.
    """
    stack = run.stack
    mark = len(stack.words())
    faulty = _plant(run, "faulty-book")
    run.fault(f"what happens in the book of market {faulty} cannot be applied")
    begin_s = time.monotonic()
    leader = stack.leading("L0")
    noticed = until(lambda: not stack.pid(leader), NOTICED_S)
    run.measured["noticed s"] = time.monotonic() - begin_s
    run.demand(noticed, "the leader must halt")
    down = until(lambda: not any(map(stack.pid, stack.hosts())), NOTICED_S)
    run.demand(down, "the shadow must halt, too")
    run.wait(3.0)
    _expect_halts(run, stack.words()[mark:])
    others = _of_other_market(run, begin_s + run.measured["noticed s"])
    run.measured["orders of the other market while halted"] = others
    (stack.planted_dir / "faulty-book").unlink()
    with run.timed("reopened s"):
        _start_halted(stack)
        run.recovered(time.monotonic())


def _plant(run: Run, name: str) -> int:
    """Let a market be faulty from a log time on that is now, and its id."""
    faulty = run.stack.market_id("ETHUSDT")
    from_us = time.time_ns() // 1_000 + PLANTED_BEFORE_US
    replace_text(run.stack.planted_dir / name, f"{faulty} {from_us}")
    run.wait(PLANTED_BEFORE_US / 1e6)
    return faulty


def _of_other_market(run: Run, since_s: float) -> int:
    """How many orders of the market without a bug were begun since then and acknowledged."""
    return sum(
        sent.symbol == "BTCUSDT" and sent.began_s > since_s for sent in run.load.acknowledged()
    )


def _expect_halts(run: Run, words: str) -> None:
    """Both hosts must have halted with FAULT (exit status 3), at the same record."""
    halts = halts_in(words)
    run.words.append(f"halted: {halts}")
    applying = [
        each for each in halts if each.reason == "FAULT" and each.words.startswith("applying")
    ]
    same = len(applying) == len(HOSTS) and len({each[:2] for each in applying}) == 1
    run.demand(same, f"both hosts must halt with FAULT at one record: {halts}")


def _start_halted(stack: FaultStack) -> None:
    """As docs/runbook.md says."""
    for name in HOSTS:
        (stack.data_dir / "run" / f"{name}.restart").touch()


def _poison(
    stack: FaultStack, inbox: Partition, user_id: int
) -> Iterator[tuple[bytes | None, int]]:
    """Values, and how many notices of quarantine each leads to in that inbox."""
    good = _outside("clock", Tick())
    yield None, 1
    yield b"", 1
    yield b"\x00\x01\x02", 1
    yield b"\xc3\x01" + bytes(8) + good[10:], 1
    yield good[:-1], 1
    yield good + b"\x00", 1
    yield b"\xff" * 1_500_000, 1
    yield _outside("stranger", Tick()), 1
    yield _outside("gw", Tick()), 1
    yield _outside("gw", _deposit(user_id)), 1
    yield _outside("gw", _order(stack, OF_ANOTHER_PARTITION)), 1
    # A ledger takes orders, and answers these two: nobody's, and one with absurd numbers.
    yield _outside("gw", _order(stack, NOBODY)), int(inbox != LEDGER)
    yield _outside("gw", _order(stack, user_id)), int(inbox != LEDGER)
    yield _of_channel(1, source="L77"), 1
    yield _a_record_of_a_channel(stack, inbox), 0


def _outside(source: str, *messages: Message) -> bytes:
    return outside_record(source, time.time_ns() // 1_000, [encode_message(m) for m in messages])


def _deposit(user_id: int) -> Message:
    deadline_us = time.time_ns() // 1_000 + 60_000_000
    return CreditDeposit(time.time_ns().to_bytes(16), deadline_us, user_id, 1, 10**8, "forged")


def _order(stack: FaultStack, user_id: int) -> Message:
    """An order with numbers that no gateway would let pass."""
    return PlaceOrder(
        command_id=time.time_ns().to_bytes(16),
        deadline_us=time.time_ns() // 1_000 + 60_000_000,
        user_id=user_id,
        market_id=stack.market_id("BTCUSDT"),
        market_revision=0,
        client_order_id="raw",
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=2**62,
        lots=-(2**62),
        quote_amount=2**63 - 1,
        stop_price_ticks=0,
        iceberg_lots=0,
        self_trade_prevention=SelfTradePrevention.NONE,
    )


def _of_channel(cseq: int, source: str = "M0") -> bytes:
    return encode_record(
        prev=b"\x66" * 16,
        cause_offset=0,
        src=source,
        cseq=cseq,
        cause=cseq,
        time_us=time.time_ns() // 1_000,
        input_hash=b"",
        messages=[],
    )


def _a_record_of_a_channel(stack: FaultStack, inbox: Partition) -> bytes:
    """A genuine record that is in the inbox already."""
    for found in stack.records(*inbox):
        if found.value and found.value[:2] == b"\xc3\x01" and decode_record(found.value).cseq:
            return found.value
    raise AssertionError("the inbox must have a record of a channel")


def _notices(stack: FaultStack) -> int:
    """How many records of inboxes were set aside, each counted once."""
    notices = [json.loads(found.value or b"{}") for found in stack.records(QUARANTINE_TOPIC, 0)]
    names = ("topic", "partition", "offset", "message_index")
    return len({tuple(each[name] for name in names) for each in notices})


def _faults(stack: FaultStack) -> int:
    return sum(isinstance(event, CommandFaulted) for event in stack.messages("matching.ev", 0))
