"""The supervisor with real processes: restart, halt, tasks, order of the end, no orphans."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest

from infra.children import make_nice, spawn, wait_until
from infra.metrics import REGISTRY
from infra.settings import Settings
from infra.supervisor import DEATHS_BEFORE_READY
from streams.halts import Halt, HaltReason, ShardHalted
from tests.infra.supervised import run

ROOT = Path(__file__).parents[2]


@pytest.fixture
def settings(tmp_path) -> Settings:
    return Settings(data_dir=tmp_path)


def test_processes_start_in_order_and_end_in_reverse(journal, settings):
    status, said = run([journal.child("a"), journal.child("b")], settings, lambda: True)
    assert status == 0
    assert journal.lines() == ["a:start", "b:start", "b:end", "a:end"]
    assert said.endswith("stopped\n")


def test_what_dies_is_started_again_and_that_is_said(journal, settings):
    words = """print('{"event": "out of\\\\nluck"}', flush=True); os._exit(7)"""
    children = [journal.child("a", then=words)]
    status, said = run(children, settings, lambda: journal.lines().count("a:start") >= 3)
    assert status == 0
    assert 'a ended with status 7, again in 0.2 s, last said "out of luck", see' in said
    assert "a ended with status 7, again in 0.4 s" in said
    assert "a started again" in said


def test_what_lived_for_long_enough_does_not_wait_longer_each_time(journal, settings, monkeypatch):
    monkeypatch.setattr("infra.supervisor.STEADY_S", 0.3)
    children = [journal.child("a", then="time.sleep(0.5); os._exit(7)")]
    status, said = run(children, settings, lambda: journal.lines().count("a:start") >= 3)
    assert status == 0
    assert said.count("a ended with status 7, again in 0.2 s") >= 2
    assert "again in 0.4 s" not in said


def test_what_is_killed_is_started_again(journal, settings):
    pid_file = settings.data_dir / "run" / "a.pid"

    def kill_once() -> bool:
        if journal.lines() == ["a:start"] and pid_file.exists():
            os.kill(int(pid_file.read_text()), signal.SIGKILL)
            wait_until(lambda: len(journal.lines()) == 2, 10, "a must start again")
        return journal.lines() == ["a:start", "a:start"]

    status, said = run([journal.child("a")], settings, kill_once)
    assert (status, journal.lines()) == (0, ["a:start", "a:start", "a:end"])
    assert "a ended with signal SIGKILL" in said


def test_what_cannot_be_started_again_is_tried_later(journal, settings, monkeypatch, tmp_path):
    monkeypatch.setattr("infra.supervisor.LONGEST_PAUSE_S", 0.3)
    python = tmp_path / "python"
    python.symlink_to(sys.executable)
    child = journal.child("a", then=f"os.unlink({str(python)!r}); os._exit(7)")
    child = replace(child, argv=(str(python), *child.argv[1:]))

    def is_back() -> bool:
        if journal.lines().count("a:start") == 1 and not python.exists():
            time.sleep(0.8)
            python.symlink_to(sys.executable)
        return journal.lines().count("a:start") >= 2

    status, said = run([child, journal.child("b")], settings, is_back)
    assert status == 0
    assert "a cannot be started: [Errno 2]" in said
    assert journal.lines().count("a:start") >= 2
    assert journal.lines()[-1] == "b:end"


def test_a_process_runs_whose_pid_cannot_be_written(journal, settings):
    (settings.data_dir / "run").mkdir()
    (settings.data_dir / "run" / "a.pid").symlink_to("/dev/full")
    status, _ = run([journal.child("a")], settings, lambda: True)
    assert (status, journal.lines()) == (0, ["a:start", "a:end"])


def test_what_halts_stays_down(journal, settings):
    words = json.dumps({"event": "halted", "halt": "GAP", "detail": 400 * "1", "shard": "L0"})
    halting = f"print({words!r}, flush=True); os._exit(3)"
    until = time.monotonic() + 1.0
    children = [journal.child("a", then=halting, halts=True), journal.child("b")]
    status, said = run(children, settings, lambda: time.monotonic() > until)
    assert status == 0
    assert journal.lines() == ["a:start", "b:start", "b:end"]
    assert (
        f'a HALTED and stays down, last said "halted halt=GAP detail={400 * "1"} shard=L0", '
        f"see {settings.logs_dir}" in said
    )


def test_status_3_of_one_that_never_halts_is_an_end_like_others(journal, settings):
    """Java's, for one, when its memory was not enough."""
    starts = f"open({str(journal.path)!r}).read().count('a:start')"
    ends_once = f"os._exit(3) if {starts} == 1 else time.sleep(60)"
    child = journal.child("a", then=ends_once)
    status, said = run([child], settings, lambda: journal.lines().count("a:start") == 2)
    assert status == 0
    assert "a ended with status 3" in said and "HALTED" not in said


def test_what_halted_starts_again_on_an_operators_word(journal, settings):
    wish = settings.data_dir / "run" / "a.restart"
    starts = f"open({str(journal.path)!r}).read().count('a:start')"
    halts_once = f"os._exit(3) if {starts} == 1 else time.sleep(60)"
    asked_s: list[float] = []

    def ask_once() -> bool:
        if not asked_s and not (settings.data_dir / "run" / "a.pid").exists():
            asked_s.append(time.monotonic())
            wish.touch()
        return journal.lines().count("a:start") == 2

    status, said = run([journal.child("a", then=halts_once, halts=True)], settings, ask_once)
    assert status == 0
    assert journal.lines() == ["a:start", "a:start", "a:end"]
    assert f"start it again with: touch {wish}" in said
    assert "a started again" in said
    assert not wish.exists()


def test_beside_a_halted_one_the_rest_starts_without_being_waited_for(journal, settings):
    """What an operator ends the halt with comes after what cannot serve without the shard."""
    halting = "time.sleep(0.3); print('shard L0 halted', flush=True); os._exit(3)"
    children = [
        journal.child("shards", then=halting, halts=True),
        journal.child("query", ready=lambda: False, ready_timeout_s=20.0),
        journal.child("seed", then="os._exit(1)", task=True),
        journal.child("gateway", ready=lambda: False, ready_timeout_s=0.0),
    ]
    status, said = run(
        children, settings, lambda: "gateway:start" in journal.lines(), watched_from_the_start=True
    )
    assert status == 0
    assert {"query:end", "gateway:end"} <= set(journal.lines())
    assert "must be ready" not in said
    (once, again) = [line for line in said.splitlines() if "shards HALTED" in line]
    assert again.endswith(once) and said.index(again) > said.index("gateway started")
    assert 'last said "shard L0 halted"' in again
    assert f"touch {settings.data_dir / 'run' / 'shards.restart'}" in again


def test_beside_a_halted_one_nothing_that_dies_ends_the_run(journal, settings, monkeypatch):
    monkeypatch.setattr("infra.supervisor.LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr("infra.supervisor.FIRST_PAUSE_S", 0.05)
    children = [
        journal.child("shards", then="os._exit(3)", halts=True),
        journal.child("seed", then="os._exit(1)", task=True),
        journal.child("bots", then="os._exit(1)", ready=lambda: False),
    ]

    def died_often() -> bool:
        starts = [journal.lines().count(f"{name}:start") for name in ("seed", "bots")]
        return min(starts) > DEATHS_BEFORE_READY

    status, said = run(children, settings, died_often, watched_from_the_start=True)
    assert status == 0
    assert died_often()
    assert "bots died" not in said


def test_that_all_serve_is_said_once_the_halt_is_over(journal, settings):
    wish = settings.data_dir / "run" / "shards.restart"
    starts = f"open({str(journal.path)!r}).read().count('shards:start')"
    halts_once = f"os._exit(3) if {starts} == 1 else time.sleep(60)"
    served: list[bool] = []

    def serves() -> bool:
        return journal.lines().count("shards:start") == 2

    def resolve() -> None:
        wait_until(lambda: "query:start" in journal.lines(), 20, "query must start")
        time.sleep(0.5)
        wish.touch()

    children = [
        journal.child("shards", then=halts_once, halts=True),
        journal.child("query", ready=serves),
    ]
    operator = threading.Thread(target=resolve)
    operator.start()

    def note() -> bool:
        served.append(serves())
        return True

    status, _ = run(children, settings, note)
    operator.join()
    assert (status, served) == (0, [True])


def test_metrics_tell_how_processes_ended_and_which_shard_halted_why(journal, settings):
    halt = ShardHalted("L1", Halt(HaltReason.GAP, "cseq 2 wanted, was 9"), 7, b"", resolvable=False)
    halting = f"print({str(halt)!r}, flush=True); os._exit(3)"
    found: dict[str, float | None] = {}

    def look() -> bool:
        found.update(
            halted=sample("halted", child="h", shard="L1", reason="GAP"),
            down=sample("up", child="h"),
            up=sample("up", child="b"),
            memory=sample("resident_bytes", child="b"),
            ends=sample("ends_total", child="h", how="status 3"),
            task=sample("up", child="t"),
        )
        return found["halted"] is not None

    children = [
        journal.child("h", then=halting, ready=lambda: True, halts=True),
        journal.child("b"),
    ]
    task = journal.child("t", then="os._exit(0)", task=True)
    run([task, *children], settings, look)
    assert (found.pop("memory") or 0) > 1_000_000
    assert found == {"halted": 1, "down": 0, "up": 1, "ends": 1, "task": None}


def sample(name: str, **labels: str) -> float | None:
    return REGISTRY.get_sample_value(f"logbourse_child_{name}", labels)


def test_a_task_ends_before_the_next_starts_and_is_not_repeated(journal, settings):
    task = journal.child("t", then="time.sleep(0.3); note('done'); os._exit(0)", task=True)
    status, _ = run([task, journal.child("a")], settings, lambda: True)
    assert status == 0
    assert journal.lines() == ["t:start", "t:done", "a:start", "a:end"]


def test_what_never_becomes_ready_ends_the_run(journal, settings):
    children = [journal.child("a"), journal.child("b", ready=lambda: False, ready_timeout_s=0.4)]
    status, said = run(children, settings, lambda: True)
    assert status == 1
    assert "b must be ready within 0 s, last said" in said
    assert journal.lines() == ["a:start", "b:start", "b:end", "a:end"]


def test_what_dies_again_and_again_before_it_is_ready_ends_the_run(journal, settings, monkeypatch):
    monkeypatch.setattr("infra.supervisor.LONGEST_PAUSE_S", 0.05)
    monkeypatch.setattr("infra.supervisor.FIRST_PAUSE_S", 0.05)
    child = journal.child(
        "a", then="print('no port', flush=True); os._exit(1)", ready=lambda: False
    )
    status, said = run([child], settings, lambda: True)
    assert status == 1
    assert 'a died 5 times, last said "no port", see' in said


def test_what_does_not_listen_is_killed(journal, settings):
    deaf = "signal.signal(signal.SIGTERM, signal.SIG_IGN); note('deaf'); time.sleep(60)"
    child = journal.child("a", then=deaf, stop_timeout_s=0.3)
    begun_s = time.monotonic()
    status, _ = run([child], settings, lambda: "a:deaf" in journal.lines())
    assert status == 0
    assert time.monotonic() - begun_s < 10


def test_everything_dies_with_the_supervisor(journal, tmp_path):
    code = f"""
        import sys
        from pathlib import Path
        from infra.settings import Settings
        from infra.supervisor import Process, Supervisor
        sleep = Process("sleep", ("sleep", "600"))
        Supervisor([sleep], Settings(data_dir=Path({str(tmp_path)!r})), on_ready=None).run()
    """
    supervisor = subprocess.Popen([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT)
    pid_file = tmp_path / "run" / "sleep.pid"
    try:
        wait_until(lambda: pid_file.exists() and pid_file.read_text() != "", 20, "sleep must run")
        pid = int(pid_file.read_text())
        assert _runs(pid)
    finally:
        supervisor.kill()
        supervisor.wait()
    wait_until(lambda: not _runs(pid), 5, "sleep must be gone")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_process_is_nice_once_it_has_started(journal, settings, monkeypatch):
    monkeypatch.setattr("infra.supervisor.HEAD_START_S", 2.0)
    answers = iter((False, True))
    monkeypatch.setattr("infra.supervisor.make_nice", lambda *of: next(answers) and make_nice(*of))
    wanted = min(os.nice(0) + 7, 19)
    then = f"""
            import threading
            threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
            threads = [int(thread) for thread in os.listdir("/proc/self/task")]
            def niceness():
                return {{os.getpriority(os.PRIO_PROCESS, thread) for thread in threads}}
            note("first-" + "-".join(map(str, niceness())))
            while niceness() != {{{wanted}}}:
                time.sleep(0.05)
            note(f"then-{{len(threads)}}")
            time.sleep(60)
    """
    children = [journal.child("a", then=then, niceness=7)]
    status, _ = run(children, settings, lambda: "a:then-2" in journal.lines())
    assert status == 0
    assert journal.lines() == ["a:start", f"a:first-{os.nice(0)}", "a:then-2", "a:end"]


def test_a_process_that_is_gone_is_not_made_nice(tmp_path):
    child = spawn((sys.executable, "-S", "-c", ""), tmp_path / "log")
    assert child.wait(30) == 0
    assert make_nice(child.pid, 7)
