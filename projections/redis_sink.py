"""Stores views in Redis: every step is one atomic script, in sequence or not at all."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.log import Partition
from projections.layout import (
    BUILD_KEY,
    FIRST_BUILD,
    NOWHERE,
    REBUILD_LOCK,
    WRITE_ONLY,
    NoPosition,
    Position,
    applied_channel,
    changed_channel,
    index_key,
    position_key,
    position_of,
    redis_key,
)
from projections.sink import Step, Verdict

LUA = Path(__file__).parent / "lua"
APPLY_SCRIPT = (LUA / "apply.lua").read_text()
FLIP_SCRIPT = (LUA / "flip.lua").read_text()
LOAD_KEYS = 500


class RedisSink:
    """Views of the current build, or of `build` while it is under construction.

    `client` is one of `infra.redis.redis_client`. When another build becomes the current one, the
    next apply answers GAP and the next load tells where that build stands.
    """

    name = "redis"
    pause_s = 0.0

    def __init__(self, client: Any, build: str | None = None) -> None:
        self._client = client
        self._wanted = build
        self._build = build or FIRST_BUILD
        self._script = client.register_script(APPLY_SCRIPT)
        self._loaded: dict[Partition, Position] = {}

    def load(self, topic: str, partition: int) -> tuple[Position, Mapping[str, Mapping[str, str]]]:
        """The partition's position, and the cells from which its projector goes on.

        The position is read first: if another writer moves on meanwhile, the next apply is a GAP.
        Raises `NoPosition`.
        """
        if self._wanted is None:
            self._build = current_build(self._client)
        key = self._key(position_key(topic, partition))
        try:
            position = position_of(_cells(self._client.hgetall(key)))
        except NoPosition as error:
            raise NoPosition(f"{key} {error}: logbourse rebuild redis") from None
        self._loaded[topic, partition] = position
        if position == NOWHERE:
            # Cells without a position are of nowhere: the projector writes them from the start.
            return NOWHERE, {}
        names = sorted(
            name.decode() for name in self._client.smembers(self._key(index_key(topic, partition)))
        )
        cells: dict[str, Mapping[str, str]] = {}
        for start in range(0, len(names), LOAD_KEYS):
            some = names[start : start + LOAD_KEYS]
            pipeline = self._client.pipeline(transaction=False)
            for name in some:
                pipeline.hgetall(self._key(name))
            for name, texts in zip(some, pipeline.execute(), strict=True):
                cells[name] = _cells(texts)
        return position, cells

    def reached(self, topic: str, partition: int) -> Position:
        """What the last `load` told: cells and position are stored together."""
        return self._loaded.get((topic, partition), NOWHERE)

    def apply(self, steps: Sequence[Step]) -> list[Verdict]:
        """Store the steps, each as one script, all sent together."""
        pipeline = self._client.pipeline(transaction=False)
        for step in steps:
            keys, arguments = self._call(step)
            self._script(keys=keys, args=arguments, client=pipeline)
        return [Verdict(answer.decode()) for answer in pipeline.execute()]

    def _call(self, step: Step) -> tuple[list[str], list[str | int]]:
        """What the script is called with: its keys and arguments."""
        topic, partition, changes = step
        by_key: dict[str, tuple[list[str], list[str]]] = {}
        for (key, field), text in changes.cells.items():
            cells, gone = by_key.setdefault(key, ([], []))
            if text is None:
                gone.append(field)
            else:
                cells += (field, text)
        keys = [BUILD_KEY, self._key(position_key(topic, partition))]
        keys.append(self._key(index_key(topic, partition)))
        keys += [self._key(name) for name in by_key]
        arguments: list[str | int] = [
            self._build if self._wanted is None else "",
            changes.after.cseq,
            *changes.upto,
            applied_channel(self._build, topic, partition),
            changed_channel(self._build, topic, partition),
        ]
        for name, (cells, gone) in by_key.items():
            arguments.append("" if name.startswith(WRITE_ONLY) else name)
            arguments += (len(cells) // 2, *cells, len(gone), *gone)
        return keys, arguments

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def _key(self, name: str) -> str:
        return redis_key(self._build, name)


def _cells(answer: Mapping[bytes, bytes]) -> dict[str, str]:
    """What HGETALL has found."""
    return {field.decode(): text.decode() for field, text in answer.items()}


def current_build(client: Any) -> str:
    """The build that readers read; the first one is named if there is none yet."""
    client.set(BUILD_KEY, FIRST_BUILD, nx=True)
    build: bytes = client.get(BUILD_KEY)
    return build.decode()


def flip(client: Any, build: str, token: bytes) -> bool:
    """Make a build the current one, if the lock of rebuilds still has this token; else False."""
    keys, arguments = [REBUILD_LOCK, BUILD_KEY], [token, build]
    return bool(client.register_script(FLIP_SCRIPT)(keys=keys, args=arguments) == b"flipped")


def remove_build(client: Any, build: str) -> int:
    """Remove all keys of a build that is not current; returns how many there were."""
    assert current_build(client) != build, f"build {build} is the current one"
    removed = cursor = 0
    while True:
        cursor, keys = client.scan(cursor, match=redis_key(build, "*"), count=1_000)
        if keys:
            removed += client.unlink(*keys)
        if cursor == 0:
            return removed


def other_builds(client: Any) -> list[str]:
    """The builds that have keys and are not current, such as one whose rebuild was killed."""
    keys = client.scan_iter(match=redis_key("*", "*"), count=1_000)
    builds = {key.decode().split(":")[1] for key in keys} - {current_build(client)}
    return sorted(filter(str.isdigit, builds))
