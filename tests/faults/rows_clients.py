"""Rows of clients: the gateway is killed, requests come twice, changed or late, books refuse."""

import random
import time
from concurrent.futures import ThreadPoolExecutor

from domain.orders.messages import CloseReason, OrderClosed
from schemas.record import Record, decode_record
from tests.benchmarks.percentiles import percentile
from tests.faults.rows import Run, row
from tests.faults.transit import ages_s
from tests.integration.trader import Answer, Request, Trader

REPEATED = 60
INVALID_SIGNATURE, TOO_LATE = -1022, -1021
BUSY = (0, 503)


@row("F24", "the gateway is killed with requests on their way", target_s=15.0)
def gateway_killed(run: Run) -> None:
    for _ in range(3):
        run.wait(run.rng.uniform(0.5, 1.5))
        before = run.stack.pid("gateway")
        run.fault("SIGKILL gateway")
        moment_s = time.monotonic()
        run.stack.sigkill("gateway")
        run.stack.until_restarted("gateway", before)
        run.recovered(moment_s)
    again = sum(sent.attempts > 1 for client in run.load.clients for sent in client.record)
    run.measured["sent again"] = again
    run.demand(again > 0, "some requests must have been on their way")


@row("F25", "the same bytes come again and again, changed, reordered and too late")
def requests_repeated(run: Run) -> None:
    stack = run.stack
    account = stack.add_user(USDT="1000000")
    traders = [Trader(stack.url, account) for _ in range(3)]
    run.fault(f"{REPEATED} orders, each sent three times on three connections in any order")
    signed = [_order(traders[0], f"r{number}") for number in range(REPEATED)]
    with ThreadPoolExecutor(len(traders)) as pool:
        found = list(pool.map(lambda trader: _send_all(trader, signed, run.rng.random()), traders))
    for request in signed:
        told = {str(answers[request].body) for answers in found}
        run.demand(len(told) == 1, f"the same bytes must get one answer, got {told}")
    changed = Request(signed[0].method, signed[0].path, f"x=1&{signed[0].body}", account.api_key)
    code = _persist(traders[0], changed).code
    run.demand(code == INVALID_SIGNATURE, f"changed bytes must be refused, were told {code}")
    late = _order(
        traders[0], "late", timestamp=time.time_ns() // 1_000_000 - 5_000, recvWindow=1_000
    )
    code = _persist(traders[0], late).code
    run.demand(code == TOO_LATE, f"late bytes must be refused, were told {code}")
    rows = traders[0].good("GET", "/api/v3/allOrders", symbol="BTCUSDT", limit=1_000)
    names = sorted(each["clientOrderId"] for each in rows)
    wanted = sorted(f"r{number}" for number in range(REPEATED))
    run.demand(names == wanted, f"there must be one order of each, were {names}")
    for trader in traders:
        trader.close()


def _order(trader: Trader, name: str, **more: object) -> Request:
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


def _send_all(trader: Trader, signed: list[Request], order: float) -> dict[Request, Answer]:
    shuffled = random.Random(order).sample(signed, len(signed))
    return {request: _persist(trader, request) for request in shuffled}


def _persist(trader: Trader, request: Request) -> Answer:
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
