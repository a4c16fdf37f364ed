"""A process that must end ends, also where nothing can be written any more."""

import subprocess
import sys

import pytest

BEGIN = """
import threading, time
from infra.logging import configure_logging, say
from infra.ending import end_process
configure_logging()
"""
ENDS = "threading.Thread(target=end_process, args=('test', 'it hangs')).start(); time.sleep(30)"
GOES_ON = "from infra.logging import get_logger; get_logger('test').error('no room'); say('none')"


def status_of(words: str, errors_to: str) -> int:
    with open(errors_to, "ab") as stream:
        command = [sys.executable, "-c", BEGIN + words]
        return subprocess.run(command, stderr=stream, timeout=20, check=False).returncode


@pytest.mark.parametrize("errors_to", ["/dev/null", "/dev/full"])
def test_any_thread_ends_the_process(errors_to):
    assert status_of(ENDS, errors_to) == 1


def test_it_ends_also_where_writing_hangs():
    """Nobody reads the pipe, which is full."""
    words = "import os; os.set_blocking(2, False)\nfor _ in range(99999):\n  say('x' * 99)\n"
    words += f"os.set_blocking(2, True); {ENDS}"
    command = [sys.executable, "-c", BEGIN + words]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as child:
        assert child.wait(20) == 1


@pytest.mark.parametrize("errors_to", ["/dev/null", "/dev/full"])
@pytest.mark.parametrize("status", [0, 3])
def test_a_full_disk_neither_ends_a_process_nor_changes_its_status(errors_to, status):
    """Python would tell by status 120 that it could not write all that it was to write."""
    assert status_of(f"{GOES_ON}; raise SystemExit({status})", errors_to) == status


def test_it_says_why_and_where_each_thread_stands(tmp_path):
    words = ENDS.replace("args=('test', 'it hangs')", "args=('t', 'x'), kwargs={'stacks': True}")
    assert status_of(words, str(tmp_path / "log")) == 1
    said = (tmp_path / "log").read_text()
    assert '"event": "process ends"' in said.splitlines()[0]
    assert "most recent call first" in said
