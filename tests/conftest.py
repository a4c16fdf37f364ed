"""Real parts for integration tests: each is started once per run and dies with it."""

import gc
from collections.abc import Iterator

import hypothesis
import pytest

from infra.settings import Settings, load_settings
from native.selection import build_in_use
from tests.running import running_kafka, running_redis

# A shared machine is slow at times, which is no failure; a failure prints how to repeat it.
hypothesis.settings.register_profile("logbourse", deadline=None, print_blob=True)
hypothesis.settings.load_profile("logbourse")
# What `make check` has time for.
hypothesis.settings.register_profile(
    "quick", parent=hypothesis.settings.get_profile("logbourse"), max_examples=25
)


# Looking through thousands of collected tests for cycles, again and again, is a tenth of a run.
gc.disable()


def pytest_collection_finish() -> None:
    gc.freeze()
    gc.enable()


def pytest_report_header() -> str:
    return f"logbourse: build={build_in_use()}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What looks into the sources is left to `native/test_builds.py`, which runs it on these."""
    if build_in_use() == "compiled":
        for item in items:
            if item.get_closest_marker("sources"):
                item.add_marker(pytest.mark.skip("of the sources; tests/native runs it on them"))


@pytest.fixture(scope="session")
def kafka(tmp_path_factory) -> Iterator[Settings]:
    """Settings that lead to a Kafka without topics; tests choose names of their own."""
    data_dir = tmp_path_factory.mktemp("kafka-stack")
    with running_kafka(load_settings({"LOGBOURSE_DATA_DIR": str(data_dir)})) as settings:
        yield settings


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory) -> Iterator[Settings]:
    """Settings that lead to an empty Redis, shared by the run."""
    data_dir = tmp_path_factory.mktemp("redis-stack")
    with running_redis(load_settings({"LOGBOURSE_DATA_DIR": str(data_dir)})) as settings:
        yield settings
