"""How long after an event's log time the views show it: watched from outside, while orders come."""

import threading
import time
import urllib.request
from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

from infra.kafka import KafkaLog
from infra.log import Partition
from infra.redis import RedisError, redis_client
from infra.settings import Settings
from infra.stack import exchange_processes
from projections.layout import BUILD_KEY, LEDGER_EVENTS, MATCHING_EVENTS
from schemas.record import decode_record
from tests.integration.running_stack import read_metrics

REDIS_EVERY_S = 0.005
CLICKHOUSE_EVERY_S = 0.02
SETTLE_S = 3.0

CSEQ = "logbourse_projection_cseq"


@dataclass(slots=True)
class Sightings:
    """When a view was first seen to stand at a sequence, per partition, in order."""

    cseqs: dict[Partition, list[int]] = field(default_factory=dict)
    times_s: dict[Partition, list[float]] = field(default_factory=dict)

    def note(self, partition: Partition, cseq: int, now_s: float) -> None:
        """The view stands at `cseq` now."""
        seen = self.cseqs.setdefault(partition, [])
        if not seen or cseq > seen[-1]:
            seen.append(cseq)
            self.times_s.setdefault(partition, []).append(now_s)

    def shown_at_s(self, partition: Partition, cseq: int) -> float | None:
        """The wall time at which `cseq` was seen first; None if it never was."""
        seen = self.cseqs.get(partition, [])
        index = bisect_left(seen, cseq)
        return self.times_s[partition][index] if index < len(seen) else None


class FreshnessWatch:
    """Watches Redis and ClickHouse of one stack."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        ports = {process.name: process.metrics_port for process in exchange_processes(settings)}
        self._told_by_history = f"http://{settings.host}:{ports['query']}/metrics?name[]={CSEQ}"
        self._redis = Sightings()
        self._clickhouse = Sightings()
        self.unseen = (0, 0)
        self._ending = threading.Event()
        self._begin_s = self._end_s = 0.0

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch until the block ends, and a little longer for what is under way."""
        threads = [
            threading.Thread(target=self._look, args=(self._look_at_redis(), REDIS_EVERY_S)),
            threading.Thread(
                target=self._look, args=(self._look_at_clickhouse, CLICKHOUSE_EVERY_S)
            ),
        ]
        for thread in threads:
            thread.start()
        self._begin_s = time.time()
        try:
            yield
            time.sleep(SETTLE_S)
            self._end_s = time.time()
        finally:
            self._ending.set()
            for thread in threads:
                thread.join()

    def lags_s(self) -> tuple[list[float], list[float]]:
        """Seconds from log time to sight of each record that came meanwhile: Redis, ClickHouse.

        What was not seen when watching ended counts as seen then; `unseen` says how many that were.
        """
        log = KafkaLog(self._settings, outside=True)
        lags: tuple[list[float], list[float]] = ([], [])
        unseen = [0, 0]
        for partition in _partitions(self._settings):
            _, end = log.ends(*partition)
            for stored in log.scan(*partition, 0, end):
                record = decode_record(stored.value)
                told_s = record.time_us / 1e6
                if not self._begin_s <= told_s <= self._end_s - SETTLE_S:
                    continue
                for number, view in enumerate((self._redis, self._clickhouse)):
                    shown_s = view.shown_at_s(partition, record.cseq)
                    unseen[number] += shown_s is None
                    lags[number].append((self._end_s if shown_s is None else shown_s) - told_s)
        log.close()
        self.unseen = (unseen[0], unseen[1])
        return lags

    def _look(self, look: Callable[[], None], every_s: float) -> None:
        while not self._ending.wait(every_s):
            # A view that does not answer is not fresh; the next look tells how long it was not.
            with suppress(OSError, RedisError):
                look()

    def _look_at_redis(self) -> Callable[[], None]:
        client = redis_client(self._settings.redis_url)
        build = client.get(BUILD_KEY)
        assert isinstance(build, bytes), "the views are built"
        partitions = _partitions(self._settings)
        keys = [f"lb:{build.decode()}:position:{topic}:{p}" for topic, p in partitions]

        def look() -> None:
            pipeline = client.pipeline(transaction=False)
            for key in keys:
                pipeline.hget(key, "cseq")
            found = pipeline.execute()
            now_s = time.time()
            for partition, cseq in zip(partitions, found, strict=True):
                if cseq is not None:
                    self._redis.note(partition, int(cseq), now_s)

        return look

    def _look_at_clickhouse(self) -> None:
        """By what its projection tells Prometheus, which costs the engine nothing.

        The projection tells a position once its rows are stored in all tables.
        """
        with urllib.request.urlopen(self._told_by_history, timeout=5.0) as answer:
            told = read_metrics(answer.read().decode())
        now_s = time.time()
        for topic, partition in _partitions(self._settings):
            cseq = told.get(
                f'{CSEQ}{{partition="{partition}",sink="clickhouse",topic="{topic}"}}', 0.0
            )
            self._clickhouse.note((topic, partition), int(cseq), now_s)


def _partitions(settings: Settings) -> list[Partition]:
    """What the views are folded from."""
    ledgers = [(LEDGER_EVENTS, p) for p in range(settings.ledger_partitions)]
    return ledgers + [(MATCHING_EVENTS, p) for p in range(settings.matching_partitions)]
