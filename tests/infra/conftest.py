"""What tests of leases and of the supervisor begin with."""

from pathlib import Path

import pytest

from tests.infra.dict_lease_store import DictStore, Now
from tests.infra.supervised import Journal


@pytest.fixture
def now() -> Now:
    return Now()


@pytest.fixture
def store() -> DictStore:
    return DictStore()


@pytest.fixture
def journal(tmp_path: Path) -> Journal:
    return Journal(tmp_path / "journal")
