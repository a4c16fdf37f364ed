"""One stack for all tests of this folder; a failed test prints the ends of its logs."""

from collections.abc import Iterator

import pytest

from tests.integration.running_stack import RunningStack
from tests.integration.trader import Trader

_stacks: list[RunningStack] = []


@pytest.fixture(scope="session")
def whole_stack(tmp_path_factory) -> Iterator[RunningStack]:
    """The stack, whatever state the test before has left it in."""
    running = RunningStack(tmp_path_factory.mktemp("stack") / "data")
    _stacks.append(running)
    try:
        running.start()
        yield running
    finally:
        _stacks.remove(running)
        running.stop()


@pytest.fixture
def stack(whole_stack) -> RunningStack:
    """The stack, ready to serve."""
    whole_stack.until_ready()
    return whole_stack


@pytest.fixture
def trader(stack) -> Iterator[Trader]:
    """A new user's signing client."""
    client = Trader(stack.url, stack.add_user(USDT="1000000", BTC="10", ETH="100"))
    yield client
    client.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """Add what the processes said last to the report of a failure."""
    report = yield
    if report.failed and _stacks:
        report.sections.append(("logs of the stack", _stacks[0].evidence()))
    return report
