"""Outputs of processes: they do not grow for ever, and what was said last stays known."""

import shutil

import pytest

from infra import process_logs
from infra.children import wait_until
from infra.process_logs import bound, former, last_words
from infra.settings import Settings
from tests.infra.supervised import run


@pytest.fixture(autouse=True)
def small(monkeypatch) -> None:
    monkeypatch.setattr(process_logs, "MOST_BYTES", 1_000)
    monkeypatch.setattr("infra.supervisor.LOOK_AT_LOG_EVERY_S", 0.05)


def test_a_process_writes_on_in_a_log_that_was_begun_anew(journal, tmp_path):
    settings = Settings(data_dir=tmp_path)
    log = settings.logs_dir / "a.log"
    talks = """
            number = 0
            while True:
                number += 1
                print(f"line {number}", "." * 90, flush=True)
                time.sleep(0.01)
    """

    def begun_twice() -> bool:
        wait_until(lambda: former(log).exists(), 20, "the log must begin anew")
        first = former(log).read_text()
        wait_until(lambda: former(log).read_text() != first, 20, "and once more")
        wait_until(lambda: log.stat().st_size > 100, 20, "and go on")
        return True

    status, _ = run([journal.child("a", then=talks)], settings, begun_twice)
    assert status == 0
    lines = (former(log).read_text() + log.read_text()).splitlines()
    numbers = [int(line.split()[1]) for line in lines]
    assert numbers[0] > 1 and numbers == sorted(set(numbers))
    assert "\0" not in log.read_text(), "it must be written at its end"
    assert sorted(path.name for path in settings.logs_dir.iterdir()) == ["a.log", "a.log.1"]


def test_last_words_are_known_beyond_a_new_beginning(tmp_path):
    log = tmp_path / "a.log"
    assert last_words(log) == "nothing"
    log.write_text("x" * 1_001 + '\n{"event": "halted", "halt": "GAP"}\n')
    bound(log)
    assert (log.read_text(), last_words(log)) == ("", "halted halt=GAP")
    log.write_text("started\n")
    bound(log)
    assert (log.read_text(), last_words(log)) == ("started\n", "started")


def test_a_log_is_left_as_it_is_where_its_copy_would_fill_the_disk(tmp_path, monkeypatch):
    log = tmp_path / "a.log"
    log.write_text("x" * 2_000)
    usage = shutil.disk_usage(tmp_path)._replace(free=7_999)
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage)
    bound(log)
    assert [path.name for path in tmp_path.iterdir()] == ["a.log"]
    assert log.stat().st_size == 2_000
    monkeypatch.setattr("shutil.disk_usage", lambda _: usage._replace(free=8_000))
    bound(log)
    assert (log.stat().st_size, former(log).stat().st_size) == (0, 2_000)
