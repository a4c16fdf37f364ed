"""Redis twice: the script runs in fakeredis always, and in the real server with integration."""

from collections.abc import Iterator
from typing import Any

import pytest
from fakeredis import FakeRedis

from infra.redis import redis_client


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.integration)])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    """An empty Redis."""
    if request.param == "fake":
        yield FakeRedis()
        return
    found = redis_client(request.getfixturevalue("redis_server").redis_url)
    found.flushdb()
    yield found
    found.close()
