"""What tests of leases begin with; some have a store of their own by the same name."""

import pytest

from tests.infra.dict_lease_store import DictStore, Now


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def store() -> DictStore:
    return DictStore()
