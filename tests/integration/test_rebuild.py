"""Views are built anew from the log while trading goes on, and end where they were."""

import time

import pytest

from infra.redis import redis_client
from tests.integration.witness import FUNDS, Findings, Witness

pytestmark = [pytest.mark.integration, pytest.mark.slow]


@pytest.fixture
def trading(stack):
    """Two clients that trade until the test asks for their findings."""
    clients = [Witness(stack.url, stack.add_user(**FUNDS), seed) for seed in (11, 12)]
    for client in clients:
        client.start()
    time.sleep(1)
    yield clients
    for client in clients:
        client.trader.close()


def judge(stack, clients) -> None:
    for client in clients:
        client.end()
    stack.until_ready()
    for client in clients:
        Findings(client).judge({asset: int(amount) * 10**8 for asset, amount in FUNDS.items()})


@pytest.mark.parametrize("sink", ["redis", "clickhouse"])
def test_views_are_rebuilt_while_trading_goes_on(stack, trading, sink):
    done = stack.command("rebuild", sink, timeout_s=120.0)
    assert done.returncode == 0, done.stderr
    assert f"{sink} now serves build" in done.stdout
    placed = [len(client.record.placed) for client in trading]
    time.sleep(1)
    judge(stack, trading)
    assert all(len(c.record.placed) > n for c, n in zip(trading, placed, strict=True))
    assert all(client.record.retried == 0 for client in trading), "order entry must not notice"


def test_redis_that_lost_everything_is_filled_again(stack, trading):
    client = redis_client(stack.settings.redis_url)
    client.flushall()
    client.close()
    time.sleep(1)
    judge(stack, trading)
    assert all(client.record.retried == 0 for client in trading), "order entry must not notice"
