"""A text that is replaced: for whom it is, and what others see meanwhile."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from infra.files import replace_text


@pytest.mark.parametrize("private", [False, True])
def test_a_private_text_was_never_open_to_others(tmp_path, monkeypatch, private):
    path = tmp_path / "text"
    path.write_text("former")
    path.chmod(0o644)
    modes = []
    monkeypatch.setattr(Path, "replace", lambda draft, to: modes.append(draft.stat().st_mode))
    replace_text(path, "new", private=private)
    assert [bool(stat.S_IMODE(mode) & 0o077) for mode in modes] == [not private]


def test_several_that_replace_a_text_at_once_leave_one_of_theirs(tmp_path):
    texts = [f"{number}" * 20_000 for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda text: replace_text(tmp_path / "text", text), texts * 10))
    assert (tmp_path / "text").read_text() in texts
    assert [path.name for path in tmp_path.iterdir()] == ["text"]


def test_a_text_that_cannot_be_written_leaves_the_former_one(tmp_path):
    (tmp_path / "text").write_text("former")
    with pytest.raises(UnicodeEncodeError):
        replace_text(tmp_path / "text", "\udc00")
    assert (tmp_path / "text").read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["text"]
