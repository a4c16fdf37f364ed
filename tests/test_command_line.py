"""The command line answers what it does not understand with one sentence and a status."""

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest
import structlog

import logbourse

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def logging_as_before():
    """A subcommand logs to the stream of its test, which is closed when the next one logs."""
    yield
    structlog.reset_defaults()


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
        (["shard", "L0", "L99"], "logbourse shard: shards must be among A0 "),
        (["handover", "Q0"], "logbourse handover: shards must be among A0 "),
        (["serve", "--roles", "cook"], "logbourse serve: roles must be among "),
        (["export", "/dev/null", "--bootstrap", "127.0.0.1:9"], "logbourse export: Kafka must "),
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


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["bots", "--url", "http://127.0.0.1:9", "--keys", "no/keys"], "must hold the bots' keys"),
        (["seed", "--keys", "no/keys"], "the admin port must answer, did not"),
        (["genesis", "--fee-tier", f"0:{1 << 80}:1"], "a fee tier must be"),
        (["run"], "No such file or directory"),
    ],
)
def test_what_is_not_there_is_one_sentence_and_status_1(
    capsys, monkeypatch, tmp_path, words, sentence
):
    nowhere = {"KAFKA_BOOTSTRAP": "127.0.0.1:9", "REDIS_URL": "redis://127.0.0.1:9/0"}
    data_dir = "/proc/nowhere" if words == ["run"] else str(tmp_path)
    for name, value in (nowhere | {"ADMIN_PORT": "9", "DATA_DIR": data_dir}).items():
        monkeypatch.setenv(f"LOGBOURSE_{name}", value)
    assert logbourse.main(words) == 1
    said = capsys.readouterr().err.splitlines()
    (last,) = [line for line in said if line.startswith(f"logbourse {words[0]}: ")]
    assert sentence in last
    assert "Traceback" not in "".join(said)


def test_a_rebuild_without_redis_is_one_sentence(tmp_path):
    nowhere = {"KAFKA_BOOTSTRAP": "127.0.0.1:9", "REDIS_URL": "redis://127.0.0.1:9/0"}
    names = {f"LOGBOURSE_{name}": value for name, value in nowhere.items()}
    environment = os.environ | names | {"LOGBOURSE_DATA_DIR": str(tmp_path)}
    command = [sys.executable, "-m", "logbourse", "rebuild", "redis"]
    answer = subprocess.run(
        command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )
    assert answer.returncode == 1
    assert answer.stderr.splitlines()[-1].startswith(
        "logbourse rebuild: Redis must answer, did not: "
    )


@pytest.mark.parametrize("name", logbourse.SUBCOMMANDS)
def test_every_subcommand_is_there(name):
    module = importlib.import_module(logbourse.SUBCOMMANDS[name].module)
    assert callable(module.add_arguments)
    assert callable(module.run)


def test_what_stands_among_the_tests_needs_a_checkout(capsys, monkeypatch):
    beyond = logbourse.Subcommand("tests.nowhere.command", "not in a wheel")
    monkeypatch.setitem(logbourse.SUBCOMMANDS, "bench", beyond)
    assert logbourse.main(["bench"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("logbourse bench: this needs a checkout")
    assert said.endswith("tests.nowhere is missing\n")


@pytest.mark.parametrize("name", ["replay", "audit"])
def test_want_of_memory_is_one_sentence_and_no_finding(capsys, monkeypatch, name):
    def exhausted(_: object) -> int:
        raise MemoryError

    monkeypatch.setattr(f"{logbourse.SUBCOMMANDS[name].module}.run", exhausted)
    assert logbourse.main([name]) == 2
    assert capsys.readouterr().err == f"logbourse {name}: memory must suffice, did not\n"


def test_it_does_not_start_without_assertions():
    command = [sys.executable, "-O", "logbourse.py", "topics", "check"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr.startswith("logbourse: assertions must stay on")
