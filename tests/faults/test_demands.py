"""What rows demand of their own faults: a fault that did not strike is no run that counts."""

from collections import Counter
from contextlib import contextmanager
from dataclasses import replace
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.faults import rows_brokers, rows_stores
from tests.faults.load import Load
from tests.faults.network import cut
from tests.faults.rows import Run, find_rows
from tests.faults.stack import FaultStack
from tests.integration.trader import NO_ANSWER, Answer, Request, Trader


def run_on(**parts: Any) -> Run:
    """A run on a stack of which only these parts are there."""
    stack = cast("FaultStack", SimpleNamespace(**parts))
    return Run(stack, cast("Load", None), 7, Random(1), 0.0, quick=False)


@pytest.mark.parametrize("pieces", [0, 1])
def test_a_network_that_was_to_be_cut_must_have_been(pieces):
    rules = cut("gateway", "kafka-1")

    @contextmanager
    def broken(*_: object):
        struck = Counter[object]()
        yield struck
        struck[rules[0]] = pieces

    run = run_on(network=SimpleNamespace(broken=broken))
    with run.broken(*rules):
        pass
    assert bool(run.violations) is not bool(pieces)
    assert all("'gateway and kafka-1'" in each for each in run.violations)


class Memory:
    """A Redis of which nothing is asked but a key."""

    def __init__(self) -> None:
        self.keys: dict[str, object] = {}

    def set(self, key: str, value: object) -> None:
        self.keys[key] = value

    def delete(self, key: str) -> int:
        return int(self.keys.pop(key, None) is not None)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("keeps", [True, False])
def test_redis_must_come_back_with_what_it_had(monkeypatch, keeps):
    memory = Memory()
    monkeypatch.setattr(rows_stores, "redis_client", lambda url: memory)
    monkeypatch.setattr(rows_stores, "_expect_fresh", lambda run, name: None)
    monkeypatch.setattr(Run, "wait", lambda run, seconds: None)
    killed = (lambda name: None) if keeps else (lambda name: memory.keys.clear())
    run = run_on(settings=SimpleNamespace(redis_url=""), sigkill=killed)
    find_rows()["F14 AOF"].act(run)
    assert bool(run.violations) is not keeps
    assert not memory.keys, "it is gone before views are judged"


TOLD = Answer(503, {"code": rows_brokers.UNKNOWN}, {})


@pytest.mark.parametrize(
    ("answers", "wrong"),
    [
        ([(TOLD, 5.0), (NO_ANSWER, 5.0)], ""),
        ([(TOLD, 9.0)], "somebody must be told meanwhile"),
        ([(NO_ANSWER, 5.0), (TOLD, 9.0)], "somebody must be told meanwhile"),
        ([(TOLD, 5.0), (replace(TOLD, status=200), 5.0)], "503 with"),
    ],
)
def test_while_two_brokers_are_down_somebody_must_be_told_so(monkeypatch, answers, wrong):
    asked = [
        rows_brokers._Asked(Request("POST", "", "", ""), answer, at_s) for answer, at_s in answers
    ]
    names = [f"down{number}" for number in range(rows_brokers.ASKED)]
    trader = SimpleNamespace(good=lambda *_, **__: [{"clientOrderId": name} for name in names])
    monkeypatch.setattr(rows_brokers, "persist", lambda *_: replace(TOLD, status=200))
    run = run_on()
    run.fault_s, run.measured = 1.0, {"a broker is back s": 7.0}
    rows_brokers._expect_told(run, [cast("Trader", trader)], asked)
    assert bool(run.violations) is bool(wrong), run.violations
    assert wrong in " ".join(run.violations)
