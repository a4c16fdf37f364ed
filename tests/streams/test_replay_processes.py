"""Replay side by side: a process that is killed is no finding, and none outlives who waits."""

import importlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import logbourse
from infra.log import LogRecord
from schemas.topics import catalogue
from streams.audit import replay
from streams.audit.archive import Archive, BadArchive, Bounds, Manifest
from streams.audit.export import export
from streams.audit.verify import verify
from tests.streams.audited_log import Nobody, archived, traded

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]


class Deadly:
    """Kills whoever reads it, as the kernel does for want of memory."""

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError


class Slow:
    """Notes in a folder which processes read it, and keeps them for long."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def records(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        (self._folder / str(os.getpid())).touch()
        time.sleep(120.0)
        raise AssertionError


def of(source: Deadly | Slow) -> Archive:
    """A log of four ledgers, none of which can be read."""
    bounds = {
        (topic.name, partition): Bounds(0, 1, 1)
        for topic in catalogue(4, 1)
        for partition in range(topic.partitions)
    }
    return Archive(source, Manifest(4, 1, bounds, {}))


def replay_slowly(folder: str) -> int:
    """What `logbourse replay` is in a process of its own; its status."""
    slow = of(Slow(Path(folder)))
    pytest.MonkeyPatch().setattr(replay, "open_log", lambda _: slow)
    return logbourse.main(["replay", "--processes", "2"])


def test_a_process_that_is_killed_is_told_in_one_sentence(monkeypatch, capsys):
    with pytest.raises(BadArchive, match=r"must live, .* --processes 1"):
        verify(of(Deadly()), ["L0", "L1", "L2"], {}, Nobody(), processes=2)
    for name in ("replay", "audit"):
        module = importlib.import_module(logbourse.SUBCOMMANDS[name].module)
        monkeypatch.setattr(module, "open_log", lambda _: of(Deadly()))
        assert logbourse.main([name, "--processes", "2"]) == 2
        said = capsys.readouterr()
        assert said.err.startswith(f"logbourse {name}: ")
        assert said.err.count("\n") == 1


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)])
def test_no_process_outlives_who_waits_for_it(number, status, tmp_path):
    # Who runs the tests in the background may ignore the signal, and children inherit that.
    script = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    script += f"from {__name__} import replay_slowly; "
    script += f"sys.exit(replay_slowly({str(tmp_path)!r}) if __name__ == '__main__' else 0)"
    child = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stderr=subprocess.PIPE)
    expect(lambda: len(os.listdir(tmp_path)) == 2)
    child.send_signal(number)
    _, said = child.communicate(timeout=30.0)
    assert child.returncode == status
    assert number == signal.SIGKILL or said == b""
    expect(lambda: not any(map(lives, os.listdir(tmp_path))))
    assert len(os.listdir(tmp_path)) == 2


def expect(condition: Callable[[], bool]) -> None:
    give_up_s = time.monotonic() + 60.0
    while not condition():
        assert time.monotonic() < give_up_s
        time.sleep(0.05)


def lives(process: str) -> bool:
    """Whether it runs; one that has ended may wait to be asked how."""
    try:
        return ") Z " not in Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return False


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    directory = tmp_path_factory.mktemp("export")
    export(archived(traded(4)), directory, Nobody())
    return directory


@pytest.mark.parametrize("words", [["replay"], ["audit"], ["inspect", "ledger.in", "0", "1"]])
def test_an_answer_that_cannot_be_written_is_no_finding(words, exported):
    command = [sys.executable, "-m", "logbourse", *words, "--from", str(exported)]
    buffered = os.environ | {"PYTHONUNBUFFERED": ""}
    with open("/dev/full", "wb") as full:
        answer = subprocess.run(
            command,
            cwd=ROOT,
            env=buffered,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert answer.stderr == f"logbourse {words[0]}: [Errno 28] No space left on device\n"
    assert answer.returncode == 2
