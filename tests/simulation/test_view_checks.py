"""What a schedule's views are judged by: what a projector leaves out is named, though it folds."""

import random
from types import SimpleNamespace
from typing import cast

import pytest

from infra.clickhouse import ClickHouseClient
from projections.clickhouse_sink import ClickHouseSink
from projections.redis_sink import RedisSink
from tests.projections.scenarios import busy_exchange, feed
from tests.simulation import clickhouse, redis
from tests.simulation.breaking import mutated
from tests.simulation.clickhouse import SimClickHouse
from tests.simulation.faults import Faults
from tests.simulation.log import LogWorld
from tests.simulation.redis import SimRedis
from tests.simulation.view_checks import Folded, check_clickhouse, check_redis


def judged() -> list[str]:
    """What is said of both stores once all of a small exchange has come to them."""
    exchange, faults = busy_exchange(seed=4, steps=150), Faults(random.Random(0), crashes_left=0)
    faults.calm = True
    views, history = SimRedis(faults), SimClickHouse(faults)
    client = cast(ClickHouseClient, clickhouse.Client(history))
    feed(exchange, RedisSink(redis.Client(views)))
    feed(exchange, ClickHouseSink(client, monotonic_s=lambda: 0.0))
    partitions = {(topic, 0): values for topic, values in exchange.outboxes().items()}
    log = cast(LogWorld, SimpleNamespace(partitions=partitions))
    folds = [Folded(log, place) for place in partitions]
    return [*check_redis(views, folds), *check_clickhouse(history, folds)]


def test_nothing_is_said_of_views_that_are_what_events_come_to() -> None:
    assert judged() == []


@pytest.mark.parametrize(
    ("mutant", "named"),
    [
        ("book change left out of views", {"P1: asks:1", "P1: market:1"}),
        (
            "trade left out of views",
            {"P1: market:1", "P1: trades:1", "P1: trades", "P1: candles:1", "P1: minutes:1"},
        ),
        ("ticker's high is its last", {"P1: market:1"}),
        ("weeks begin on Thursday", {"P1: candles:1", "P3: 1w"}),
    ],
)
def test_what_the_projector_does_wrong_is_named(mutant: str, named: set[str]) -> None:
    with mutated(mutant):
        said = judged()
    assert {" ".join(each.split()[:2]) for each in said} >= named
