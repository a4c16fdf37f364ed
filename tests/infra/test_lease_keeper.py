"""A main thread that never comes back ends its process, so that another one can stand by."""

import subprocess
import sys
from types import SimpleNamespace

import pytest

from infra.kafka.kafka_log import PATIENCE_S
from infra.lease_keeper import LOST_S, LeaseKeeper


def test_what_never_comes_back_ends_its_process_and_says_where_it_stands():
    words = (
        "import time; from infra import lease_keeper; lease_keeper.LOST_S = 0.2\n"
        "keeper = lease_keeper.LeaseKeeper([]); keeper.start(); keeper.beat()\n"
        "def wait_for_brokers(): time.sleep(60)\n"
        "wait_for_brokers()"
    )
    argv = [sys.executable, "-c", words]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert "wait_for_brokers" in done.stderr


@pytest.mark.parametrize(
    ("beats", "pause_s", "hangs"),
    [
        pytest.param(False, 0.5, True, id="missing"),
        pytest.param(True, 0.5, False, id="at work"),
        pytest.param(False, 1e6, False, id="the whole process was frozen"),
    ],
)
def test_it_is_missed_only_while_the_rest_of_the_process_runs(monkeypatch, beats, pause_s, hangs):
    now_s = 1_000.0
    monkeypatch.setattr("infra.lease_keeper.time", SimpleNamespace(monotonic=lambda: now_s))
    called = []
    keeper = LeaseKeeper([], on_hang=lambda: called.append(now_s))
    keeper.beat()
    keeper.watch()
    for _ in range(int(2 * LOST_S / pause_s) or 3):
        now_s += pause_s
        if beats:
            keeper.beat()
        keeper.watch()
    assert bool(called) is hangs


def test_no_call_to_the_brokers_is_taken_for_it():
    assert PATIENCE_S + 10.0 < LOST_S
