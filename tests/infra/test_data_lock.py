"""A data directory has one owner, or one of each part: whoever comes second changes nothing."""

import shutil
import subprocess
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path

import pytest

import logbourse
from infra.data_lock import owned_data, owned_part
from infra.recoveries import AGREED
from infra.refusal import Refusal
from infra.settings import Settings, load_settings
from streams.recovery.journal import open_journal

ROOT = Path(__file__).parents[2]
Owned = Callable[[Settings], AbstractContextManager[None]]
KAFKA: Owned = partial(owned_part, part="kafka")
REDIS: Owned = partial(owned_part, part="redis")


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("LOGBOURSE_DATA_DIR", str(tmp_path / "data"))
    return load_settings()


def files(settings: Settings) -> dict[str, str]:
    found = (path for path in settings.data_dir.rglob("*") if path.is_file())
    return {str(path.relative_to(settings.data_dir)): path.read_text() for path in found}


def test_a_data_directory_has_one_stack(settings):
    sentence = "must be used by one stack, was in use by pid"
    with owned_data(settings), pytest.raises(Refusal, match=sentence), owned_data(settings):
        raise AssertionError("two stacks at once")
    with owned_data(settings):
        assert (settings.data_dir / "lock").exists()


def test_kafka_and_redis_stand_beside_each_other_and_beside_no_stack(settings):
    with owned_data(settings):
        pass
    with KAFKA(settings), REDIS(settings):
        sentence = "one stack, was in use by logbourse kafka or logbourse redis$"
        with pytest.raises(Refusal, match=sentence), owned_data(settings):
            raise AssertionError("a stack beside its parts")
    with owned_data(settings):
        pass


@pytest.mark.parametrize(
    ("name", "owned", "sentence"),
    [
        ("kafka", owned_data, "must be used by one stack, was in use by pid "),
        ("redis", owned_data, "must be used by one stack, was in use by pid "),
        ("kafka", KAFKA, "must be used by one kafka, was in use by pid "),
        ("redis", REDIS, "must be used by one redis, was in use by pid "),
        (
            "run",
            KAFKA,
            "must be used by one stack, was in use by logbourse kafka or logbourse redis",
        ),
    ],
)
def test_whoever_comes_second_is_refused_and_changes_nothing(
    settings, capsys, name, owned, sentence
):
    with owned(settings):
        before = files(settings)
        assert logbourse.main([name]) == 1
        assert files(settings) == before
    said = capsys.readouterr().err
    assert said.startswith(f"logbourse {name}: {settings.data_dir} {sentence}")
    assert said.count("\n") == 1


@pytest.mark.parametrize("name", ["run", "kafka", "redis"])
def test_while_a_recovery_is_not_finished_nothing_starts(settings, capsys, name):
    open_journal(settings.data_dir).note(AGREED)
    before = files(settings)
    assert logbourse.main([name]) == 1
    assert "must be finished before the exchange starts" in capsys.readouterr().err
    assert {path for path in files(settings) if "lock" not in path} == set(before)


@pytest.mark.parametrize("owned", [owned_data, KAFKA])
def test_make_clean_forgets_nothing_while_the_data_are_used(tmp_path, owned):
    shutil.copy(ROOT / "Makefile", tmp_path)
    settings = load_settings({"LOGBOURSE_DATA_DIR": str(tmp_path / ".data")})

    def clean() -> tuple[int, str]:
        answer = subprocess.run(
            ["make", "--no-print-directory", "clean"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=False,
        )
        return answer.returncode, answer.stderr

    (tmp_path / "build").mkdir()
    with owned(settings):
        before = files(settings)
        status, said = clean()
        assert status != 0
        assert ".data must not be in use, a stack runs on it: stop it first\n" in said
        assert files(settings) == before
        assert (tmp_path / "build").exists(), "a running stack may be of that build"
    assert clean()[0] == 0
    assert not settings.data_dir.exists()
    assert not (tmp_path / "build").exists()
    assert clean()[0] == 0, "there may be nothing to forget"
