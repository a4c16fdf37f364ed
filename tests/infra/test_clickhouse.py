"""The embedded ClickHouse: one owner per directory, durable through SIGKILL, side by side reads."""

import subprocess
import sys
import textwrap
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from infra.clickhouse import StoreUnavailable, clickhouse_client

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.integration

WRITER = """
    import os, sys
    from infra.clickhouse import clickhouse_client
    client = clickhouse_client(sys.argv[1])
    client.command("CREATE TABLE t (id Int64) ENGINE = ReplacingMergeTree ORDER BY id")
    client.insert("t", [[n] for n in range(100)], column_names=["id"])
    client.insert("t", [[n] for n in range(50)], column_names=["id"])
    print("stored", flush=True)
    sys.stdin.read()
"""
READER = """
    import sys, threading, time
    from infra.clickhouse import clickhouse_client
    client = clickhouse_client(sys.argv[1])
    rows = client.query(
        "SELECT count() FROM t FINAL WHERE id >= {low:Int64}", parameters={"low": 10}
    ).result_rows
    assert rows == [(90,)], rows
    slow = threading.Thread(target=lambda: client.query("SELECT sleep(3)"))
    slow.start()
    time.sleep(0.1)
    assert clickhouse_client(sys.argv[1]).query("SELECT 1").result_rows == [(1,)]
    assert slow.is_alive(), "a quick query must not wait for a slow one"
    slow.join()
    print("read", flush=True)
"""


def process(code: str, dsn: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", textwrap.dedent(code), dsn]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=ROOT, stdin=pipe, stdout=pipe, stderr=pipe, text=True)


def test_rows_survive_the_kill_of_their_owner_and_a_second_owner_is_refused(tmp_path):
    dsn = f"chdb://{tmp_path}/deep/store"
    writer = process(WRITER, dsn)
    assert writer.stdout is not None
    assert writer.stdout.readline() == "stored\n"
    intruder = process(READER, dsn)
    _, said = intruder.communicate(timeout=60)
    assert f"{tmp_path}/deep/store must belong to this process alone" in said
    writer.kill()
    writer.wait()
    words, trouble = process(READER, dsn).communicate(timeout=60)
    assert words == "read\n", trouble


def test_a_server_that_is_away_is_named_without_its_password():
    with pytest.raises(StoreUnavailable) as refusal:
        clickhouse_client("http://user:hunter2@127.0.0.1:9/db", connect_timeout=1)
    assert "must answer at 127.0.0.1:9/db" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)


def test_this_process_keeps_time(tmp_path):
    """The engine leaves threads of the program alone while it works."""
    client = clickhouse_client(f"chdb://{tmp_path}/store")
    ticks: list[float] = []
    slow = threading.Thread(target=lambda: client.query("SELECT sleep(0.5)"))
    slow.start()
    while slow.is_alive():
        ticks.append(time.monotonic())
        time.sleep(0.01)
    client.close()
    assert max(b - a for a, b in pairwise(ticks)) < 0.4
