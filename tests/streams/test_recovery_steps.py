"""A recovery's folder: an interrupted one goes on, nothing is moved twice, nothing is deleted."""

import os
import sys

import pytest

from domain.protocol import HaltAction
from infra.recoveries import AGREED, PROVED, expect_no_recovery
from infra.refusal import Refusal
from streams.marks import Done
from streams.recovery import command
from streams.recovery.journal import open_journal
from streams.recovery.losses import Losses
from streams.recovery.plan import Plan
from streams.recovery.report import name_of, read_plan, write_report

PLAN = Plan(
    kept={("ledger.in", 0): 3, ("dlq", 0): 0},
    ends={("ledger.in", 0): 5, ("dlq", 0): 1},
    marks={"L0": Done(2, 1, bytes(16))},
    committed={"L0": 4},
    spoiled={"L0": [4]},
    resolved={"L0": {b"\x01" * 16: HaltAction.SKIP}},
    damage=["MISSING"],
)


def test_an_unfinished_recovery_goes_on_and_a_finished_one_is_followed_by_another(tmp_path):
    first = open_journal(tmp_path)
    first.note(AGREED)
    again = open_journal(tmp_path)
    assert again.folder == first.folder
    assert again.has(AGREED)
    assert not again.has(PROVED)
    again.note(PROVED)
    assert open_journal(tmp_path).folder.name == "2"


def test_the_exchange_stays_closed_from_the_first_change_until_all_is_proved(tmp_path):
    journal = open_journal(tmp_path)
    journal.note("looked")
    expect_no_recovery(tmp_path)
    journal.note(AGREED)
    with pytest.raises(Refusal, match="must be finished before the exchange starts"):
        expect_no_recovery(tmp_path)
    journal.note(PROVED)
    expect_no_recovery(tmp_path)


def test_a_step_and_the_plan_are_on_the_disk_before_anything_follows(tmp_path, monkeypatch):
    synced = []

    def fsync(descriptor: int) -> None:
        synced.append(os.readlink(f"/proc/self/fd/{descriptor}"))

    monkeypatch.setattr(os, "fsync", fsync)
    journal = open_journal(tmp_path)
    journal.note(AGREED)
    assert synced == [str(journal.folder / "journal.json.tmp"), str(journal.folder)]
    write_report(journal.folder, PLAN, Losses())
    assert synced[2:] == [str(journal.folder / "report.json.tmp"), str(journal.folder)]


@pytest.mark.parametrize("text", [b"", b"[", b"\xff", b"[" * 100_000, b"7", b"{}", b"[1]", b'"x"'])
def test_a_journal_that_is_none_is_named(tmp_path, text):
    journal = open_journal(tmp_path)
    file = journal.folder / "journal.json"
    file.write_bytes(text)
    for ask in (expect_no_recovery, open_journal):
        with pytest.raises(Refusal, match="must list the steps of a recovery") as refused:
            ask(tmp_path)
        assert str(refused.value).startswith(str(file))


def test_what_is_set_aside_is_moved_once_and_whole(tmp_path):
    data = tmp_path / "kafka"
    (data / "node-1").mkdir(parents=True)
    journal = open_journal(tmp_path)
    assert journal.set_aside(data)
    assert not data.exists()
    data.mkdir()
    assert not journal.set_aside(data), "what replaces it must stay, whoever asks again"
    assert (journal.folder / "kafka" / "node-1").is_dir()
    assert not journal.set_aside(tmp_path / "redis")


def test_what_nobody_agreed_to_leaves_nothing_behind(tmp_path):
    journal = open_journal(tmp_path)
    (journal.folder / "log").mkdir()
    journal.restart()
    assert not list(journal.folder.iterdir())
    journal.discard()
    assert not journal.folder.exists()


def test_who_has_no_keyboard_agrees_to_nothing(monkeypatch, capsys):
    """`logbourse recover <&-`."""
    monkeypatch.setattr(sys, "stdin", None)
    assert not command._asked("Do this?")
    assert "Do this?" in capsys.readouterr().out


def test_the_report_holds_the_plan_and_its_hash_names_it(tmp_path):
    write_report(tmp_path, PLAN, Losses())
    assert read_plan(tmp_path) == PLAN
    name = name_of(tmp_path)
    assert len(name) == 16
    path = write_report(tmp_path, PLAN, Losses(numbers=["one more"]))
    assert name_of(tmp_path) != name
    path.write_text("{}")
    with pytest.raises(Refusal, match="must be a recovery's report"):
        read_plan(tmp_path)


def test_a_plan_tells_what_does_not_stay():
    assert PLAN.dropped() == {("ledger.in", 0): 2, ("dlq", 0): 1}
    assert PLAN.must_rewrite()
    assert PLAN.is_needed()
