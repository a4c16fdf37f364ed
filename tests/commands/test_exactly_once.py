"""Repeated, late, lost and overloaded commands: one effect, and an honest answer."""

import asyncio
from dataclasses import replace

import pytest
import pytest_asyncio

from commands import execution
from commands.publisher import MAX_WAITING, Publisher
from domain.decider import Command
from domain.orders.messages import (
    CancelAllOrders,
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from infra.appender import AppendUnknown, Done
from infra.http.errors import ApiError
from schemas.record import decode_record
from tests.commands.fake_exchange import START_US, FakeClock
from tests.commands.world import LIMIT, trading_world

UNKNOWN = (
    "Timeout waiting for response from backend server. "
    "Send status unknown; execution status unknown. "
    "Unknown error, please check your request or try again later."
)
OVERLOADED = (
    "Server is currently overloaded with other requests. Please try again in a few minutes."
)


@pytest_asyncio.fixture
async def world(tmp_path):
    async with trading_world(tmp_path, timeout_s=0.5) as opened:
        yield opened


@pytest_asyncio.fixture
async def bob(world):
    return await world.add_user("bob", BTC="10", USDT="1000000")


async def test_the_same_bytes_get_the_original_result(world, alice, bob):
    await alice.limit("SELL", "60000", "0.1")
    await alice.limit("SELL", "60001", "0.1")
    body = bob.signed(**LIMIT | {"price": "60001", "quantity": "0.2"})
    first = await bob.send("POST", "/api/v3/order", body=body)
    world.exchange.clock.us += 2_000_000
    world.exchange.tick()
    for _ in range(3):
        again = await bob.send("POST", "/api/v3/order", body=body)
        assert again[:2] == first[:2]
        assert again[2]["X-Log-Position"] == first[2]["X-Log-Position"]
    assert len(first[1]["fills"]) == 2


async def test_a_repeated_refusal_is_the_original_refusal(world, alice):
    body = alice.signed(**LIMIT | {"quantity": "90"})
    first = await alice.send("POST", "/api/v3/order", body=body)
    reference = "late"
    await world.operate(
        "deposit", userId=alice.user_id, asset="USDT", amount="8000000", reference=reference
    )
    again = await alice.send("POST", "/api/v3/order", body=body)
    assert first[:2] == again[:2]
    assert again[0] == 400


async def test_the_original_is_found_behind_records_that_a_restart_repeated(world, alice):
    shard = f"L{alice.user_id % 2}"
    for offset in (0, 1, 2, 3, 2, 3):
        world.exchange.repeat_record(shard, offset)
    for number in range(5):
        await alice.limit("BUY", "59000", f"0.0{number + 1}")
    body = alice.signed(**LIMIT)
    first = await alice.send("POST", "/api/v3/order", body=body)
    for number in range(5):
        await alice.limit("BUY", "58000", f"0.0{number + 1}")
    again = await alice.send("POST", "/api/v3/order", body=body)
    assert again[:2] == first[:2]


async def test_equal_requests_at_once_are_one_command(world, alice):
    body = alice.signed(**LIMIT)
    sent = [alice.send("POST", "/api/v3/order", body=body) for _ in range(5)]
    answers = await asyncio.gather(*sent)
    assert all(answer[:2] == answers[0][:2] for answer in answers)
    assert answers[0][0] == 200


async def test_a_replay_after_the_deadline_is_refused(world, alice):
    body = alice.signed(**LIMIT)
    await alice.send("POST", "/api/v3/order", body=body)
    world.exchange.clock.us += 5_001_000
    world.exchange.tick()
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body)
    assert (status, found["code"]) == (400, -1021)


async def test_a_command_that_comes_too_late_in_log_time_is_expired(world, alice):
    body = alice.signed(**LIMIT, recvWindow=100)
    world.exchange.clock.us += 1_000_000
    world.exchange.tick()
    world.exchange.clock.us -= 1_000_000
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body)
    msg = "Timestamp for this request is outside of the recvWindow."
    assert (status, found) == (400, {"code": -1021, "msg": msg})


async def test_an_outcome_that_does_not_come_is_unknown_and_found_later(world, alice):
    world.exchange.held = []
    body = alice.signed(**LIMIT, newClientOrderId="lost-1")
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body)
    assert (status, found) == (503, {"code": -1007, "msg": UNKNOWN})
    world.exchange.release()
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body)
    assert (status, found["clientOrderId"]) == (200, "lost-1")
    status, found, _ = await alice.send(
        "DELETE", "/api/v3/order", alice.signed(symbol="BTCUSDT", origClientOrderId="lost-1")
    )
    assert status == 200


async def test_commands_that_wait_share_a_record(world, alice):
    before = len(world.exchange.records_in)
    orders = [alice.order(**LIMIT | {"quantity": f"0.{number:03}"}) for number in range(1, 41)]
    answers = await asyncio.gather(*orders)
    assert {status for status, _ in answers} == {200}
    records = world.exchange.records_in[before:]
    assert sum(len(record.messages) for _, record, _ in records) == 40
    assert len(records) < 40


async def test_a_lagging_ledger_is_overloaded_and_the_gateway_unready(world, alice):
    world.exchange.clock.us += 3_000_001
    status, found = await alice.order(**LIMIT)
    assert (status, found) == (503, {"code": -1008, "msg": OVERLOADED})
    answer = await world.gateway.get("/health/ready")
    assert answer.status == 503
    assert f"L{alice.user_id % 2} lags" in (await answer.json())["missing"]
    world.exchange.tick()
    await world.until_missing([])
    await alice.limit("BUY", "59000", "0.1")
    assert (await world.gateway.get("/health/live")).status == 200


async def test_a_clock_that_was_set_back_is_named_until_it_has_caught_up(world, alice):
    world.exchange.tick()
    world.exchange.clock.us -= 600_000_000
    status, found = await alice.order(**LIMIT)
    assert (status, found["code"]) == (400, -1021), "it is past its deadline in log time"
    shards = ("A0", "A1", "L0", "L1", "M0", "M1")
    ready = await world.gateway.get("/health/ready")
    assert (ready.status, await ready.json()) == (
        200,
        {"status": "ready", "ahead_s": dict.fromkeys(shards, 600)},
    )
    world.exchange.clock.us += 596_000_000
    ready = await world.gateway.get("/health/ready")
    assert await ready.json() == {"status": "ready"}
    await alice.limit("BUY", "59000", "0.1")


async def test_a_clock_that_the_broker_refuses_makes_the_gateway_unready(world, alice):
    world.appender.refusing = True
    status, found = await alice.order(**LIMIT)
    assert (status, found["code"]) == (503, -1008)
    ready = await world.gateway.get("/health/ready")
    assert (await ready.json())["missing"] == ["the log refuses records"]
    world.appender.refusing = False
    await alice.limit("BUY", "59000", "0.2")
    assert (await world.gateway.get("/health/ready")).status == 200


class SlowAppender:
    """Keeps what it gets until the test lets it go."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.done: list[Done] = []

    def append(self, topic, partition, value, time_us, done) -> None:
        self.values.append(value)
        self.done.append(done)


def command(number: int, size: int = 0, deadline_us: int = START_US) -> PlaceOrder:
    return PlaceOrder(
        command_id=number.to_bytes(16, "big"),
        deadline_us=deadline_us,
        user_id=1,
        market_id=1,
        market_revision=0,
        client_order_id="x" * size,
        side=Side.BUY,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=1,
        lots=1,
        quote_amount=0,
        stop_price_ticks=0,
        iceberg_lots=0,
        self_trade_prevention=SelfTradePrevention.NONE,
    )


async def submit(publisher, commands):
    failures: list[ApiError] = []
    for each in commands:
        publisher.submit("L0", [each], each.deadline_us, failures.append)
    await asyncio.sleep(0)
    return failures


async def test_records_hold_at_most_500_commands_and_64_kib():
    appender = SlowAppender()
    publisher = Publisher(appender, FakeClock(), "gw")
    small = [CancelAllOrders(n.to_bytes(16, "big"), START_US, 1, 1) for n in range(1_100)]
    await submit(publisher, small)
    large = [command(n, size=3_000) for n in range(30)]
    await submit(publisher, large)
    while appender.done:
        appender.done.pop()(None)
    records = [decode_record(value) for value in appender.values]
    messages = [message for record in records for message in record.messages]
    ids = [message.command_id for message in messages if isinstance(message, Command)]
    assert ids == [each.command_id for each in (*small, *large)]
    assert [len(record.messages) for record in records][:2] == [500, 500]
    assert len(records) == 4
    assert max(len(value) for value in appender.values) <= 64 * 1024


async def test_what_cannot_be_sent_before_its_deadline_is_dropped():
    appender, clock = SlowAppender(), FakeClock()
    publisher = Publisher(appender, clock, "gw")
    failures = await submit(publisher, [command(1)])
    failures += await submit(publisher, [command(2), command(3, deadline_us=START_US + 10)])
    clock.us += 5
    appender.done.pop()(None)
    assert len(appender.values) == 2
    assert failures == []
    clock.us += 10
    failures = await submit(publisher, [command(4, deadline_us=START_US)])
    appender.done.pop()(None)
    assert [failure.code for failure in failures] == [-1021]
    assert len(appender.values) == 2


async def test_an_unknown_fate_leaves_commands_waiting():
    appender = SlowAppender()
    publisher = Publisher(appender, FakeClock(), "gw")
    failures = await submit(publisher, [command(1)])
    appender.done.pop()(AppendUnknown("timed out"))
    assert failures == []
    assert publisher.is_ready()


async def test_the_queue_is_bounded():
    publisher = Publisher(SlowAppender(), FakeClock(), "gw")
    one = CancelAllOrders(b"\0" * 16, START_US, 1, 1)
    await submit(publisher, [one] * MAX_WAITING)
    with pytest.raises(ApiError) as caught:
        await submit(publisher, [one] * 2_000)
    assert (caught.value.status, caught.value.code) == (503, -1008)


async def test_the_last_fifth_of_the_queue_takes_cancels_but_no_orders():
    publisher = Publisher(SlowAppender(), FakeClock(), "gw")
    # The first is taken at once, and is on its way.
    await submit(publisher, [command(0)])
    await submit(publisher, [command(n) for n in range(MAX_WAITING * 4 // 5)])
    with pytest.raises(ApiError) as caught:
        await submit(publisher, [command(1)])
    assert (caught.value.status, caught.value.code) == (503, -1008)
    cancel = CancelAllOrders(b"\0" * 16, START_US, 1, 1)
    await submit(publisher, [cancel] * (MAX_WAITING // 5))
    with pytest.raises(ApiError):
        await submit(publisher, [cancel])


async def test_commands_without_outcome_are_bounded_too(world, alice, monkeypatch):
    monkeypatch.setattr(execution, "MAX_PENDING", 5)
    placed = await alice.limit("BUY", "59000", "0.1", newClientOrderId="open")
    world.exchange.held = []
    sent = [
        asyncio.create_task(alice.order(**LIMIT | {"quantity": f"0.{n}"})) for n in (2, 3, 4, 5)
    ]
    await world.until_held(4)
    for quantity in ("0.6", "0.7"):
        refused = await alice.order(**LIMIT | {"quantity": quantity})
        assert refused == (503, {"code": -1008, "msg": OVERLOADED})
    query = alice.signed(symbol="BTCUSDT", origClientOrderId="open")
    cancel = asyncio.create_task(alice.send("DELETE", "/api/v3/order", query))
    await world.until_held(5)
    world.exchange.release()
    assert [status for status, _ in await asyncio.gather(*sent)] == [200] * 4
    assert (await cancel)[1]["orderId"] == placed["orderId"]
    assert (await alice.order(**LIMIT | {"quantity": "0.8"}))[0] == 200


async def test_nothing_overtakes_and_what_was_sent_makes_room():
    appender = SlowAppender()
    publisher = Publisher(appender, FakeClock(), "gw")
    sent: list[Command] = [command(0)]
    await submit(publisher, sent)
    for n in range(1, 1_200, 2):
        pair = [command(n), CancelAllOrders((n + 1).to_bytes(16, "big"), START_US, 1, 1)]
        await submit(publisher, pair)
        sent += pair
    while appender.done:
        appender.done.pop()(None)
    messages = [m for value in appender.values for m in decode_record(value).messages]
    assert [m.command_id for m in messages if isinstance(m, Command)] == [
        each.command_id for each in sent
    ]
    await submit(publisher, [command(n) for n in range(MAX_WAITING * 4 // 5)])


async def test_messages_of_one_request_stand_in_one_record():
    appender = SlowAppender()
    publisher = Publisher(appender, FakeClock(), "gw")
    failures: list[ApiError] = []
    for first in range(0, 700, 70):
        together = [command(first + n) for n in range(70)]
        publisher.submit("L0", together, START_US, failures.append)
    await asyncio.sleep(0)
    while appender.done:
        appender.done.pop()(None)
    counts = [len(decode_record(value).messages) for value in appender.values]
    assert counts == [490, 210]
    assert failures == []


async def test_an_original_that_cannot_be_read_is_unknown_and_harms_nobody(world, alice):
    body = alice.signed(**LIMIT)
    first = await alice.send("POST", "/api/v3/order", body=body)
    outbox_place = ("ledger.ev", alice.user_id % 2)
    kept = world.exchange.topics[outbox_place]
    damaged = [replace(stored, value=b"no record") for stored in kept]
    world.exchange.topics[outbox_place] = damaged
    status, found, _ = await alice.send("POST", "/api/v3/order", body=body)
    assert (status, found["code"]) == (503, -1007)
    world.exchange.topics[outbox_place] = kept + damaged[len(kept) :]
    again = await alice.send("POST", "/api/v3/order", body=body)
    assert again[:2] == first[:2]
