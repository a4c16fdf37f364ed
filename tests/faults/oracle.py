"""After a run: the client's record against the log and the API, the audit, and the views."""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.decider import Message
from domain.orders.messages import (
    CancelRejected,
    CancelRequested,
    CloseReason,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
)
from domain.protocol import CommandExpired, CommandFaulted
from schemas.record import decode_record
from schemas.topics import inbox, outbox
from streams.audit.checks import TITLES
from tests.faults.load import SYMBOLS, Load, Sent
from tests.faults.losses import Loss, command_ids, read_loss
from tests.faults.stack import SHARDS, FaultStack
from tests.faults.told import Ends, Taken, canceled_otherwise, placed_otherwise, taken
from tests.faults.views import VIEWS_S, views_differ
from tests.integration.trader import Answer, Request, Trader
from tests.integration.witness import Entry, Findings, Record
from tests.oracles import naive_views

COMMAND_S = 600.0
TOLD = 5
LATE_ASKED = 5
"""The API is asked for so many of a client's orders that came too late; the log is, for all."""
REFUSED_BY_THE_BOOK = {
    (reason.name, 0, 0) for reason in (CloseReason.WOULD_TAKE, CloseReason.MARKET_HALTED)
}
"""What becomes of an accepted order whose client is told that it was refused."""
UNCHECKED = {"L3", "S4"}
"""What an audit may have checked nothing of: there are no wallets, and not always snapshots."""

CANCEL_REFUSED_BY_THE_BOOK = [CancelRequested.__name__, CancelRejected.__name__]
NO_REQUEST = Request("POST", "/ws-api/v3", "", "")

Effects = Mapping[bytes, Sequence[tuple[int, Message]]]


@dataclass(slots=True)
class Verdict:
    """What was found wrong, a sentence each; records that were written more than once.

    `gone`: how much of what was acknowledged a recovery had to leave out.
    """

    violations: list[str] = field(default_factory=list)
    duplicates: int = 0
    gone: int = 0

    def note(self, wrong: Iterable[str]) -> None:
        """The first few of them."""
        found = list(wrong)
        self.violations += found[:TOLD]
        if len(found) > TOLD:
            self.violations.append(f"… and {len(found) - TOLD} more like these")


@dataclass(slots=True)
class _Log:
    """The outboxes of ledgers without repetitions, and all commands in their inboxes.

    `faulted` is what the outboxes of the other families say of commands that could not be planned.
    """

    events: list[tuple[int, Message]] = field(default_factory=list)
    commands: set[bytes] = field(default_factory=set)
    faulted: list[Message] = field(default_factory=list)
    duplicates: int = 0


def judge(
    stack: FaultStack,
    load: Load,
    funds: Mapping[str, str],
    *,
    may_lose: Collection[str] | None = None,
    reopened_s: float = 0.0,
    forged: Collection[str] = (),
    faulty: Collection[int] = (),
) -> Verdict:
    """The set Z, once the load has ended and the stack is whole again.

    `may_lose` names partitions whose files were cut short: then what was acknowledged before
    `reopened_s` may be gone as far as a recovery explains it, and what the book did with the rest
    may be another thing. Without a recovery nothing may. Of positions that were `forged` the audit
    must say so, and of nothing else. Only orders of `faulty` markets may have faulted.
    """
    verdict = Verdict()
    log = _read(stack)
    verdict.duplicates = log.duplicates
    loss = None if may_lose is None else read_loss(stack.data_dir, may_lose, reopened_s)
    effects = effects_of(log.events)
    record = [sent for client in load.clients for sent in client.record]
    verdict.note(_against_record(log, effects, load, record, loss))
    if loss is not None:
        verdict.gone = len(gone(record, effects))
    verdict.note(faults((*(event for _, event in log.events), *log.faulted), faulty))
    verdict.note(_audited(stack, forged))
    verdict.note(views_differ(stack, log.events))
    if loss is None:
        verdict.note(_clients_differ(stack, load, funds, effects))
    return verdict


def effects_of(events: Iterable[tuple[int, Message]]) -> Effects:
    """What became of each command: (log time, first words of the ledger)."""
    kinds = (
        *(OrderAccepted, OrderRejected, CancelRequested, CancelRejected),
        *(CommandExpired, CommandFaulted),
    )
    found: dict[bytes, list[tuple[int, Message]]] = defaultdict(list)
    for time_us, event in events:
        if isinstance(event, kinds):
            found[event.command_id].append((time_us, event))
    return found


def compare(
    record: Sequence[Sent],
    effects: Effects,
    orders: Ends,
    loss: Loss | None = None,
    took: Mapping[int, Taken] | None = None,
) -> Iterable[str]:
    """Each command once at most, as its client was told, and none after its deadline.

    `orders` are as `naive_views.orders` tells them: an order that the book refused was accepted
    by its ledger before, and ended without a fill; `took` says what each met as it was placed.
    What a `loss` explains may be gone, or another thing.
    """
    for sent in record:
        found = effects.get(sent.command_id, ())
        done = [(at, e) for at, e in found if isinstance(e, OrderAccepted | CancelRequested)]
        name = f"{sent.client_order_id or f'cancel of {sent.order_id}'} of client {sent.client}"
        kinds = [type(event).__name__ for _, event in found]
        if len(kinds) > 1 and kinds != CANCEL_REFUSED_BY_THE_BOOK:
            yield f"{name} has {len(kinds)} outcomes: {kinds}"
        if any(at > sent.deadline_us for at, _ in done):
            yield f"{name} took effect after its deadline"
        before = loss if loss is not None and loss.may_concern(sent) else None
        if before is not None and sent.acknowledged and not _is_as_told(sent, found):
            yield from before.unexplained(sent, name, again=bool(found))
        elif sent.acknowledged and not done:
            yield f"{name} was acknowledged and is not in the log"
        elif sent.only_late and done:
            yield f"{name} was told at its only attempt that it came too late, and it ran"
        elif before is not None and before.explains_another_end(sent):
            continue
        elif sent.places and done:
            yield from _order_differs(name, sent, done[0][1], orders, took or {})
        elif done:
            yield from _cancel_differs(name, sent, kinds, orders)
    if loss is not None:
        yield from loss.miscounted(gone(record, effects))


def gone(record: Iterable[Sent], effects: Effects) -> list[Sent]:
    """What was acknowledged, and the log does not have as its client was told."""
    return [
        sent
        for sent in record
        if sent.acknowledged and not _is_as_told(sent, effects.get(sent.command_id, ()))
    ]


def faults(events: Iterable[Message], faulty: Collection[int]) -> Iterable[str]:
    """What the log says of commands that could not be planned, but for orders of `faulty` markets.

    That of an order comes from its book, and again with its end from its ledger.
    """
    markets: dict[bytes, int] = {}
    for event in events:
        if isinstance(event, OrderAccepted):
            markets[event.command_id] = event.market_id
        elif isinstance(event, CommandFaulted):
            if markets.get(event.command_id) not in faulty:
                yield f"a command has faulted: {event}"
        elif (
            isinstance(event, OrderClosed)
            and event.reason is CloseReason.FAULTED
            and event.market_id not in faulty
        ):
            yield f"an order has faulted: {event}"


def _is_as_told(sent: Sent, found: Sequence[tuple[int, Message]]) -> bool:
    if not sent.places:
        return any(isinstance(event, CancelRequested) for _, event in found)
    accepted = (event for _, event in found if isinstance(event, OrderAccepted))
    return any(event.order_id == sent.result["orderId"] for event in accepted)


def _order_differs(
    name: str, sent: Sent, event: Message, orders: Ends, took: Mapping[int, Taken]
) -> Iterable[str]:
    """What is wrong with an order that the log has accepted."""
    if not isinstance(event, OrderAccepted):
        yield f"{name} is an order, the log has {event}"
    elif sent.acknowledged and event.order_id != sent.result["orderId"]:
        yield f"{name} was acknowledged as {sent.result['orderId']}, the log has {event}"
    elif sent.acknowledged:
        yield from placed_otherwise(name, sent, orders, took)
    elif sent.refused and orders[event.order_id] not in REFUSED_BY_THE_BOOK:
        yield f"{name} was refused with {sent.code}, in the log it is {orders[event.order_id]}"


def _cancel_differs(name: str, sent: Sent, kinds: Sequence[str], orders: Ends) -> Iterable[str]:
    """What is wrong with a cancel that its ledger has passed on to the book.

    The book answers it once: by the end of the order, or with a refusal, since the order had ended
    otherwise.
    """
    was_refused = CancelRejected.__name__ in kinds
    if sent.acknowledged and was_refused:
        yield f"{name} was acknowledged, the log has {CancelRejected.__name__}"
    elif sent.acknowledged:
        yield from canceled_otherwise(name, sent, orders)
    elif sent.refused and not was_refused:
        end = orders.get(sent.order_id)
        yield f"{name} was refused with {sent.code}, by nobody in the log: its order is {end}"


def _against_record(
    log: _Log, effects: Effects, load: Load, record: Sequence[Sent], loss: Loss | None
) -> Iterable[str]:
    orders, took = naive_views.orders(log.events), taken(log.events)
    yield from compare(record, effects, orders, loss, took)
    users = {client.account.user_id for client in load.clients}
    asked = {sent.command_id for sent in record}
    yield from unasked((event for _, event in log.events), users, asked, log.commands)


def unasked(
    events: Iterable[Message], users: set[int], asked: set[bytes], commands: set[bytes]
) -> Iterable[str]:
    """Effects for these users that none of them has asked for, or that have no command."""
    for event in events:
        if isinstance(event, OrderAccepted | CancelRequested) and event.user_id in users:
            if event.command_id not in asked:
                yield f"nobody asked for {event}"
            if event.command_id not in commands:
                yield f"the log has no command for {event}"


def _read(stack: FaultStack) -> _Log:
    found = _Log()
    for shard in SHARDS:
        last = 0
        for raw in stack.records(*outbox(shard)):
            record = decode_record(raw.value)
            is_again = record.cseq <= last
            last = max(last, record.cseq)
            if shard[0] != "L":
                told = () if is_again else record.messages
                found.faulted += [event for event in told if isinstance(event, CommandFaulted)]
            elif is_again:
                found.duplicates += 1
            else:
                found.events += [(record.time_us, event) for event in record.messages]
        if shard[0] == "L":
            for raw in stack.records(*inbox(shard)):
                found.commands |= command_ids(raw.value)
    return found


def _audited(stack: FaultStack, forged: Collection[str]) -> Iterable[str]:
    """What `logbourse audit` finds, S3 (the replay) and S4 (snapshots) among it."""
    folder = str(stack.settings.snapshots_dir)
    ends, kept = stack.ends_of_inboxes(), sum(len(stack.snapshots(shard)) for shard in SHARDS)
    done = stack.command("audit", "--json", "--snapshots", folder, timeout_s=COMMAND_S)
    try:
        told = json.loads(done.stdout)
    except ValueError:
        yield f"audit must judge, ended with {done.returncode}: {done.stderr[-500:]}"
        return
    yield from unsound(told, forged, stack.spoilt)
    yield from unchecked(told, ends, kept)
    if bool(done.returncode) is told["sound"]:
        yield f"audit ended with {done.returncode}, and says sound: {told['sound']}"


def unsound(
    told: Mapping[str, Any], forged: Collection[str], spoilt: Collection[str]
) -> Iterable[str]:
    """What an audit found, beside what is forged, and what is forged and it did not find.

    Snapshots that a row has `spoilt` may be found, until newer ones have taken their place.
    """
    words = told["violations"]
    excused = (*forged, *spoilt)
    others = [each for each in words if not any(f" {name}: " in each for name in excused)]
    broken = {id for id, each in told["invariants"].items() if each["violated"]}
    expected = ({"S3"} if forged else set()) | ({"S4"} if spoilt else set())
    if others or broken - expected:
        yield f"audit is not sound: {others[:3]} {sorted(broken)}"
    for position in forged:
        if not any(f" {position}: " in each for each in words):
            yield f"audit must name {position}, which is forged"


def unchecked(told: Mapping[str, Any], ends: Mapping[str, int], kept: int) -> Iterable[str]:
    """What an audit has not looked at, though it was there when it began.

    That is a load of trades on all markets, inboxes with these `ends` by shard, and `kept`
    snapshots, some of which may be too new for it.
    """
    asked = TITLES.keys() - UNCHECKED
    blind = sorted(id for id in asked if not told["invariants"].get(id, {}).get("checked"))
    if blind:
        yield f"audit has checked nothing of {', '.join(blind)}"
    if kept and not sum((told["snapshots"] or {}).values()):
        yield f"audit has looked at no snapshot, {kept} are kept"
    short = {shard: end for shard, end in ends.items() if told["cut"].get(shard, 0) < end}
    if short:
        yield f"audit must look at inboxes before {short}, has before {told['cut']}"


def _clients_differ(
    stack: FaultStack, load: Load, funds: Mapping[str, str], effects: Effects
) -> Iterable[str]:
    """What the API tells each client in the end, beside what the client wrote down."""
    units = {asset: int(amount) * 10**8 for asset, amount in funds.items()}
    for client in load.clients:
        trader = Trader(stack.url, client.account)
        # Views may lag on a busy machine; what they tell in the end is what is judged.
        trader.patience_s = VIEWS_S
        watched = Watched(trader, _as_record(client.record, effects))
        try:
            Findings(watched, SYMBOLS).judge(units)
        except AssertionError as wrong:
            yield f"client {client.number}: {str(wrong)[:500]}"
        finally:
            trader.close()


@dataclass(slots=True)
class Watched:
    """A client as `Findings` wants it."""

    trader: Trader
    record: Record


def _as_record(record: Sequence[Sent], effects: Effects) -> Record:
    found = Record()
    late = 0
    for sent in record:
        late += sent.only_late
        if sent.only_late and late > LATE_ASKED:
            continue
        if sent.places:
            error = {"code": sent.code} if sent.code else sent.result
            # What the book refuses exists, as rejected: `Findings` asks for it as for the unknown.
            exists = any(isinstance(e, OrderAccepted) for _, e in effects.get(sent.command_id, ()))
            answer = None if sent.refused and exists else Answer(sent.status, error, {})
            found.placed[sent.client_order_id] = Entry(
                sent.symbol, sent.client_order_id, NO_REQUEST, sent.attempts, answer
            )
        elif sent.acknowledged:
            found.canceled.add(sent.order_id)
    return found
