"""The command line answers what it does not understand with one sentence and a status."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import logbourse

ROOT = Path(__file__).parents[1]


def test_without_words_it_lists_every_subcommand(capsys):
    assert logbourse.main([]) == 0
    listed = capsys.readouterr().out
    assert all(name in listed for name in logbourse.SUBCOMMANDS)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["dance"], "logbourse: a subcommand must be one of "),
        (["topics"], "logbourse topics: the following arguments are required"),
        (["topics", "paint"], "logbourse topics: argument action: invalid choice"),
        (["kafka", "--brokers", "2"], "logbourse kafka: argument --brokers: invalid choice"),
    ],
)
def test_what_is_not_understood_gets_one_sentence_and_status_2(capsys, words, sentence):
    try:
        status = logbourse.main(words)
    except SystemExit as leaving:
        status = int(leaving.code or 0)
    said = capsys.readouterr().err
    assert status == 2
    assert said.startswith(sentence)
    assert said.count("\n") == 1


def test_a_refusal_is_one_sentence_and_status_1(capsys, monkeypatch):
    monkeypatch.setenv("LOGBOURSE_PUBLIC_PORT", "many")
    assert logbourse.main(["topics", "check"]) == 1
    assert capsys.readouterr().err == (
        "logbourse topics: LOGBOURSE_PUBLIC_PORT must be a whole number, was 'many'\n"
    )


@pytest.mark.parametrize("name", logbourse.SUBCOMMANDS)
def test_every_subcommand_is_there(name):
    module = importlib.import_module(logbourse.SUBCOMMANDS[name].module)
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_it_does_not_start_without_assertions():
    command = [sys.executable, "-O", "logbourse.py", "topics", "check"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("logbourse: assertions must stay on")
