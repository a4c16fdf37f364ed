"""What a supervisor does at signals: it ends, ends at once at the second, or was told not to."""

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pytest

from infra.children import wait_until
from infra.settings import Settings
from tests.infra.supervised import run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_a_second_signal_does_not_wait_for_the_child_that_is_being_stopped(journal, settings):
    deaf = "signal.signal(signal.SIGTERM, lambda *_: note('asked')); note('deaf')"
    forever = "\n            while True: time.sleep(60)"
    child = journal.child("a", then=deaf + forever, stop_timeout_s=60.0)
    ends_s: list[float] = []

    def interrupt_again() -> None:
        wait_until(lambda: "a:asked" in journal.lines(), 20, "it must be asked to end")
        ends_s.append(time.monotonic())
        os.kill(os.getpid(), signal.SIGINT)

    impatient = threading.Thread(target=interrupt_again)
    impatient.start()
    status, _ = run([child], settings, lambda: "a:deaf" in journal.lines())
    impatient.join()
    assert status == 0
    assert time.monotonic() - ends_s[0] < 10


@pytest.mark.parametrize("ignored", [True, False])
def test_a_hangup_ends_it_unless_it_was_started_to_ignore_that(tmp_path, ignored):
    code = f"""
        import os, signal
        from pathlib import Path
        from infra.settings import Settings
        from infra.supervisor import Process, Supervisor
        def ready():
            os.kill(os.getpid(), signal.SIGHUP)
            Path({str(tmp_path)!r}, "hung up").touch()
        sleep = Process("sleep", ("sleep", "600"))
        Supervisor([sleep], Settings(data_dir=Path({str(tmp_path)!r})), on_ready=ready).run()
    """
    as_nohup_has_it = signal.SIG_IGN if ignored else signal.SIG_DFL
    supervisor = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(code)],
        cwd=ROOT,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, as_nohup_has_it),
    )
    try:
        wait_until((tmp_path / "hung up").exists, 20, "it must be hung up")
        if ignored:
            with pytest.raises(subprocess.TimeoutExpired):
                supervisor.wait(0.5)
            supervisor.terminate()
        assert supervisor.wait(20) == 0
    finally:
        supervisor.kill()
        supervisor.wait()
