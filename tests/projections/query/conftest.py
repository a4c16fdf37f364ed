"""The exchange of `world.py`, and the query API over it on a loopback port."""

import contextlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient
from fakeredis import FakeAsyncRedis

from projections.layout import Position, database
from tests.projections.query.world import BUILD, T0_US, World


@pytest.fixture(scope="session")
def store_dsn(tmp_path_factory: pytest.TempPathFactory) -> str:
    """One directory for all: it costs a third of a second to make one."""
    return f"chdb://{tmp_path_factory.mktemp('query')}/store"


@pytest_asyncio.fixture
async def world(store_dsn: str) -> AsyncIterator[World]:
    """The exchange at T0; every view stands at sequence 100 of every partition."""
    world = World(FakeAsyncRedis(), store_dsn)
    for topic in ("ledger.ev", "matching.ev"):
        for partition in (0, 1):
            await world.advance((topic, partition), Position(100, 99, T0_US))
            world.ends[topic, partition] = 100
    yield world
    with contextlib.suppress(Exception):
        world.clickhouse.command(f"DROP DATABASE {database(BUILD)} SYNC")
        world.clickhouse.command("DROP DATABASE logbourse SYNC")
    await world.close()


@pytest_asyncio.fixture
async def api(world: World) -> AsyncIterator[TestClient]:
    """A client of the query API."""
    client = await world.start()
    yield client
    await client.close()
