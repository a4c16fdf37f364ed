"""Kafka for the time of a recovery: this machine's own nodes alone, or one that runs elsewhere."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from infra.children import spawn, stop, wait_until
from infra.kafka import broker_count
from infra.kafka_broker import START_TIMEOUT_S, kafka_processes, plan_nodes, with_any_port
from infra.refusal import Refusal
from infra.settings import Settings


@contextmanager
def running_brokers(settings: Settings, nodes: int) -> Iterator[Settings]:
    """Settings that lead to `nodes` nodes of this data directory, which end with the block.

    They have ports of the kernel's choice, where nobody looks for the exchange. 0 nodes: to the
    brokers that are configured. Raises `Refusal` if none answers.
    """
    if not nodes:
        if not broker_count(settings):
            raise Refusal(f"Kafka must answer at {settings.kafka_bootstrap}, did not")
        yield settings
        return
    alone, planned = plan_nodes(with_any_port(replace(settings, proxy_step=0)), nodes)
    processes = kafka_processes(alone, planned)
    children = []
    try:
        for process in processes:
            log = alone.logs_dir / f"recover-{process.name}.log"
            children.append(spawn(process.argv, log, process.environment))
        ready = processes[-1].ready
        assert ready is not None, "the last node is ready when all answer"
        wait_until(ready, START_TIMEOUT_S, "Kafka must answer")
        yield alone
    except TimeoutError as error:
        raise Refusal(f"{error}; see {alone.logs_dir}/recover-kafka*.log") from error
    finally:
        for child, process in zip(children, processes, strict=False):
            stop(child, process.stop_timeout_s)
