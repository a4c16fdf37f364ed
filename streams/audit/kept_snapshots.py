"""The snapshots that hosts keep, beside what a replay of the log alone comes to there (S4)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.topics import inbox
from streams.audit.archive import Archive, BadArchive
from streams.audit.checks import Checks
from streams.audit.rerun import Run
from streams.families import decider_of
from streams.shard import Shard, UnknownLayout
from streams.snapshots import BadSnapshot, decode_snapshot


@dataclass(slots=True, frozen=True)
class _Kept:
    """A file that could be read: the offset it is of, and the state that a host has from it."""

    name: str
    offset: int
    state_hash: bytes


class KeptSnapshots:
    """The snapshots in a directory with a folder for each shard; none without a directory.

    Equal at its position, a snapshot leads with the log behind it to what the log alone leads to.
    `checked` counts those that are compared or unfit, `passed_over` those of another layout, or of
    a position that the log did not have yet when it was looked at. Raises `BadArchive` for a
    directory that is not there.
    """

    def __init__(self, archive: Archive, directory: Path | None) -> None:
        self._kept: dict[str, list[_Kept]] = {}
        self._unfit: list[str] = []
        self.passed_over = 0
        if directory is None:
            return
        if not directory.is_dir():
            raise BadArchive(f"--snapshots must name a directory, was {directory}")
        for shard in archive.manifest.shards():
            self._kept[shard] = []
            for path in sorted((directory / shard).glob("*.snapshot")):
                self._read(shard, path, archive.end(inbox(shard)))

    @property
    def checked(self) -> int:
        """How many snapshots the verdict is of."""
        return sum(map(len, self._kept.values())) + len(self._unfit)

    def offsets(self, shard: str) -> Collection[int]:
        """The offsets at which the replay of the shard has to note its state."""
        return frozenset(kept.offset for kept in self._kept.get(shard, ()))

    def check(self, runs: Mapping[str, Run], checks: Checks) -> None:
        """Compare each with what the replay has noted; what differs is told of every file."""
        wrong = list(self._unfit)
        for shard, snapshots in self._kept.items():
            hashes = runs[shard].hashes
            wrong += [
                f"{kept.name}: is not the state before {kept.offset:,}"
                for kept in snapshots
                if kept.state_hash != hashes.get(kept.offset)
            ]
        checks.counts["S4"] += self.checked
        checks.broken["S4"] += len(wrong)
        checks.words += [f"S4: {words}" for words in wrong]

    def _read(self, shard: str, path: Path, end: int) -> None:
        name = f"{shard}/{path.name}"
        try:
            snapshot = decode_snapshot(path.read_bytes())
        except FileNotFoundError:
            # A running host drops the oldest at any time.
            return
        except (BadSnapshot, OSError):
            self._unfit.append(f"{name}: must be a snapshot, is damaged")
            return
        found = loaded(shard, snapshot.payload) if snapshot.offset <= end else None
        if found is None:
            self.passed_over += 1
            return
        try:
            self._kept[shard].append(_Kept(name, snapshot.offset, found.state_hash()))
        except AssertionError as error:
            self._unfit.append(f"{name}: must be a sound state, was not: {error}")


def loaded(shard: str, payload: bytes) -> Shard | None:
    """The shard of a dump; None for another layout, which a host of this build passes over, too."""
    try:
        return Shard.load(payload, decider_of(shard))
    except UnknownLayout:
        return None
