"""Rows of clients: the gateway is killed, requests come twice, changed or late, books refuse."""

import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from domain.decider import Message
from domain.orders.messages import CloseReason, OrderClosed, PlaceOrder
from domain.protocol import CommandExpired, CommandRepeated
from schemas.record import Record, decode_record, encode_message, outside_record
from schemas.topics import inbox, outbox
from tests.benchmarks.percentiles import percentile
from tests.faults.load import IN_FLIGHT, Load, Sent
from tests.faults.losses import command_ids, messages_in
from tests.faults.rows import Run, row
from tests.faults.stack import FaultStack, until
from tests.faults.transit import ages_s
from tests.integration.trader import Answer, Request, Trader

REPEATED = 60
ORDERS = [f"r{number}" for number in range(REPEATED)]
"""What F25 sends again and again; half of them it then cancels, again and again."""

INVALID_SIGNATURE, TOO_LATE = -1022, -1021
BUSY = (0, 503)
BRIEF, SHORT_MS = "brief", 5_000
"""An order, and its window of time, which ends before the row does."""

UNDER_WAY_S = (0.003, 0.1)
"""So old is a request that most likely stands in the log, and has no answer yet."""

FOUND_S = 30.0


@row("F24", "the gateway is killed with requests on their way", target_s=15.0)
def gateway_killed(run: Run) -> None:
    """Of some it is proved that they stood in the log before, and were answered afterwards."""
    caught = 0
    for _ in range(3):
        run.wait(run.rng.uniform(0.5, 1.5))
        before = run.stack.pid("gateway")
        until(lambda: bool(_under_way(run.load, time.monotonic())), 1.0)
        run.fault("SIGKILL gateway")
        moment_s, moment_us = time.monotonic(), time.time_ns() // 1_000
        run.stack.sigkill("gateway")
        unanswered = _under_way(run.load, moment_s)
        run.stack.until_restarted("gateway", before)
        run.recovered(moment_s)
        written = _written_before(run.stack, moment_us)
        caught += len({sent.command_id for sent in unanswered} & written)
    run.measured["in the log before the kill"] = caught
    run.demand(caught > 0, "a command must have been written and not answered")
    again = sum(sent.attempts > 1 for client in run.load.clients for sent in client.record)
    run.measured["sent again"] = again
    run.demand(again > 0, "some requests must have been on their way")


def _under_way(load: Load, now_s: float) -> list[Sent]:
    """What was sent a moment ago and has no answer."""
    least_s, most_s = UNDER_WAY_S
    return [
        sent
        for client in load.clients
        for sent in client.record[-IN_FLIGHT:]
        if not sent.answered_s and least_s <= now_s - sent.sent_s <= most_s
    ]


def _written_before(stack: FaultStack, time_us: int) -> set[bytes]:
    """The ids of commands in records of ledgers' inboxes that a gateway had sent there by then."""
    return {
        command_id
        for partition in range(stack.settings.ledger_partitions)
        for found in stack.records("ledger.in", partition)
        if found.timestamp_ms <= time_us // 1_000
        for command_id in command_ids(found.value)
    }


@row("F25", "the same bytes come again and again, changed, reordered and too late")
def requests_repeated(run: Run) -> None:
    stack = run.stack
    account = stack.add_user(USDT="1000000")
    traders = [Trader(stack.url, account) for _ in range(3)]
    brief = resting_order(traders[0], BRIEF, recvWindow=SHORT_MS)
    first = persist(traders[0], brief)
    run.fault(f"{REPEATED} orders, and cancels of half, each sent thrice, in any order")
    signed = [resting_order(traders[0], name) for name in ORDERS]
    _expect_one_answer_each(run, traders, signed)
    changed = Request(signed[0].method, signed[0].path, f"x=1&{signed[0].body}", account.api_key)
    code = persist(traders[0], changed).code
    run.demand(code == INVALID_SIGNATURE, f"changed bytes must be refused, were told {code}")
    late = resting_order(
        traders[0], "late", timestamp=time.time_ns() // 1_000_000 - 5_000, recvWindow=1_000
    )
    code = persist(traders[0], late).code
    run.demand(code == TOO_LATE, f"late bytes must be refused, were told {code}")
    run.demand(first.status == 200, f"an order with a short window must be taken, was {first}")
    run.wait(SHORT_MS / 1e3)
    code = persist(traders[0], brief).code
    run.demand(code == TOO_LATE, f"executed bytes past their deadline must be, were told {code}")
    _append_late(run, account.user_id)
    cancels = {name: _cancel(traders[0], name) for name in ORDERS[: REPEATED // 2]}
    told = _expect_one_answer_each(run, traders, list(cancels.values()))
    taken = sorted(name for name, request in cancels.items() if told[request].status == 200)
    rows = traders[0].good("GET", "/api/v3/allOrders", symbol="BTCUSDT", limit=1_000)
    names = sorted(each["clientOrderId"] for each in rows)
    wanted = sorted([BRIEF, *ORDERS])
    run.demand(names == wanted, f"there must be one order of each, were {names}")
    ended = sorted(each["clientOrderId"] for each in rows if each["status"] == "CANCELED")
    run.demand(len(taken) > 0 and ended == taken, f"{taken} must be canceled, are {ended}")
    for trader in traders:
        trader.close()


def _expect_one_answer_each(
    run: Run, traders: list[Trader], signed: list[Request]
) -> dict[Request, Answer]:
    """Send all of these on each connection, in any order: the answers, the same on all."""
    with ThreadPoolExecutor(len(traders)) as pool:
        found = list(pool.map(lambda trader: _send_all(trader, signed, run.rng.random()), traders))
    for request in signed:
        told = {str(answers[request].body) for answers in found}
        run.demand(len(told) == 1, f"the same bytes must get one answer, got {told}")
    return found[0]


def _append_late(run: Run, user_id: int) -> None:
    """What only a gateway that stood still behind its checks would write: it has no effect.

    A command that was executed, again past its deadline, and one whose deadline has passed before
    it was written.
    """
    stack = run.stack
    shard = f"L{user_id % stack.settings.ledger_partitions}"
    done = next(
        each
        for found in stack.records(*inbox(shard))
        for each in messages_in(found.value)
        if isinstance(each, PlaceOrder) and (each.user_id, each.client_order_id) == (user_id, BRIEF)
    )
    late = replace(done, command_id=time.time_ns().to_bytes(16), client_order_id="never")
    value = outside_record("gw", time.time_ns() // 1_000, list(map(encode_message, (done, late))))
    stack.append(*inbox(shard), value)

    def told() -> list[Message]:
        events = stack.messages(*outbox(shard))
        mine = (each for each in events if isinstance(each, CommandRepeated | CommandExpired))
        return [each for each in mine if each.command_id in (done.command_id, late.command_id)]

    until(lambda: len(told()) > 1, FOUND_S)
    kinds = [type(each) for each in told()]
    run.demand(kinds == [CommandRepeated, CommandExpired], f"late commands led to {kinds}")


def resting_order(trader: Trader, name: str, **more: object) -> Request:
    fields: dict[str, object] = {
        "symbol": "BTCUSDT",
        "side": "BUY",
        "type": "LIMIT",
        "timeInForce": "GTC",
        "quantity": "0.0010",
        "price": "55000",
        "newClientOrderId": name,
    }
    return trader.sign("POST", "/api/v3/order", **fields, **more)


def _cancel(trader: Trader, name: str) -> Request:
    return trader.sign("DELETE", "/api/v3/order", symbol="BTCUSDT", origClientOrderId=name)


def _send_all(trader: Trader, signed: list[Request], order: float) -> dict[Request, Answer]:
    shuffled = random.Random(order).sample(signed, len(signed))
    return {request: persist(trader, request) for request in shuffled}


def persist(trader: Trader, request: Request) -> Answer:
    give_up_s = time.monotonic() + 60.0
    while (answer := trader.send(request)).status in BUSY and time.monotonic() < give_up_s:
        time.sleep(0.25)
    return answer


@row(
    "F28",
    "books refuse orders whose funds are held, and their leader is killed",
    target_s=3.0,
    kinds="refused by the book",
    at_most={"in transit p99.9 s": 5.0, "in transit longest s": 60.0},
)
def holds_released(run: Run) -> None:
    begin_us = time.time_ns() // 1_000
    run.wait(run.rng.uniform(0.0, 1.5))
    name = run.stack.leading("M0")
    run.fault(f"SIGKILL {name}, which leads the books")
    run.stack.sigkill(name)
    run.recovered()
    refusals = {CloseReason.WOULD_TAKE, CloseReason.FOK_NOT_FILLABLE, CloseReason.NO_LIQUIDITY}
    closed = [event for event in _closed(run) if event.reason in refusals]
    run.measured["refused by the book"] = len(closed)
    run.demand(len(closed) > 10, f"books must refuse more than 10 orders, were {len(closed)}")
    settings = run.stack.settings
    books = _outboxes(run, "matching.ev", settings.matching_partitions)
    ledgers = _outboxes(run, "ledger.ev", settings.ledger_partitions)
    ages = ages_s(books, ledgers, begin_us)
    run.demand(len(ages) > 0, "something must have been traded and settled")
    if ages:
        run.measured["in transit p99.9 s"] = percentile(ages, 99.9)
        run.measured["in transit longest s"] = max(ages)


def _outboxes(run: Run, topic: str, partitions: int) -> list[Record]:
    records = [raw for p in range(partitions) for raw in run.stack.records(topic, p)]
    return [decode_record(raw.value) for raw in records]


def _closed(run: Run) -> list[OrderClosed]:
    events = [event for p in (0, 1) for event in run.stack.messages("ledger.ev", p)]
    return [event for event in events if isinstance(event, OrderClosed)]
