"""The snapshots that hosts have, in one directory or several."""

from collections.abc import Sequence
from pathlib import Path

from streams.snapshots import BadSnapshot, Snapshot, decode_snapshot


def snapshots_of_hosts(directories: Sequence[Path]) -> dict[str, list[Snapshot]]:
    """The good snapshots by shard; each directory has a folder for each shard."""
    found: dict[str, list[Snapshot]] = {}
    for path in sorted(path for each in directories for path in each.glob("*/*.snapshot")):
        try:
            found.setdefault(path.parent.name, []).append(decode_snapshot(path.read_bytes()))
        except (BadSnapshot, OSError):
            continue
    return found


def files_at(directory: Path, shard: str, offsets: Sequence[int]) -> list[Path]:
    """The files of a shard's snapshots at these offsets."""
    files = sorted((directory / shard).glob("*.snapshot"))
    return [path for path in files if path.stem.isdigit() and int(path.stem) in offsets]
