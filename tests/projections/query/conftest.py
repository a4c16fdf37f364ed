"""The exchange of `world.py`, and the query API over it on a loopback port."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from aiohttp.test_utils import TestClient

from projections.layout import Position, feeding_partitions
from tests.projections.query.patience import LONG_S
from tests.projections.query.world import T0_US, Store, World

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What reads a `store` here starts a real ClickHouse, for which `make check` has no time."""
    for item in items:
        if "store" in getattr(item, "fixturenames", ()) and HERE in item.path.parents:
            item.add_marker(pytest.mark.integration)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """What can be read is read; what is to be refused, a test reads while `impatient`."""
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", LONG_S)


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
    for partition in feeding_partitions(2, 2):
        await world.advance(partition, Position(100, 99, T0_US), history=False)
        world.ends[partition] = 100
    world.advance_history(world.positions)
    yield world
    store.empty()
    await world.redis.aclose()


@pytest_asyncio.fixture
async def api(world: World) -> AsyncIterator[TestClient]:
    """A client of the query API."""
    client = await world.start()
    yield client
    await client.close()
