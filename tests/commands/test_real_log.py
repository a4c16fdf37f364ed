"""Order entry on real Kafka with real shards: answers, repetition, and a clock that is wrong."""

import asyncio
import os
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from aiohttp.test_utils import TestClient, TestServer

from commands.genesis import write_genesis
from commands.serve import build_gateway_app, build_operator_app
from commands.write_side import open_write_side
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS
from infra.appender import KafkaAppender
from infra.clock import SystemClock
from infra.kafka import KafkaLog, outside_producer
from infra.keys import open_keys
from infra.settings import to_environment
from schemas.topics import shards
from streams.topics import prepare
from tests.commands.world import MARKET, TOKEN, World

pytestmark = [pytest.mark.integration, pytest.mark.slow]


class ShiftedClock(SystemClock):
    """The machine's clock, wrong by `shift_us`."""

    shift_us = 0

    def now_us(self) -> int:
        return super().now_us() + self.shift_us


class RealWorld(World):
    """The clients' view of it; timestamps come from the machine's clock."""

    @property
    def now_ms(self) -> int:
        return SystemClock().now_us() // 1_000


@pytest.fixture(scope="module")
def exchange(kafka, tmp_path_factory):
    """Settings of an exchange whose shards run in a process of their own."""
    settings = replace(kafka, data_dir=tmp_path_factory.mktemp("exchange"))
    prepare(settings, create=True)
    log = KafkaLog(settings, outside=True)
    for expected in (6, 0):
        written = write_genesis(
            log,
            exchange="test",
            ledger_partitions=2,
            matching_partitions=2,
            limits=DEFAULT_LIMITS,
            fee_tiers=[FeeTier(0, 1_000, 1_000)],
            now_us=SystemClock().now_us(),
        )
        assert len(written) == expected
    log.close()
    command = [sys.executable, "logbourse.py", "shard", *shards(2, 2)]
    with subprocess.Popen(command, env=os.environ | to_environment(settings)) as process:
        yield settings
        process.terminate()


@asynccontextmanager
async def served(settings, clock):
    failures: list[Exception] = []
    producer = outside_producer(settings, message_timeout_ms=4_000)
    appender = KafkaAppender(producer, failures.append)
    appender.start()
    side = await open_write_side(
        settings,
        lambda: KafkaLog(settings, outside=True),
        appender,
        clock,
        failures.append,
        open_matching=lambda: KafkaLog(settings, outside=True, gather_ms=100),
    )
    keys = open_keys(settings.key_file)
    gateway = TestClient(TestServer(build_gateway_app(side, keys, clock, None)))
    admin = TestClient(TestServer(build_operator_app(side, keys, clock, TOKEN)))
    await gateway.start_server()
    await admin.start_server()
    try:
        await until_ready(gateway)
        yield RealWorld(None, appender, side, gateway, admin)
    finally:
        await gateway.close()
        await admin.close()
        await side.stop()
        await appender.stop(5)
    assert failures == []


async def until_ready(gateway, timeout_s=30.0):
    give_up_s = time.monotonic() + timeout_s
    while (answer := await gateway.get("/health/ready")).status != 200:
        assert time.monotonic() < give_up_s, await answer.json()
        await answer.release()
        await asyncio.sleep(0.05)


async def test_orders_on_a_real_log(exchange):
    clock = ShiftedClock()
    async with served(exchange, clock) as world:
        await world.operate("list-asset", code="BTC", name="Bitcoin")
        await world.operate("list-asset", code="USDT", name="Tether")
        await world.operate("list-market", **MARKET)
        alice = await world.add_user("alice", BTC="1000", USDT="10000000")
        bob = await world.add_user("bob", BTC="1000", USDT="10000000")
        await alice.limit("SELL", "60000", "1")
        taken = await bob.limit("BUY", "60000", "0.4")
        assert (taken["status"], taken["fills"][0]["qty"]) == ("FILLED", "0.40000000")
        body = bob.signed(symbol="BTCUSDT", side="BUY", type="MARKET", quantity="0.1")
        first = await bob.send("POST", "/api/v3/order", body=body)
        assert first[0] == 200
    # Another gateway, later: the same bytes get what the first one answered.
    async with served(exchange, clock) as world:
        again = await world.gateway.post(
            "/api/v3/order", data=body, headers={"X-MBX-APIKEY": bob.api_key}
        )
        assert await again.json() == first[1]
        assert again.headers["X-Log-Position"] == first[2]["X-Log-Position"]
        bob.world = alice.world = world
        query = alice.signed(symbol="BTCUSDT")
        status, canceled, _ = await alice.send("DELETE", "/api/v3/openOrders", query)
        assert (status, canceled[0]["executedQty"]) == (200, "0.50000000")
        await refuse_a_fast_clock(world, alice, clock)


async def refuse_a_fast_clock(world, alice, clock):
    """A gateway whose clock runs an hour ahead is refused by the broker, and harms nobody."""
    clock.shift_us = 3_600_000_000
    order = {"symbol": "BTCUSDT", "side": "SELL", "type": "LIMIT", "timeInForce": "GTC"}
    order |= {"quantity": "0.1", "price": "60000"}
    hour_ms = 3_600_000
    status, found = await alice.order(**order, timestamp=world.now_ms + hour_ms)
    assert (status, found["code"]) == (503, -1008)
    assert (await world.gateway.get("/health/ready")).status == 503
    clock.shift_us = 0
    status, found = await alice.order(**order)
    assert (status, found["status"]) == (200, "NEW")
