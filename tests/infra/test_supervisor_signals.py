"""What a supervisor does at signals: it ends, ends at once at the second, or was told not to."""

import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from infra.children import wait_until
from infra.settings import Settings

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path)


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
