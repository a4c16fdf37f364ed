"""What stands in a store of leases and is none: of nobody known, and free after a while."""

import pytest

from infra.lease import TTL_S, Lease, LeaseEntry, Phase
from infra.lease_stores import FileLeaseStore, RedisLeaseStore

NAME = "L9"
ENTRIES = (
    "no json",
    "5",
    "[1]",
    '{"a": 1, "b": 2, "c": 3, "d": 4}',
    '[1, 3, "free", ""]',
    '["one", "3", "free", ""]',
    '["one", 3, "resting", ""]',
    '["one", 3, "free", null]',
)


def in_files(tmp_path, content: str) -> FileLeaseStore:
    folder = tmp_path / f"{NAME}.lease"
    folder.mkdir()
    (folder / "3").write_text(content)
    return FileLeaseStore(tmp_path)


@pytest.fixture(params=["file", pytest.param("redis", marks=pytest.mark.integration)])
def holding(request, tmp_path):
    """Makes a store that holds this content under `NAME`."""
    if request.param == "file":
        return lambda content: in_files(tmp_path, content)

    def in_redis(content: str) -> RedisLeaseStore:
        store = RedisLeaseStore(request.getfixturevalue("redis_server").redis_url)
        store._client.set(f"logbourse:lease:{NAME}", content)
        return store

    return in_redis


@pytest.mark.parametrize("content", ENTRIES)
def test_what_is_no_entry_is_of_nobody_known(holding, content):
    store, now_s = holding(content), 100.0
    found = store.read(NAME)
    assert found is not None and (found.holder, found.phase) == ("", Phase.TAKING)
    assert not store.swap(NAME, None, LeaseEntry("one", found.counter + 1))
    lease = Lease(NAME, "two", store, lambda: now_s)
    held: list[bool] = []
    for _ in range(3):
        lease.tend()
        held.append(lease.is_held)
        now_s += TTL_S
    assert held == [False, True, True], "watched, taken, renewed"
    assert store.read(NAME) == LeaseEntry("two", found.counter + 2, Phase.TAKING)


def test_a_file_whose_number_is_not_that_of_its_entry_is_of_nobody_known(tmp_path):
    """Whoever counted on from it would make a number that is past."""
    store = in_files(tmp_path, '["one", 1, "leading", ""]')
    assert store.read(NAME) == LeaseEntry("", 3, Phase.TAKING)
