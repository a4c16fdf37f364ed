"""The snapshots that hosts keep, beside what a replay of the log alone comes to there (S4)."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from schemas.topics import inbox
from streams.audit.archive import Archive, BadArchive
from streams.audit.checks import Checks
from streams.audit.rerun import Run
from streams.families import decider_of
from streams.shard import Shard
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
    Raises `BadArchive` for a directory that is not there.
    """

    def __init__(self, archive: Archive, directory: Path | None) -> None:
        self._kept: dict[str, list[_Kept]] = {}
        self._unreadable: list[str] = []
        if directory is None:
            return
        if not directory.is_dir():
            raise BadArchive(f"--snapshots must name a directory, was {directory}")
        for shard in archive.manifest.shards():
            self._kept[shard] = []
            for path in sorted((directory / shard).glob("*.snapshot")):
                self._read(shard, path, archive.end(inbox(shard)))

    def offsets(self, shard: str) -> Collection[int]:
        """The offsets at which the replay of the shard has to note its state."""
        return frozenset(kept.offset for kept in self._kept.get(shard, ()))

    def check(self, runs: Mapping[str, Run], checks: Checks) -> None:
        """Compare each with what the replay has noted; what differs is told of every file."""
        wrong = [f"{name}: must be a snapshot, is damaged" for name in self._unreadable]
        for shard, snapshots in self._kept.items():
            hashes = runs[shard].hashes
            wrong += [
                f"{kept.name}: is not the state before {kept.offset:,}"
                for kept in snapshots
                if kept.state_hash != hashes.get(kept.offset)
            ]
        checks.counts["S4"] += sum(map(len, self._kept.values())) + len(self._unreadable)
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
            self._unreadable.append(name)
            return
        if snapshot.offset > end:
            # It was taken after the ends of the log were asked for.
            return
        try:
            loaded = Shard.load(snapshot.payload, decider_of(shard))
        except (ValueError, KeyError, TypeError):
            # Another layout, which a host of this build passes over, too.
            return
        self._kept[shard].append(_Kept(name, snapshot.offset, loaded.state_hash()))
