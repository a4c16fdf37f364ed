"""The world that most tests of the command API begin with; some make another of the same name."""

import pytest_asyncio

from tests.commands.world import trading_world


@pytest_asyncio.fixture
async def world(tmp_path):
    async with trading_world(tmp_path) as opened:
        yield opened


@pytest_asyncio.fixture
async def alice(world):
    return await world.add_user("alice", BTC="10", USDT="1000000")
