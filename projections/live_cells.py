"""Redis as who checks it sees it: keys with their position in one read, and which were touched."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infra.log import Partition
from infra.redis import ResponseError
from projections.layout import (
    BUILD_KEY,
    WRITE_ONLY,
    Position,
    changed_channel,
    index_key,
    position_key,
    position_of,
    redis_key,
)
from projections.redis_sink import current_build

REPAIR_SCRIPT = (Path(__file__).parent / "lua" / "repair.lua").read_text()
INVALIDATED = "__redis__:invalidate"
TOLD_AT_MOST = 2_000
LISTED_AT_ONCE = 2_000

OTHER_TYPE = {"": "a key of another type"}
"""What a key that is no hash is read as: this very object, since a hash may say the same."""


class LiveCells:
    """The current build's views. `client` is one of `infra.redis.redis_client`."""

    def __init__(self, client: Any) -> None:
        self.build = current_build(client)
        self._client = client
        self._repair = client.register_script(REPAIR_SCRIPT)

    def refresh(self) -> bool:
        """Look which build is current; whether that changed."""
        before, self.build = self.build, current_build(self._client)
        return before != self.build

    def read(
        self, topic: str, partition: int, names: Sequence[str]
    ) -> tuple[Position, dict[str, dict[str, str]]]:
        """The partition's position and what stands in these keys of it, as one moment has them.

        Raises `NoPosition`.
        """
        pipeline = self._client.pipeline(transaction=True)
        pipeline.hgetall(self._key(position_key(topic, partition)))
        for name in names:
            pipeline.hgetall(self._key(name))
        stored, *cells = map(_cells, pipeline.execute(raise_on_error=False))
        return position_of(stored), dict(zip(names, cells, strict=True))

    def repair(
        self,
        place: Partition,
        name: str,
        found: Mapping[str, str],
        wanted: Mapping[str, str],
    ) -> bool:
        """Let the key hold what is wanted, if it still holds what was found; else False."""
        keys = [BUILD_KEY, self._key(index_key(*place)), self._key(name)]
        loaded = "" if name.startswith(WRITE_ONLY) else name
        is_hash = found is not OTHER_TYPE
        compared = found if is_hash else {}
        flat = [text for cells in (compared, wanted) for pair in cells.items() for text in pair]
        count = len(compared) if is_hash else -1
        arguments = [self.build, loaded, changed_channel(self.build, *place), count, *flat]
        return bool(self._repair(keys=keys, args=arguments) == b"repaired")

    def _key(self, name: str) -> str:
        return redis_key(self.build, name)


class Listing:
    """The names of all keys of a build that hold cells, without the build, some at a time."""

    def __init__(self, client: Any, build: str) -> None:
        self._client = client
        self._prefix = redis_key(build, "")
        self._cursor = 0
        self.ended = False

    def take(self) -> list[str]:
        """The next names; a key that stays is told at least once before the end."""
        wanted = {"match": self._prefix + "*", "count": LISTED_AT_ONCE, "_type": "hash"}
        self._cursor, keys = self._client.scan(self._cursor, **wanted)
        self.ended = self._cursor == 0
        names = (key.decode("utf-8", "replace") for key in keys)
        return [name.removeprefix(self._prefix) for name in names]


class Touched:
    """Names of keys of a build that anybody has written, as Redis itself tells (client tracking).

    It tells of every write, whoever did it, so that a wrong one is looked at right away. `client`
    speaks protocol 2.
    """

    def __init__(self, client: Any, build: str) -> None:
        self._prefix = redis_key(build, "")
        # Kept, since its connections end with it.
        self._client = client
        self._told = client.pubsub()
        listener = self._told.execute_command("CLIENT", "ID")
        listener = self._told.parse_response() if listener is None else listener
        self._told.subscribe(INVALIDATED)
        self._tracker = client.client()
        self._tracker.execute_command(
            *("CLIENT", "TRACKING", "ON", "REDIRECT", listener, "BCAST", "PREFIX", self._prefix)
        )

    def take(self) -> list[str]:
        """The names that were told since the last call, without the build."""
        names: list[str] = []
        for _ in range(TOLD_AT_MOST):
            message = self._told.get_message(timeout=0)
            if message is None:
                break
            if message["type"] == "message":
                keys = message["data"] or ()
                names += [key.decode("utf-8", "replace") for key in keys]
        return [name.removeprefix(self._prefix) for name in names]

    def works(self) -> bool:
        """Whether Redis still tells; it forgets that it should if a connection broke."""
        told = self._tracker.execute_command("CLIENT", "TRACKINGINFO")
        # A listener that came back is another one, to whom nothing is sent.
        return b"on" in told[1] and b"broken_redirect" not in told[1]

    def close(self) -> None:
        """Be told no more."""
        self._tracker.close()
        self._told.close()
        self._client.close()


def _cells(answer: Any) -> dict[str, str]:
    """What HGETALL has found."""
    if isinstance(answer, ResponseError) and str(answer).startswith("WRONGTYPE"):
        return OTHER_TYPE
    if isinstance(answer, Exception):
        raise answer
    return {_text(field): _text(text) for field, text in answer.items()}


def _text(stored: bytes) -> str:
    """What stands there, whatever somebody has written."""
    return stored.decode("utf-8", "replace")
