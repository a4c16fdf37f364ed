"""A gateway that has just started, while it still reads what happened before."""

import asyncio
import threading
from contextlib import asynccontextmanager
from typing import cast

from aiohttp.test_utils import TestClient, TestServer

from commands import write_side
from commands.serve import build_gateway_app
from commands.write_side import open_write_side
from infra.keys import open_keys
from infra.log import Log
from infra.settings import load_settings
from tests.commands.fake_exchange import FakeLog
from tests.commands.socket_client import connected
from tests.commands.world import World, trading_world


class HeldLog(FakeLog):
    """A log whose records come only once `released` is set."""

    released = threading.Event()

    def read(self, max_records, timeout_s):
        return super().read(max_records, timeout_s) if self.released.wait(0.02) else []


async def hold_back() -> None:
    """From now on nothing is read; what was asked for before has come."""
    HeldLog.released.clear()
    await asyncio.sleep(0.2)


@asynccontextmanager
async def another_gateway(world: World, tmp_path):
    """One more on the same log, as `world.gateway`; its records come once `released` is set."""
    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})
    clock = world.exchange.clock
    failures: list[Exception] = []
    side = await open_write_side(
        settings,
        lambda: cast(Log, HeldLog(world.exchange)),
        world.appender,
        clock,
        failures.append,
        open_matching=None,
    )
    app = build_gateway_app(side, open_keys(settings.key_file), clock, None)
    async with TestClient(TestServer(app)) as world.gateway:
        yield side
    await side.stop()
    assert failures == []


ORDER = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
ORDER |= {"quantity": "0.1", "price": "60000"}


async def test_no_key_is_called_invalid_before_all_keys_are_read(tmp_path):
    async with trading_world(tmp_path) as world:
        alice = await world.add_user("alice", USDT="1000000")
        HeldLog.released.clear()
        async with another_gateway(world, tmp_path):
            status, found = await alice.order(**ORDER)
            assert (status, found["code"]) == (503, -1008)
            assert (await world.gateway.get("/health/ready")).status == 503
            HeldLog.released.set()
            async with asyncio.timeout(10):
                while (answer := await alice.order(**ORDER))[0] == 503:
                    pass
            status, found = answer
            assert (status, found["status"]) == (200, "NEW")


async def test_a_key_made_a_moment_ago_is_known_to_every_gateway(tmp_path):
    async with trading_world(tmp_path) as world:
        HeldLog.released.set()
        async with another_gateway(world, tmp_path) as side:
            await asyncio.wait_for(side.caught_up.wait(), 10)
            await hold_back()
            alice = await world.add_user("alice", USDT="1000000")
            async with connected(world, alice) as one, connected(world, alice) as two:
                answers = [
                    asyncio.create_task(alice.order(**ORDER)),
                    asyncio.create_task(one.ask("order.place", **one.signed(**ORDER))),
                    asyncio.create_task(two.ask("session.logon", **two.signed())),
                ]
                await asyncio.sleep(0.1)
                assert not any(answer.done() for answer in answers)
                HeldLog.released.set()
                rest, placed, logon = await asyncio.gather(*answers)
            assert (rest[0], rest[1]["status"]) == (200, "NEW")
            assert (placed["status"], placed["result"]["clientOrderId"] != "") == (200, True)
            assert (logon["status"], logon["result"]["apiKey"]) == (200, alice.api_key)


async def test_a_key_that_nobody_has_is_refused_once_all_keys_are_known(tmp_path, monkeypatch):
    monkeypatch.setattr(write_side, "PATIENCE_S", 0.1)
    async with trading_world(tmp_path) as world:
        HeldLog.released.set()
        alice = await world.add_user("alice", USDT="1000000")
        async with another_gateway(world, tmp_path) as side:
            await asyncio.wait_for(side.caught_up.wait(), 10)
            alice.api_key = "k" * 64
            for known, refusal in ((True, (401, -2015)), (False, (503, -1008))):
                if not known:
                    await hold_back()
                    await world.operate("register-user", login="bob")
                status, found = await alice.order(**ORDER)
                assert (status, found["code"]) == refusal
                async with connected(world, alice) as client:
                    for method in ("order.place", "session.logon"):
                        params = client.signed(**(ORDER if method == "order.place" else {}))
                        answer = await client.ask(method, **params)
                        assert (answer["status"], answer["error"]["code"]) == refusal
                        assert answer["rateLimits"][0]["count"] > 0
        HeldLog.released.set()
