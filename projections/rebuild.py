"""Builds all views anew beside the ones in use, from the start of the log, and then flips.

Live workers go on with the old build meanwhile. After the flip their next apply answers GAP, and
they read on from where the new build stands.
"""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, Protocol

from infra.clickhouse import ClickHouseClient
from infra.log import LogRecord, Partition
from infra.redis import LockError, RedisError
from infra.refusal import Refusal
from projections import clickhouse_builds, redis_sink
from projections.clickhouse_sink import ClickHouseSink
from projections.follower import Follower, RawRecord, offer_all
from projections.layout import REBUILD_LOCK
from projections.redis_sink import RedisSink
from projections.sink import Sink

Progress = Callable[[int, int], None]
"""Told how many records are done, and how many there are now."""


class ReadableLog(Protocol):
    """The reading half of `infra.log.Log`."""

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        """The first offset that is kept and the offset the next record will get."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Read this partition from `offset` on."""

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        """Up to `max_records` of the sought partitions, in order in each; empty on timeout."""


READ_AT_MOST = 2_000
READ_TIMEOUT_S = 0.5

HARDLY_ANYTHING = 1_000
"""Records: so few that live workers catch up with them in a moment after the flip."""

HELD_S = 60.0
"""So long Redis keeps the lock of a rebuild that tells no progress, such as one that was killed."""

_LOST = f"a rebuild must hold {REBUILD_LOCK} to its end, has lost it"


def rebuild_redis(
    client: Any, log: ReadableLog, sources: list[Partition], progress: Progress
) -> str:
    """Build Redis's views anew, flip, remove the old build; returns the new build's id.

    Raises `Refusal` if another rebuild is running, or may be, since this one lost its lock.
    """
    lock = client.lock(REBUILD_LOCK, timeout=HELD_S, blocking=False)
    if not lock.acquire():
        raise Refusal("one rebuild of redis may run at a time, another one is running")
    try:
        return _rebuild_redis(client, log, sources, progress, lock)
    finally:
        # Redis itself ends a lock that cannot be given back.
        with suppress(RedisError):
            lock.release()


def rebuild_clickhouse(
    client: ClickHouseClient, log: ReadableLog, sources: list[Partition], progress: Progress
) -> str:
    """Build ClickHouse's tables anew, flip, remove the old build; returns the new build's id."""
    old = clickhouse_builds.current_build(client)
    new = str(int(old) + 1)
    clickhouse_builds.remove_build(client, new)
    sink = ClickHouseSink(client, new)
    catch_up(log, sources, sink, progress)
    sink.remember()
    clickhouse_builds.flip(client, new)
    clickhouse_builds.remove_build(client, old)
    return new


def catch_up(log: ReadableLog, sources: list[Partition], sink: Sink, progress: Progress) -> None:
    """Feed the sink until hardly anything is left; the log may go on growing meanwhile.

    Raises `Refusal` if the log lacks a record, so that the view would end in front of it.
    """
    followers = {source: Follower(*source, sink) for source in sources}
    for (topic, partition), follower in followers.items():
        log.seek(topic, partition, follower.load())
    while True:
        ends = {source: log.ends(*source) for source in sources}
        total = sum(end - start for start, end in ends.values())
        left = begun_with = _left(followers, ends)
        progress(total - left, total)
        while left:
            _feed(log, sink, followers, log.read(READ_AT_MOST, READ_TIMEOUT_S))
            left = _left(followers, ends)
            progress(total - left, total)
        for (topic, partition), follower in followers.items():
            if follower.lacks:
                raise Refusal(f"{topic}.{partition} must have #{follower.lacks}, has lost it")
        if begun_with <= HARDLY_ANYTHING:
            return


def _rebuild_redis(
    client: Any, log: ReadableLog, sources: list[Partition], progress: Progress, lock: Any
) -> str:
    def hold_and_tell(done: int, total: int) -> None:
        _hold(lock)
        progress(done, total)

    for left_behind in redis_sink.other_builds(client):
        redis_sink.remove_build(client, left_behind)
        _hold(lock)
    old = redis_sink.current_build(client)
    new = str(int(old) + 1)
    catch_up(log, sources, RedisSink(client, new), hold_and_tell)
    if not redis_sink.flip(client, new, lock.local.token):
        raise Refusal(_LOST)
    redis_sink.remove_build(client, old)
    return new


def _hold(lock: Any) -> None:
    """Hold the lock for `HELD_S` from now; `Refusal` if it is lost."""
    try:
        lock.reacquire()
    except LockError as error:
        raise Refusal(_LOST) from error


def _left(
    followers: Mapping[Partition, Follower], ends: Mapping[Partition, tuple[int, int]]
) -> int:
    """How many records stand between the followers and the ends."""
    return sum(
        max(0, end - max(start, followers[source].read_to + 1))
        for source, (start, end) in ends.items()
    )


def _feed(
    log: ReadableLog,
    sink: Sink,
    followers: Mapping[Partition, Follower],
    records: list[LogRecord],
) -> None:
    waiting: dict[Follower, list[RawRecord]] = {}
    for record in records:
        raw = RawRecord(record.offset, record.value)
        waiting.setdefault(followers[record.topic, record.partition], []).append(raw)
    for follower, offset in offer_all(sink, waiting).items():
        log.seek(follower.topic, follower.partition, offset)
