"""Both builds are the same exchange, and which of them runs is never a matter of chance."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from native import compiling
from native.modules import HOT, READ_BY_THEM
from native.selection import BUILDS, PURE, ROOT, build_in_use, source_of, sources_key

compiled_only = pytest.mark.skipif(build_in_use() != "compiled", reason="nothing is compiled")


def python(*words: str, pure: str = "", seed: str = "0", cwd: Path = ROOT) -> str:
    """What a new Python printed; fails with what it said if it did not end well."""
    ended = subprocess.run(
        [sys.executable, *words],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": str(cwd), PURE: pure, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout.strip()


SAY_BUILD = "from native.selection import build_in_use; print(build_in_use())"


@compiled_only
@pytest.mark.slow
def test_a_recorded_day_is_the_same_in_both_builds_whatever_the_hash_seed():
    said = [
        python("-m", "tests.native.recorded_day", pure=pure, seed=seed)
        for pure in ("", "1")
        for seed in ("0", "1", "4711")
    ]
    builds, digests = zip(*(line.split() for line in said), strict=True)
    assert builds == ("compiled",) * 3 + ("pure",) * 3
    assert len(set(digests)) == 1


@compiled_only
@pytest.mark.slow
def test_what_is_of_the_sources_passes_on_the_sources():
    python("-m", "pytest", "-q", "-m", "sources", "tests", pure="1")


@compiled_only
def test_the_environment_can_ask_for_the_sources():
    assert python("-c", SAY_BUILD) == "compiled"
    assert python("-c", SAY_BUILD, pure="0") == "compiled"
    assert python("-c", SAY_BUILD, pure="1") == "pure"


@compiled_only
def test_a_changed_source_is_not_run_compiled(tmp_path):
    for folder in compiling.PACKAGES:
        shutil.copytree(ROOT / folder, tmp_path / folder)
    (tmp_path / "build" / "native").mkdir(parents=True)
    (tmp_path / "build" / "native" / sources_key()).symlink_to(BUILDS / sources_key())
    assert python("-P", "-c", SAY_BUILD, cwd=tmp_path) == "compiled"
    with (tmp_path / "domain" / "fees.py").open("a") as fees:
        fees.write("# Changed.\n")
    assert python("-P", "-c", SAY_BUILD, cwd=tmp_path) == "pure"


def test_without_a_compiler_there_is_one_sentence(monkeypatch, capsys):
    monkeypatch.setenv("CC", "/nowhere/cc")
    monkeypatch.delenv(PURE, raising=False)
    assert compiling.main() == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert said.startswith("no C compiler was found")


def test_nothing_is_compiled_where_the_sources_are_wanted(monkeypatch, capsys):
    monkeypatch.setenv(PURE, "1")
    assert compiling.main() == 0
    assert capsys.readouterr().out == ""


def test_all_that_hot_modules_import_of_ours_is_in_the_key():
    wanted = set()
    for module in HOT:
        for node in ast.walk(ast.parse(source_of(module).read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module:
                wanted |= {node.module, *(f"{node.module}.{each.name}" for each in node.names)}
    ours = {name for name in wanted if source_of(name).is_file()}
    assert ours - {*HOT, *READ_BY_THEM} == set()
    assert len(HOT) == len(set(HOT))
