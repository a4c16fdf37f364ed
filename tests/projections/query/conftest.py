"""The exchange of `world.py`, and the query API over it on a loopback port."""

from collections.abc import AsyncIterator, Iterator

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient

from projections.layout import Position
from tests.projections.query.world import T0_US, Store, World


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read is read, however busy the machine is that the tests share."""
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", 10.0)


@pytest.fixture
def gives_up_soon(patience: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """For tests that wait until a read gives up: 2 s, each time, is a fifth of `make check`."""
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", 1.0)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """One for a module, since a process can have but one directory open at a time."""
    store = Store(f"chdb://{tmp_path_factory.mktemp('query')}/store")
    yield store
    store.client.close()


@pytest_asyncio.fixture
async def world(store: Store) -> AsyncIterator[World]:
    """The exchange at T0; every view stands at sequence 100 of every partition."""
    world = World(store)
    for topic in ("ledger.ev", "matching.ev"):
        for partition in (0, 1):
            await world.advance((topic, partition), Position(100, 99, T0_US))
            world.ends[topic, partition] = 100
    yield world
    store.empty()
    await world.redis.aclose()


@pytest_asyncio.fixture
async def api(world: World) -> AsyncIterator[TestClient]:
    """A client of the query API."""
    client = await world.start()
    yield client
    await client.close()
