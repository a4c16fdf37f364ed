"""Prometheus beside the running stack: it reads every process, and an alarm is raised."""

import json
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from infra.children import spawn, stop, wait_until
from infra.ports import any_port
from infra.prometheus import PrometheusMissing, prometheus_process, write_config
from tests.infra.metric_catalogue import OF_THE_SCRAPE, Catalogue, labels_of, made
from tests.integration.trader import ORDER

pytestmark = [pytest.mark.integration, pytest.mark.slow]

PROCESSES = {"supervisor", "shards", "project-redis", "query", "gateway"}
PATIENCE_S = 30.0

ON_OCCASION = {
    *("child_halted", "child_ends_total", "log_errors_total", "append_failures_total"),
    *("gateway_refused_total", "http_connections_refused_total"),
    *("shard_duplicates_total", "projection_passed_over_total"),
    *("shard_stands_by", "shard_compared_total", "shard_held_inputs", "shard_promotions_total"),
}
"""Told once there was an error, a halt or a duplicate, or by who stands by."""


Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def prometheus(whole_stack) -> Iterator[Ask]:
    """Asks a Prometheus that reads the stack every second."""
    settings, port = whole_stack.settings, any_port("127.0.0.1")
    try:
        process = prometheus_process(settings, port)
    except PrometheusMissing as missing:
        pytest.skip(str(missing))
    config = write_config(settings)
    config.write_text(config.read_text().replace("interval: 5s", "interval: 1s"))
    child = spawn(process.argv, settings.logs_dir / "prometheus.log")
    try:
        assert process.ready is not None
        wait_until(process.ready, PATIENCE_S, "Prometheus must be ready")
        yield lambda path, **fields: ask(port, path, fields)
    finally:
        stop(child, 10.0)


def ask(port: int, path: str, fields: dict[str, str]) -> Any:
    query = urllib.parse.urlencode(fields)
    url = f"http://127.0.0.1:{port}/api/v1/{path}?{query}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        return json.load(answer)["data"]


def until(found: Callable[[], object], wanted: object) -> None:
    give_up_s = time.monotonic() + PATIENCE_S
    while (last := found()) != wanted and time.monotonic() < give_up_s:
        time.sleep(0.2)
    assert last == wanted


def test_every_process_is_read_and_every_rule_can_be_asked(stack, prometheus):
    def health() -> dict[str, str]:
        targets = prometheus("targets", state="active")["activeTargets"]
        return {target["labels"]["process"]: target["health"] for target in targets}

    def healthy_rules() -> set[str]:
        groups = prometheus("rules")["groups"]
        return {rule["health"] for group in groups for rule in group["rules"]}

    until(lambda: health().items() >= dict.fromkeys(PROCESSES, "up").items(), True)
    until(healthy_rules, {"ok"})


def test_what_is_read_is_what_is_listed(stack, prometheus, trader):
    def read() -> Catalogue:
        series = prometheus("series", **{"match[]": '{__name__=~"logbourse_.+"}'})
        found = {s.pop("__name__"): frozenset(s) - OF_THE_SCRAPE for s in series}
        # Each counter also says since when it is there.
        return {name: labels for name, labels in found.items() if not name.endswith("_created")}

    def missing() -> set[str]:
        names = read()
        unread = {name for name in made() if not any(each.startswith(name) for each in names)}
        short = {name.removeprefix("logbourse_") for name in unread} - ON_OCCASION
        # Stacks of tests have no auditor but in its own ones.
        return {name for name in short if not name.startswith("auditor_")}

    placed = trader.good("POST", "/api/v3/order", **ORDER)
    trader.good("DELETE", "/api/v3/order", symbol="BTCUSDT", orderId=placed["orderId"])
    until(missing, set())
    told = read()
    assert {name: labels_of(name, made()) for name in told} == told


def test_an_alarm_is_raised_by_what_it_is_about(stack, prometheus):
    """Bytes that no part of the exchange wrote: set aside, and somebody is told."""

    def counted() -> bool:
        query = 'logbourse_shard_reports_total{event="quarantined",shard="L0"}'
        return bool(prometheus("query", query=query)["result"])

    def firing() -> bool:
        labels = [alert["labels"] for alert in prometheus("alerts")["alerts"]]
        return any((one["alertname"], one.get("shard")) == ("Quarantined", "L0") for one in labels)

    until(counted, True)
    producer = stack.producer()
    producer.produce("ledger.in", value=b"no record", partition=0)
    assert producer.flush(10) == 0
    until(firing, True)
