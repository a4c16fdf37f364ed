"""The folder of one recovery: what was set aside, and which steps are done."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

from infra.files import keep_text
from infra.recoveries import JOURNAL, PROVED, recoveries_dir, steps_done


class Journal:
    """Remembers finished steps, so that a recovery that was interrupted goes on where it was.

    Raises `Refusal` if the file in the folder is no journal.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._file = folder / JOURNAL
        self._done = steps_done(self._file)

    def has(self, step: str) -> bool:
        """Whether the step is done."""
        return step in self._done

    def note(self, step: str) -> None:
        """The step is done now, and stays so after a loss of power."""
        self._done.append(step)
        keep_text(self._file, json.dumps(self._done) + "\n")

    def keep(self, name: str, words: Mapping[str, Mapping[str, str]]) -> None:
        """Write down what a later step needs of what is replaced until then."""
        keep_text(self.folder / name, json.dumps(words, indent=2) + "\n")

    def kept(self, name: str) -> dict[str, dict[str, str]]:
        """What was kept; nothing in a folder of a build that kept nothing."""
        path = self.folder / name
        return dict(json.loads(path.read_text())) if path.exists() else {}

    def discard(self) -> None:
        """Leave no trace of a recovery that nobody wants done: it has copies only."""
        shutil.rmtree(self.folder)

    def restart(self) -> None:
        """Begin with an empty folder: what an earlier try copied may be another log by now."""
        self.discard()
        self.folder.mkdir()

    def set_aside(self, path: Path, name: str = "") -> bool:
        """Move a file or folder into the recovery's folder; False if it is not there (any more)."""
        target = self.folder / (name or path.name)
        if target.exists() or not path.exists():
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        path.rename(target)
        return True


def open_journal(data_dir: Path) -> Journal:
    """The recovery that is not finished yet, else a new one, in `<data>/recovery/<number>`.

    Raises `Refusal` if the newest one's journal cannot be read.
    """
    parent = recoveries_dir(data_dir)
    numbers = [int(path.name) for path in parent.glob("*") if path.name.isdigit()]
    newest = max(numbers, default=0)
    if newest:
        journal = Journal(parent / str(newest))
        if not journal.has(PROVED):
            return journal
    folder = parent / str(newest + 1)
    folder.mkdir(parents=True)
    return Journal(folder)
