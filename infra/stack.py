"""The third parties of a local stack, on ports that are free, in one data directory."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.kafka_broker import Node, kafka_processes, plan_nodes
from infra.ports import free_port
from infra.redis_server import plan_redis, redis_process
from infra.refusal import Refusal
from infra.settings import Settings
from infra.supervisor import Process


def plan_stack(settings: Settings, brokers: int = 1) -> tuple[Settings, list[Node]]:
    """The settings with every port free (the configured one where it is), and the Kafka nodes.

    `save_settings` afterwards tells the other processes. Between this and the start of a server
    somebody else may take its port; the server then fails and says so.
    """
    settings, nodes = plan_nodes(plan_redis(settings), brokers)
    taken: list[int] = []
    for name in ("public_port", "query_port", "admin_port", "metrics_port"):
        port = free_port(settings.host, getattr(settings, name), taken)
        taken.append(port)
        settings = replace(settings, **{name: port})
    return settings, nodes


def third_parties(settings: Settings, nodes: list[Node]) -> list[Process]:
    """Kafka and Redis as the supervisor runs them, to be started before everything else.

    Raises `infra.refusal.Refusal` if one of them cannot run here.
    """
    return [redis_process(settings), *kafka_processes(settings, nodes)]


@contextmanager
def owned_data(settings: Settings) -> Iterator[None]:
    """Keep the data directory for this stack; raises `Refusal` while another one runs on it."""
    settings.data_dir.mkdir(parents=True, exist_ok=True)
    with (settings.data_dir / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            owner = lock.read().strip() or "unknown"
            text = f"{settings.data_dir} must be used by one stack, was in use by pid {owner}"
            raise Refusal(text) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield
