"""A real Kafka and a real Redis for a test or a bench, on any ports, while a block runs."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.children import spawn, stop, wait_until
from infra.kafka_broker import answering, kafka_processes, plan_nodes, with_any_port
from infra.ports import any_port
from infra.redis import answers
from infra.redis_server import START_TIMEOUT_S, redis_argv
from infra.settings import Settings

REDIS_STOP_TIMEOUT_S = 10.0


@contextmanager
def running_kafka(settings: Settings) -> Iterator[Settings]:
    """One node; gives the settings that lead to it."""
    settings, nodes = plan_nodes(with_any_port(settings), 1)
    (process,) = kafka_processes(settings, nodes)
    with answering(process.argv, settings, nodes, settings.logs_dir / f"{process.name}.log"):
        yield settings


@contextmanager
def running_redis(settings: Settings) -> Iterator[Settings]:
    """A server; gives the settings that lead to it."""
    port = any_port(settings.host)
    settings = replace(settings, redis_url=f"redis://{settings.host}:{port}/0")
    child = spawn(redis_argv(settings), settings.logs_dir / "redis.log")
    try:
        wait_until(lambda: answers(settings.redis_url), START_TIMEOUT_S, "Redis must answer")
        yield settings
    finally:
        stop(child, REDIS_STOP_TIMEOUT_S)
