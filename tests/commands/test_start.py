"""A gateway that has just started, while it still reads what happened before."""

import asyncio
import threading
from typing import cast

from aiohttp.test_utils import TestClient, TestServer

from commands.serve import build_gateway_app
from commands.write_side import open_write_side
from infra.keys import open_keys
from infra.log import Log
from infra.settings import load_settings
from tests.commands.fake_exchange import FakeLog
from tests.commands.world import trading_world


class HeldLog(FakeLog):
    """A log whose records come only once `released` is set."""

    released = threading.Event()

    def read(self, max_records, timeout_s):
        return super().read(max_records, timeout_s) if self.released.wait(0.02) else []


async def test_no_key_is_called_invalid_before_all_keys_are_read(tmp_path):
    async with trading_world(tmp_path) as world:
        alice = await world.add_user("alice", USDT="1000000")
        settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})
        clock = world.exchange.clock
        failures: list[Exception] = []
        HeldLog.released.clear()
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
            order = {"symbol": "BTCUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
            order |= {"quantity": "0.1", "price": "60000"}
            status, found = await alice.order(**order)
            assert (status, found["code"]) == (503, -1008)
            assert (await world.gateway.get("/health/ready")).status == 503
            HeldLog.released.set()
            async with asyncio.timeout(10):
                while (answer := await alice.order(**order))[0] == 503:
                    pass
            status, found = answer
            assert (status, found["status"]) == (200, "NEW")
        await side.stop()
        assert failures == []
