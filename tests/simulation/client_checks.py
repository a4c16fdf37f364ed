"""What clients were told, judged against the log: nothing invented, lost, repeated or late."""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain.decider import Message, Outcome
from domain.matching.messages import CancelAllCompleted, OrderRested
from domain.orders.messages import (
    CancelAllRequested,
    CancelRejected,
    CancelRequested,
    CloseReason,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    Side,
)
from domain.protocol import CommandExpired, CommandRepeated
from schemas.record import decode_record
from schemas.topics import inbox, outbox
from tests.simulation.clients import Request
from tests.simulation.fold import first_records
from tests.simulation.gateway import FAULTED, Answer
from tests.simulation.load import DECIMALS
from tests.simulation.log import LogWorld
from tests.simulation.world import LEDGERS

EFFECTS = (OrderAccepted, OrderRejected, CancelRequested, CancelAllRequested)
REFUSING = (
    CloseReason.WOULD_TAKE,
    CloseReason.MARKET_HALTED,
    CloseReason.UNKNOWN_MARKET,
    CloseReason.STALE_RULES,
)
"""How an accepted order ends whose sender is told an error."""


@dataclass
class Told:
    """What the ledgers' outboxes say of one command, in order, and when they say it."""

    messages: list[Message] = field(default_factory=list)
    times_us: list[int] = field(default_factory=list)
    cseq: int = 0
    """The record in which its effect stands."""

    def of(self, *types: type[Message]) -> list[Message]:
        """The messages of these types."""
        return [message for message in self.messages if isinstance(message, types)]

    def effects(self) -> list[tuple[Message, int]]:
        """What it came to first, and when: one thing for each time that it ran."""
        asked = bool(self.of(CancelRequested, CancelAllRequested))
        types = EFFECTS if asked else (*EFFECTS, CancelRejected)
        pairs = zip(self.messages, self.times_us, strict=True)
        return [pair for pair in pairs if isinstance(pair[0], types)]


def check_clients(log: LogWorld, record: Sequence[Request]) -> Iterator[str]:
    """S6 for whoever asked: each answer is what the log says, and the log says no more."""
    told = _told(log)
    ends = {"{}.{}".format(*outbox(shard)): _last_cseq(log, shard) for shard in _ledgers()}
    for request in record:
        outcome = told[request.command_id]
        where = f"{request.signed.endpoint} {request.signed.payload.decode()}"
        for violation in _judge(request, outcome):
            yield f"S6: {where}: {violation}"
        for answer in request.settled():
            yield from (f"S6: {where}: {v}" for v in _judge_position(answer, outcome, ends))
    known = {request.command_id for request in record} | _sent_by_others(log)
    for command_id in told.keys() - known:
        if told[command_id].effects():
            yield f"S6: nobody asked for {command_id.hex()}, which had an effect"


def check_answered(late: Sequence[Request]) -> Iterator[str]:
    """Liveness: what is asked when nothing goes wrong any more is answered, and not with 503."""
    for request in late:
        if not request.settled():
            answers = [attempt.answer for attempt in request.attempts]
            yield f"liveness: {request.signed.payload.decode()} got {answers}"


def _judge(request: Request, told: Told) -> Iterator[str]:
    effects = told.effects()
    if len(effects) > 1:
        yield f"it had {len(effects)} effects"
    for effect, time_us in effects:
        if time_us > request.deadline_us:
            late_us = time_us - request.deadline_us
            yield f"{type(effect).__name__} came {late_us} us after its deadline"
    if effects and request.surely_absent():
        yield "refused, but it is in the log"
    if effects and told.of(CommandExpired):
        yield "said to be expired, but it ran"
    answers = {(answer.status, answer.code, _essence(answer)) for answer in request.settled()}
    if len(answers) > 1:
        yield f"the same bytes got other answers: {sorted(answers)}"
    for answer in request.settled()[:1]:
        if answer.status == FAULTED:
            yield f"the gateway met a fault: {answer.text}"
        elif len(effects) != 1:
            yield f"answered {answer}, with {len(effects)} effects in the log"
        else:
            yield from _judge_answer(request.signed.endpoint, answer, told)


def _essence(answer: Answer) -> str:
    """What must be equal whenever the same is asked: not how far the log had to be read for it."""
    if answer.status != 200:
        return answer.text
    found = json.loads(answer.text)
    return json.dumps(found["order"] if "replayed" in found else found)


def _judge_answer(endpoint: str, answer: Answer, told: Told) -> Iterator[str]:
    closes = [m for m in told.of(OrderClosed) if isinstance(m, OrderClosed)]
    if answer.status != 200:
        # All that was to be canceled may have been filled before the book heard of it.
        in_vain = endpoint == "cancel_all" and told.of(CancelAllCompleted) and not closes
        refused = in_vain or told.of(OrderRejected, CancelRejected)
        if not refused and not any(close.reason in REFUSING for close in closes):
            yield f"answered {answer}, the log says {told.messages}"
        return
    found = json.loads(answer.text)
    if endpoint == "place":
        yield from _judge_order(found, told)
    elif endpoint == "place_native":
        yield from _judge_order(found["order"], told)
    elif endpoint == "cancel":
        if [found["orderId"]] != [close.order_id for close in closes]:
            yield f"said to have ended {found['orderId']}, the log says {closes}"
    elif not found or {each["orderId"] for each in found} != {close.order_id for close in closes}:
        yield f"said to have ended {found}, the log says {closes}"


def _judge_order(found: dict[str, Any], told: Told) -> Iterator[str]:
    (accepted,) = told.of(OrderAccepted) or (None,)
    if not isinstance(accepted, OrderAccepted):
        yield f"said to be accepted, the log says {told.messages}"
        return
    names = (found["orderId"], found["clientOrderId"])
    if names != (accepted.order_id, accepted.client_order_id):
        yield f"said to be order {names}, the log says {accepted}"
    status = found.get("status")
    if status is None:
        return
    report = told.of(OrderRested, OrderClosed)[:1]
    expected = {"NEW", "PARTIALLY_FILLED"}
    for each in report:
        if isinstance(each, OrderClosed):
            # Whoever is refused is told an error, and no status.
            refused = each.reason in REFUSING
            expected = set() if refused else {_STATUS.get(each.reason, "EXPIRED")}
    if not report or status not in expected:
        yield f"said to be {status}, the log says {report}"
    yield from _judge_fills(found, told)


def _judge_fills(found: dict[str, Any], told: Told) -> Iterator[str]:
    """What was traded until the book's report; what comes later names no command."""
    fills = [m for m in told.of(FillSettled) if isinstance(m, FillSettled)]
    base = quote = 0
    for fill in fills:
        buys = fill.side is Side.BUY
        base += fill.received_amount if buys else fill.paid_amount
        quote += fill.paid_amount if buys else fill.received_amount
    sums = (_units(found["executedQty"]), _units(found["cummulativeQuoteQty"]))
    if sums != (base, quote):
        yield f"said to have traded {sums}, the log says {(base, quote)}"
    if "fills" in found:
        named = [each["tradeId"] for each in found["fills"]]
        if named != [fill.trade_id for fill in fills]:
            yield f"said to be filled by trades {named}, the log says {fills}"


def _units(text: str) -> int:
    """Smallest units of any asset here."""
    return int(Decimal(text).scaleb(DECIMALS))


_STATUS = {CloseReason.FILLED: "FILLED", CloseReason.CANCELED: "CANCELED"}


def _judge_position(answer: Answer, told: Told, ends: dict[str, int]) -> Iterator[str]:
    place, _, cseq = answer.position.partition("@")
    if not place:
        yield f"answered without a position: {answer}"
    elif not told.cseq <= int(cseq) <= ends[place]:
        yield f"answered at {answer.position}, done at {told.cseq}, the log ends at {ends[place]}"


def _told(log: LogWorld) -> defaultdict[bytes, Told]:
    told: defaultdict[bytes, Told] = defaultdict(Told)
    for shard in _ledgers():
        for _, record in first_records(log, outbox(shard)):
            for message in record.messages:
                if isinstance(message, CommandRepeated) or not isinstance(message, Outcome):
                    continue
                of_it = told[message.command_id]
                of_it.cseq = of_it.cseq or record.cseq
                of_it.messages.append(message)
                of_it.times_us.append(record.time_us)
    return told


def _ledgers() -> list[str]:
    return [f"L{number}" for number in range(LEDGERS)]


def _last_cseq(log: LogWorld, shard: str) -> int:
    return max((record.cseq for _, record in first_records(log, outbox(shard))), default=0)


def _sent_by_others(log: LogWorld) -> set[bytes]:
    """Commands that operators, or what was there before, put into the inboxes."""
    sent: set[bytes] = {b""}
    for shard in _ledgers():
        for value in log.partitions[inbox(shard)]:
            record = decode_record(value)
            if record.src != "gw":
                sent.update(getattr(message, "command_id", b"") for message in record.messages)
    return sent
