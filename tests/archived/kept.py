"""The archives that are kept: unpacked for a replay, and what replay must say of them."""

import json
import tarfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from streams.shard import hash_of_dump

HERE = Path(__file__).parent
LOG, REPLAY = "log.tar.xz", "replay.json"
_HARMLESS: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
"""Debian's Python 3.11.2 knows no filters yet; what is unpacked here is ours."""


@dataclass(slots=True, frozen=True)
class Kept:
    """A log of a former build; `shards` is what its own replay said of each.

    `lacks`, by family: members of the state that came later, as ways into the dump.
    """

    name: str
    compared: int
    shards: Mapping[str, Mapping[str, Any]]
    lacks: Mapping[str, Sequence[Sequence[Any]]]

    @contextmanager
    def unpacked(self) -> Iterator[Path]:
        """The export's directory, for as long as the block runs."""
        with TemporaryDirectory(prefix="logbourse-archive-") as folder:
            with tarfile.open(HERE / self.name / LOG) as archive:
                archive.extractall(folder, **_HARMLESS)
            yield Path(folder) / "log"

    def state_hash(self, shard: str, dumped: bytes) -> str:
        """The hash of a dump as the archive's build would have dumped it.

        Fails where a member that came later holds something: then the state is another one.
        """
        ways = self.lacks.get(shard[0], ())
        if not ways:
            return hash_of_dump(dumped).hex()
        dump = json.loads(dumped)
        for *way, last in ways:
            place = reduce(getitem, way, dump)
            assert not place[last], f"{shard} of {self.name} must have nothing in {way}[{last}]"
            del place[last]
        return hash_of_dump(json.dumps(dump, separators=(",", ":")).encode()).hex()


def all_kept() -> list[Kept]:
    """Every archive, by name."""
    found = []
    for file in sorted(HERE.glob(f"*/{REPLAY}")):
        said = json.loads(file.read_text())
        found.append(Kept(file.parent.name, said["compared"], said["shards"], said["lacks"]))
    return found
