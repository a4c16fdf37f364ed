"""How a rebuild of an embedded ClickHouse is asked of its owner, who answers whatever happens."""

import threading
from collections.abc import Iterator

import pytest

from infra import files
from infra.clickhouse import StoreUnavailable
from infra.settings import Settings, load_settings
from projections import rebuild_command, rebuild_request


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setattr(rebuild_request, "LOOK_EVERY_S", 0.02)
    return load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path)})


@pytest.fixture
def owner(settings) -> Iterator[rebuild_request.RebuildRequests]:
    owner = rebuild_request.RebuildRequests(settings)
    owner.start()
    yield owner
    owner.stop()


def test_the_owner_is_asked_by_file_and_tells_how_far_it_is(owner, settings, monkeypatch):
    def rebuilt(_settings, progress):
        progress(3, 9)
        return "7"

    monkeypatch.setattr(rebuild_request, "run_rebuild", rebuilt)
    told: list[tuple[int, int]] = []
    assert rebuild_request.ask_owner(settings, lambda *numbers: told.append(numbers)) == "7"
    assert told[-1] == (3, 9)


def test_what_fails_at_the_owner_is_said_here(owner, settings, monkeypatch):
    def broken(_settings, _progress):
        raise OSError("the disk is full")

    monkeypatch.setattr(rebuild_request, "run_rebuild", broken)
    with pytest.raises(rebuild_request.RebuildFailed, match="OSError: the disk is full"):
        rebuild_request.ask_owner(settings, lambda *_: None)


def test_an_owner_who_falls_silent_is_not_waited_for(owner, settings, monkeypatch):
    monkeypatch.setattr(rebuild_request, "SILENT_AT_MOST_S", 0.1)
    killed = threading.Event()

    def endless(_settings, progress):
        progress(3, 9)
        killed.wait(10)
        raise OSError("killed")

    monkeypatch.setattr(rebuild_request, "run_rebuild", endless)
    with pytest.raises(rebuild_request.RebuildFailed, match=r"must go on within 0 s, did not"):
        rebuild_request.ask_owner(settings, lambda *_: None)
    killed.set()


def test_without_an_owner_the_request_is_taken_back(settings, tmp_path, monkeypatch):
    monkeypatch.setattr(rebuild_request, "PICKED_UP_WITHIN_S", 0.0)
    with pytest.raises(rebuild_request.NobodyAnswered):
        rebuild_request.ask_owner(settings, lambda *_: None)
    assert not list(tmp_path.glob("rebuild-*"))


def test_a_disk_that_is_full_for_a_while_leaves_somebody_who_answers(owner, settings, monkeypatch):
    """Neither how far it is can be told then, nor that it failed."""
    full = threading.Event()
    full.set()
    failed = threading.Semaphore(0)

    def replace_text(path, text) -> None:
        if full.is_set():
            failed.release()
            raise OSError(28, "No space left on device")
        files.replace_text(path, text)

    def rebuilt(_settings, progress):
        progress(3, 9)
        return "7"

    monkeypatch.setattr(rebuild_request, "replace_text", replace_text)
    monkeypatch.setattr(rebuild_request, "run_rebuild", rebuilt)
    monkeypatch.setattr(rebuild_request, "SILENT_AT_MOST_S", 0.3)
    with pytest.raises(rebuild_request.RebuildFailed, match="must go on"):
        rebuild_request.ask_owner(settings, lambda *_: None)
    assert failed.acquire(timeout=10) and failed.acquire(timeout=10)
    full.clear()
    monkeypatch.setattr(rebuild_request, "SILENT_AT_MOST_S", 10.0)
    assert rebuild_request.ask_owner(settings, lambda *_: None) == "7"


def test_an_owner_who_answers_nobody_is_named(settings, monkeypatch):
    def owned(*_: object) -> str:
        raise StoreUnavailable("it must belong to this process alone, was refused")

    monkeypatch.setattr(rebuild_request, "PICKED_UP_WITHIN_S", 0.0)
    monkeypatch.setattr(rebuild_command, "run_rebuild", owned)
    wanted = "alone, was refused; query is busy with another rebuild, or must be started again"
    with pytest.raises(rebuild_request.RebuildFailed, match=wanted):
        rebuild_command.rebuild(settings, "clickhouse", lambda *_: None)
