"""Whatever is wrong with an input is told or quarantined, and the next good command is served."""

import json
import sys
import textwrap
import time
from typing import Any

import pytest

from domain.ledger.messages import CreditDeposit
from domain.matching.messages import CancelAllCompleted
from domain.orders.messages import (
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.protocol import Tick
from infra.children import spawn, stop
from infra.kafka.clients import KafkaError
from infra.ports import free_port
from schemas.record import encode_message, outside_record, record_hash
from tests.integration.trader import ORDER, Request, Trader

pytestmark = [pytest.mark.integration, pytest.mark.slow]

HOUR_US = 3_600_000_000


@pytest.fixture(autouse=True)
def then_a_good_command_is_served(trader):
    """What every test of this module ends with: the same user trades as before."""
    before = trader.balances()["USDT"]
    yield
    placed = trader.good("POST", "/api/v3/order", **ORDER)
    assert placed["status"] == "NEW"
    free, locked = trader.balances()["USDT"]
    assert (free, locked) == (before[0] - 50 * 10**8, before[1] + 50 * 10**8)
    trader.good("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"])


REFUSED = [
    ({"quantity": "NaN"}, 400, -1100),
    ({"quantity": "Infinity"}, 400, -1100),
    ({"quantity": "1e5"}, 400, -1100),
    ({"price": "1E5"}, 400, -1100),
    ({"quantity": "١"}, 400, -1100),
    ({"quantity": "-0"}, 400, -1100),
    ({"price": "-1"}, 400, -1100),
    ({"price": "+50000"}, 400, -1100),
    ({"price": "50 000"}, 400, -1100),
    ({"price": "50,000"}, 400, -1100),
    ({"quantity": "00.1"}, 400, -1100),
    ({"quantity": "0.1000000000000000001"}, 400, -1111),
    ({"quantity": "0.000000001"}, 400, -1111),
    ({"quantity": "0.000001"}, 400, -1013),
    ({"price": "50000.001"}, 400, -1013),
    ({"quantity": "0"}, 400, -1013),
    ({"quantity": str(2**62)}, 400, -1013),
    ({"quantity": str(2**80)}, 400, -1013),
    ({"price": str(2**64)}, 400, -1013),
    ({"quantity": "9" * 41}, 400, -1100),
    ({"quantity": ""}, 400, -1105),
    ({"symbol": "NOPEUSDT"}, 400, -1121),
    ({"symbol": "btcusdt"}, 400, -1100),
    ({"side": "HOLD"}, 400, -1117),
    ({"type": "DREAM"}, 400, -1116),
    ({"timeInForce": "SOON"}, 400, -1115),
    ({"type": "STOP_LOSS_LIMIT", "stopPrice": "49000"}, 400, -2010),
    ({"icebergQty": "0.0005"}, 400, -2010),
    ({"newClientOrderId": "with blanks"}, 400, -1100),
    ({"newClientOrderId": "x" * 37}, 400, -1100),
    ({"unknownParameter": "1"}, 400, -1104),
    ({"recvWindow": "60001"}, 400, -1131),
    ({"recvWindow": "soon"}, 400, -1100),
    ({"timestamp": "yesterday"}, 400, -1100),
    ({"quantity": "100"}, 400, -2010),
]


def test_each_bad_order_has_its_number(trader):
    found = []
    for fields, status, code in REFUSED:
        answer = trader.ask("POST", "/api/v3/order", **ORDER | fields)
        if (answer.status, answer.code) != (status, code) or not answer.body["msg"]:
            found.append((fields, answer.status, answer.body))
    assert not found, found
    assert trader.good("GET", "/api/v3/allOrders", symbol="BTCUSDT") == []


def test_requests_that_are_no_requests(stack, trader):
    def status_of(method: str, path: str, body: str) -> tuple[int, int]:
        answer = trader.send(Request(method, path, body, trader.account.api_key))
        return answer.status, answer.code

    assert status_of("POST", "/api/v3/order", "a=" + "x" * 2_000_000) == (413, -1101)
    assert status_of("POST", "/api/v3/order", "symbol=%zz") == (400, -1100)
    assert status_of("POST", "/api/v3/order", "symbol=%ff") == (400, -1100)
    assert status_of("POST", "/api/v3/order", "symbol=A&symbol=B") == (400, -1101)
    assert status_of("POST", "/api/v3/order", '{"symbol":["BTCUSDT"]}')[0] == 400
    assert status_of("PUT", "/api/v3/order", "")[0] in (404, 405)
    assert status_of("GET", "/api/v3/nothing", "")[0] == 404
    assert status_of("POST", "/api/v3/order", "") == (400, -1102)


def test_forged_and_expired_requests(stack, trader):
    signed = trader.sign("POST", "/api/v3/order", **ORDER)
    changed = signed.body.replace("50000", "40000")
    assert changed != signed.body
    forged = trader.send(Request(signed.method, signed.path, changed, signed.api_key))
    assert (forged.status, forged.code) == (400, -1022)
    strange = trader.send(Request(signed.method, signed.path, signed.body, "k" * 64))
    assert (strange.status, strange.code) == (401, -2015)
    now_ms = time.time_ns() // 1_000_000
    for timestamp, window in ((now_ms - 10_000, 5_000), (now_ms + 5_000, 5_000)):
        answer = trader.ask(
            "POST", "/api/v3/order", **ORDER, timestamp=timestamp, recvWindow=window
        )
        assert (answer.status, answer.code) == (400, -1021)
    assert trader.good("GET", "/api/v3/openOrders") == []


def test_a_replayed_request_has_one_effect_and_its_first_answer(trader):
    request = trader.sign("POST", "/api/v3/order", **ORDER)
    first = trader.send(request)
    assert first.status == 200
    for _ in range(3):
        again = trader.send(request)
        assert (again.status, again.body) == (200, first.body)
    (only,) = trader.good("GET", "/api/v3/openOrders", symbol="BTCUSDT")
    assert only["orderId"] == first.body["orderId"]
    cancel = trader.sign("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=first.body["orderId"])
    assert trader.send(cancel).body == trader.send(cancel).body
    assert trader.send(request).body == first.body
    assert trader.good("GET", "/api/v3/openOrders") == []


class Forger:
    """Writes what it likes into one ledger's inbox, and reads what is said of it."""

    def __init__(self, stack, account) -> None:
        self._stack = stack
        self.user_id = account.user_id
        self.partition = account.user_id % stack.settings.ledger_partitions

    def write(self, value: bytes | None, *, time_us: int = 0) -> int:
        """The offset of the record. Raises `KafkaError` where the broker refuses it."""
        reports: list = []
        producer = self._stack.producer()
        producer.produce(
            "ledger.in",
            value=value,
            partition=self.partition,
            timestamp=(time_us or time.time_ns() // 1_000) // 1_000,
            on_delivery=lambda error, message: reports.append((error, message)),
        )
        assert producer.flush(10) == 0
        ((error, message),) = reports
        if error is not None:
            raise RefusedByBroker(error)
        return message.offset()

    def notice(self, offset: int) -> dict:
        """What stands in quarantine about the record at this offset."""
        log = self._stack.log()
        found: list[dict] = []

        def look() -> bool:
            records = log.scan("dlq", 0, *log.ends("dlq", 0))
            notices = [json.loads(record.value) for record in records]
            place = ("ledger.in", self.partition, offset)
            found[:] = [
                each
                for each in notices
                if (each["topic"], each["partition"], each["offset"]) == place
            ]
            return bool(found)

        try:
            self._stack.until(look, 10.0, f"ledger.in.{self.partition}@{offset} must be in the dlq")
        finally:
            log.close()
        return found[0]

    def outside(self, source: str, *messages) -> bytes:
        """A record of an outside source, written now."""
        return outside_record(
            source, time.time_ns() // 1_000, [encode_message(each) for each in messages]
        )


class RefusedByBroker(Exception):
    def __init__(self, error: KafkaError) -> None:
        super().__init__(error.str())
        self.code = error.code()


@pytest.fixture
def forger(stack, trader):
    return Forger(stack, trader.account)


def place(user_id: int, **changes: Any) -> PlaceOrder:
    fields: dict[str, Any] = {
        "command_id": time.time_ns().to_bytes(16),
        "deadline_us": time.time_ns() // 1_000 + 60_000_000,
        "user_id": user_id,
        "market_id": 2,
        "market_revision": 0,
        "client_order_id": "raw",
        "side": Side.BUY,
        "order_type": OrderType.LIMIT,
        "time_in_force": TimeInForce.GTC,
        "price_ticks": 5_000_000,
        "lots": 100,
        "quote_amount": 0,
        "stop_price_ticks": 0,
        "iceberg_lots": 0,
        "self_trade_prevention": SelfTradePrevention.NONE,
    }
    return PlaceOrder(**fields | changes)


def test_undecodable_records_are_quarantined(forger):
    good = forger.outside("clock", Tick())
    unreadable = {
        "nothing": None,
        "empty": b"",
        "noise": b"\x00\x01\x02",
        "another schema": b"\xc3\x01" + bytes(8) + good[10:],
        "cut short": good[:-1],
        "too long": good + b"\x00",
        "large": b"\xff" * 1_000_000,
    }
    for value in unreadable.values():
        notice = forger.notice(forger.write(value))
        assert notice["message_index"] == -1
        assert notice["why"]
        assert notice["record_hash"] == record_hash(value or b"").hex()


def test_messages_from_who_may_not_send_them_are_quarantined(stack, forger):
    deposit = CreditDeposit(
        command_id=time.time_ns().to_bytes(16),
        deadline_us=time.time_ns() // 1_000 + 60_000_000,
        user_id=forger.user_id,
        asset_id=1,
        amount=10**8,
        reference="forged",
    )
    foreign = CancelAllCompleted(bytes(16), forger.user_id, 2, [])
    for source, message in (("gw", deposit), ("clock", deposit), ("gw", foreign), ("gw", Tick())):
        notice = forger.notice(forger.write(forger.outside(source, message)))
        assert notice["message_index"] == 0, notice
    notice = forger.notice(forger.write(forger.outside("stranger", place(forger.user_id))))
    assert "stranger" in notice["why"]
    elsewhere = forger.outside("gw", place(forger.user_id + 1))
    assert forger.notice(forger.write(elsewhere))["message_index"] == 0


def test_good_messages_of_a_record_stand_beside_quarantined_ones(stack, trader, forger):
    """Poison is judged per message."""
    record = forger.outside(
        "gw", Tick(), place(forger.user_id, market_id=stack.market_id("BTCUSDT"))
    )
    assert forger.notice(forger.write(record))["message_index"] == 0
    found = trader.good("GET", "/api/v3/order", symbol="BTCUSDT", origClientOrderId="raw")
    assert found["status"] == "NEW"
    trader.good("DELETE", "/api/v3/openOrders", symbol="BTCUSDT")


def test_amounts_beyond_the_greatest_are_refused(stack, trader, forger):
    market_id = stack.market_id("BTCUSDT")
    beyond = [
        place(forger.user_id, market_id=market_id, lots=2**62 + 1),
        place(forger.user_id, market_id=market_id, lots=2**40, price_ticks=2**40),
        place(forger.user_id, market_id=market_id, lots=-1),
        place(forger.user_id, market_id=market_id, price_ticks=-(2**62)),
    ]
    forger.write(forger.outside("gw", *beyond))
    assert trader.good("GET", "/api/v3/allOrders", symbol="BTCUSDT") == []
    held = trader.balances()["USDT"][0]
    assert held == 1_000_000 * 10**8
    for amount in ("92233720368.54775808", "46116860184.27387905", "99999999999999"):
        done = stack.command(
            "admin",
            "deposit",
            *("--user-id", str(forger.user_id)),
            *("--asset", "USDT"),
            *("--amount", amount),
            *("--reference", f"beyond-{amount}"),
        )
        assert done.returncode == 1, done.stdout
        assert done.stderr.strip(), "a refusal says why"
    assert trader.balances()["USDT"][0] == held


def test_the_broker_refuses_a_clock_that_runs_ahead(forger):
    ahead = time.time_ns() // 1_000 + HOUR_US
    with pytest.raises(RefusedByBroker) as refusal:
        forger.write(outside_record("gw", ahead, [encode_message(Tick())]), time_us=ahead)
    assert refusal.value.code == KafkaError.INVALID_TIMESTAMP


FAST_GATEWAY = f"""
    import sys
    from infra.clock import SystemClock
    right = SystemClock.now_us
    SystemClock.now_us = lambda clock: right(clock) + {HOUR_US}
    import logbourse
    sys.exit(logbourse.main(["serve", "--roles", "gateway"]))
"""


def test_a_gateway_whose_clock_runs_ahead_serves_nobody(stack, trader):
    port = free_port("127.0.0.1", stack.settings.public_port + 70)
    environment = {
        "LOGBOURSE_DATA_DIR": str(stack.data_dir),
        "LOGBOURSE_PUBLIC_PORT": str(port),
        "LOGBOURSE_METRICS_PORT": str(port + 1),
    }
    argv = (sys.executable, "-c", textwrap.dedent(FAST_GATEWAY))
    gateway = spawn(argv, stack.data_dir / "logs" / "fast-gateway.log", environment)
    fast = Trader(f"http://127.0.0.1:{port}", trader.account)
    try:
        stack.until(
            lambda: fast.ask("GET", "/health/live").status == 200, 20.0, "the gateway must live"
        )
        hour_ahead_ms = (time.time_ns() // 1_000 + HOUR_US) // 1_000
        request = fast.sign("POST", "/api/v3/order", **ORDER, timestamp=hour_ahead_ms)
        answer = fast.send(request)
        assert (answer.status, answer.code) == (503, -1008)
        assert fast.send(fast.sign("GET", "/health/ready")).status == 503
        assert trader.good("GET", "/api/v3/openOrders") == []
    finally:
        fast.close()
        stop(gateway, 10.0)
