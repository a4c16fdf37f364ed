"""Projectors: the product's followers, projectors and sinks, killed and frozen by the seed."""

from collections.abc import Callable
from typing import cast

from infra.clickhouse import ClickHouseClient
from infra.log import Partition
from projections.clickhouse_sink import ClickHouseSink
from projections.follower import Follower, RawRecord, offer_all
from projections.layout import feeding_partitions
from projections.redis_sink import RedisSink
from projections.seeks import Seeks
from projections.sink import Sink
from schemas.topics import outbox
from tests.simulation import clickhouse, redis
from tests.simulation.clickhouse import ClickHouseGone, SimClickHouse
from tests.simulation.faults import Crash
from tests.simulation.log import SimLog
from tests.simulation.redis import RedisGone, SimRedis
from tests.simulation.world import LEDGERS, MATCHERS, World


def fed(world: World) -> list[Partition]:
    """The outboxes of what runs that views are made of.

    Where nothing comes any more, nobody would notice that a store has lost what there was.
    """
    running = {outbox(shard) for shard in world.deciders}
    return [place for place in feeding_partitions(LEDGERS, MATCHERS) if place in running]


class Projector:
    """One process that follows all outboxes into one store, as `projections.faust_worker` does."""

    def __init__(self, world: World, open_sink: Callable[[], Sink]) -> None:
        self._world = world
        self._faults = world.faults
        self._fed = fed(world)
        self._open_sink = open_sink
        self._sink: Sink | None = None
        self._log: SimLog | None = None
        self._followers: dict[Partition, Follower] = {}
        self._seeks = Seeks(world.clock.monotonic_s)
        self._late: list[tuple[Partition, int]] = []
        """Seeks that have no effect yet, while records from before still come."""
        self._stands_still = 0

    def turn(self) -> None:
        """Apply some of what is there; what fails ends the process, which starts again."""
        if self._stands_still:
            self._stands_still -= 1
            return
        if self._faults.strikes("frozen"):
            self._stands_still = self._faults.rng.randint(5, 80)
            return
        try:
            if self._log is None:
                self._start()
            self._apply()
        except Crash:
            self._world.crashes += 1
            self._stop()
        except (RedisGone, ClickHouseGone):
            self._stop()

    def busy(self) -> bool:
        """Whether it is down, frozen, or has more to read."""
        if self._log is None or self._stands_still or self._late or self._log.behind():
            return True
        return any(self._is_behind(place) for place in self._fed)

    def _start(self) -> None:
        self._sink = self._open_sink()
        self._log = SimLog(self._world.log)
        for place in self._fed:
            follower = self._followers[place] = Follower(*place, self._sink)
            self._read_from(place, follower.load())

    def _apply(self) -> None:
        assert self._log is not None and self._sink is not None, "it was just started"
        self._seek_again()
        fetched: dict[Partition, list[RawRecord]] = {}
        for record in self._log.read(self._faults.rng.choice((1, 3, 10, 50)), 0.0):
            place = (record.topic, record.partition)
            fetched.setdefault(place, []).append(RawRecord(record.offset, record.value))
        offers = {
            self._followers[place]: expected
            for place, records in fetched.items()
            if (expected := self._seeks.expected(place, records))
        }
        if offers:
            for follower, offset in offer_all(self._sink, offers).items():
                self._faults.happened["view gap"] += 1
                self._read_from((follower.topic, follower.partition), offset)

    def _read_from(self, place: Partition, offset: int) -> None:
        """Go on there at once, some turns later, or not until it is asked for again."""
        assert self._log is not None
        self._seeks.begin(place, offset)
        if self._faults.strikes("seek lost"):
            self._log.seek(*place, self._faults.rng.randint(0, self._world.log.end(place)))
        elif self._faults.strikes("seek late"):
            self._late.append((place, offset))
        else:
            self._log.seek(*place, offset)

    def _seek_again(self) -> None:
        assert self._log is not None
        if self._late and self._faults.chance(0.3):
            place, offset = self._late.pop(0)
            self._log.seek(*place, offset)
        for place in self._fed:
            overdue = self._seeks.overdue(place)
            if overdue is not None and self._is_behind(place):
                self._read_from(place, overdue)

    def _is_behind(self, place: Partition) -> bool:
        """Whether it waits for a record that is there."""
        awaited = self._seeks.awaited(place)
        return awaited is not None and awaited < self._world.log.end(place)

    def _stop(self) -> None:
        if self._log is not None:
            self._log.close()
        self._log = self._sink = None
        self._followers.clear()
        self._late.clear()


def with_redis(world: World) -> SimRedis:
    """Let views in Redis be fed, at times by two processes that both think they should."""
    store = SimRedis(world.faults)
    for _ in range(1 + world.faults.strikes("two projectors")):
        world.members.append(Projector(world, lambda: RedisSink(redis.Client(store))))
    world.members.append(store)
    return store


def with_clickhouse(world: World) -> SimClickHouse:
    """Let history in ClickHouse be fed."""
    store = SimClickHouse(world.faults)

    def open_sink() -> ClickHouseSink:
        client = cast(ClickHouseClient, clickhouse.Client(store))
        return ClickHouseSink(client, monotonic_s=world.clock.monotonic_s)

    world.members.append(Projector(world, open_sink))
    return store
