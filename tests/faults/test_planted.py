"""What is planted into a stack's processes does what rows count on, and nothing by itself."""

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from tests.faults.stack import PLANTED
from tests.integration.running_stack import ROOT

CLOCK = """
import os, time
from pathlib import Path
from infra.clock import SystemClock
right_us = SystemClock().now_us()
Path(os.environ["FOLDER"], f"clock-{os.getpid()}").write_text(str(3_600 * 10**9))
print((SystemClock().now_us() - right_us) // 1_000_000)
"""
BUG = """
import os
from pathlib import Path
from streams.families import decider_of
market = type(os.environ["MESSAGE"], (), {"market_id": 7})()
decider = decider_of("M0")
Path(os.environ["FOLDER"], os.environ["PLANTED"]).write_text("7 1000")
state = decider.initial()
for state.time_us in (999, 1000):
    try:
        getattr(decider, os.environ["WORK"])(state, market)
    except ZeroDivisionError as bug:
        print(bug)
    except Exception as error:
        print(type(error).__name__)
"""
IN_PLANNING = {"PLANTED": "faulty-market", "WORK": "decide", "MESSAGE": "OrderAccepted"}
IN_BOOK = {"PLANTED": "faulty-book", "WORK": "evolve", "MESSAGE": "BookChanged"}
RULES = """
from commands.admin.rules import SUPPORTED_RULES
from streams.families import decider_of
from streams.halts import Halt
from streams.shard import Shard
shard = Shard("L0", decider_of("L0"))
for shard.rules_version in (1, 2):
    try:
        shard.expect_known_rules()
    except Halt as halt:
        print(halt.reason, end=" ")
print(SUPPORTED_RULES)
"""

SPOILING = """
import os
from pathlib import Path
from infra.clickhouse import EMBEDDED, clickhouse_client
from projections.clickhouse_sink import ClickHouseSink
folder = Path(os.environ["FOLDER"])
client = clickhouse_client(EMBEDDED + str(folder / "engine"))
sink = ClickHouseSink(client)
file = folder / "spoil-history"
file.write_text("DROP TABLE {database}.trades; DROP TABLE {database}.candles")
sink.apply([])
found = client.query("SELECT name FROM system.tables WHERE name IN ('trades', 'candles', 'orders')")
print(found.result_rows, file.exists())
client.close()
"""

HANG = """
import os
from contextlib import suppress
from pathlib import Path
from threading import Thread
from projections.redis_sink import RedisSink
def apply():
    with suppress(AttributeError):
        RedisSink.apply(None, [])
file = Path(os.environ["FOLDER"], "hang-redis")
file.touch()
thread = Thread(target=apply, daemon=True)
thread.start()
thread.join(0.3)
print(thread.is_alive())
file.unlink()
thread.join(5.0)
print(thread.is_alive())
"""


EXIT = """
import os
from pathlib import Path
from infra.files import Directory
folder = Path(os.environ["FOLDER"])
files = Directory(folder / "files")
(folder / f"exit-{os.getpid()}").write_text(os.environ["STEP"])
if os.fork() == 0:
    files.write("draft", b"12345678")
    os._exit(0)
os.wait()
files.rename("draft", "final")
"""


def said(program: str, folder: Path, **variables: str) -> str:
    """What the program prints in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(PLANTED), "FOLDER": str(folder), **variables}
    argv = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(
        argv, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_a_clock_is_wrong_by_what_its_file_says(tmp_path):
    assert said(CLOCK, tmp_path, LOGBOURSE_PLANTED_DIR=str(tmp_path)) == "3600"


@pytest.mark.parametrize("bug", [IN_PLANNING, IN_BOOK])
def test_a_market_is_faulty_from_a_log_time_on(tmp_path, bug):
    """So that whoever runs the log again finds the same orders faulty."""
    before, after = said(BUG, tmp_path, LOGBOURSE_PLANTED_DIR=str(tmp_path), **bug).splitlines()
    assert (before != "a planted bug", after) == (True, "a planted bug")


def test_without_a_folder_nothing_is_planted(tmp_path):
    assert said(CLOCK, tmp_path) == "0"
    assert "a planted bug" not in said(BUG, tmp_path, **IN_PLANNING)


def test_a_process_knows_the_rules_that_were_planted_before_it_began(tmp_path):
    assert said(RULES, tmp_path, LOGBOURSE_PLANTED_DIR=str(tmp_path)) == "UNKNOWN_RULES (1,)"
    (tmp_path / "rules").write_text("1 2")
    assert said(RULES, tmp_path, LOGBOURSE_PLANTED_DIR=str(tmp_path)) == "(1, 2)"


def test_an_apply_hangs_as_long_as_its_file_exists(tmp_path):
    told = said(HANG, tmp_path, LOGBOURSE_PLANTED_DIR=str(tmp_path))
    assert told.splitlines() == ["True", "False"]


@pytest.mark.parametrize(
    ("step", "left"),
    [
        ("half written", {"draft": "1234"}),
        ("written", {"draft": "12345678"}),
        ("renamed", {"final": "12345678"}),
    ],
)
def test_a_process_dies_at_the_step_that_its_file_names(tmp_path, step, left):
    """Also where its child does the work: then both die."""
    with pytest.raises(subprocess.CalledProcessError) as ended:
        said(EXIT, tmp_path, LOGBOURSE_PLANTED_DIR=str(tmp_path), STEP=step)
    assert ended.value.returncode == -signal.SIGKILL
    assert {path.name: path.read_text() for path in (tmp_path / "files").iterdir()} == left
    assert not list(tmp_path.glob("exit-*"))


LOG_EXIT = """
import os
from pathlib import Path
import infra.kafka.kafka_log as kafka
def said(*words, **_): print(words[1], flush=True)
kafka.KafkaLog.produce = kafka.KafkaLog.commit = said
import sitecustomize
folder = Path(os.environ["FOLDER"])
sitecustomize._plant_exits_of_log(kafka, folder)
(folder / f"exit-{os.getpid()}").write_text(os.environ["STEP"])
log = object.__new__(kafka.KafkaLog)
log.produce("ledger.in", 0, b"")
log.produce("ledger.ev", 0, b"")
log.commit("ledger.in", 0, None)
print("alive")
"""


@pytest.mark.parametrize(
    ("step", "told"),
    [
        ("produced", "ledger.in ledger.ev"),
        ("acked", "ledger.in ledger.ev"),
        ("committed", "ledger.in ledger.ev ledger.in"),
        ("nowhere", "ledger.in ledger.ev ledger.in alive"),
    ],
)
def test_a_process_dies_around_its_outputs_and_marks(tmp_path, step, told):
    argv = [sys.executable, "-c", LOG_EXIT]
    variables = {"PYTHONPATH": str(PLANTED), "FOLDER": str(tmp_path), "STEP": step}
    done = subprocess.run(
        argv, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True, check=False
    )
    assert done.stdout.split() == told.split(), done.stderr


@pytest.mark.slow
def test_history_is_spoilt_once_after_what_is_stored_next(tmp_path):
    assert said(SPOILING, tmp_path, LOGBOURSE_PLANTED_DIR=str(tmp_path)) == "[('orders',)] False"
