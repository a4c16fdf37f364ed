"""Reads ClickHouse: the current build's tables and how far they stand, off the event loop."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from infra.clickhouse import ClickHouseClient, ClickHouseError
from infra.http import errors
from infra.log import Partition
from infra.logging import get_logger
from infra.metrics import Counter, Gauge
from projections.layout import CURRENT_BUILD_SQL, Position, database
from projections.query.freshness import PositionWatch, Target

Row = Sequence[Any]

PAUSE_S = 0.02
BUILD_KEPT_S = 1.0
"""For so long the current build is not asked for again; the old one's tables live longer."""

THREADS = 2
MAX_WAITING = 64
"""Queries that run or wait for a thread; the next one is refused at once."""

NO_BUILD = ""

WAITING = Gauge("logbourse_history_queries", "Queries that run, or wait to")
WAITING_LIMIT = Gauge("logbourse_history_queries_limit", "How many there may be")
REFUSED = Counter("logbourse_history_refused", "Queries refused beyond that")

_POSITIONS_SQL = """
    SELECT table_name, topic, partition, cseq, offset, time_us FROM {database:Identifier}.positions
    FINAL
"""


class History:
    """The tables of the current build. `open_client` is called once in each thread that reads."""

    def __init__(self, open_client: Callable[[], ClickHouseClient]) -> None:
        self._open_client = open_client
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="history")
        self._local = threading.local()
        self._clients: list[ClickHouseClient] = []
        self._build = NO_BUILD
        self._build_read_s = 0.0
        self._watches: dict[str, PositionWatch] = {}
        self._waiting = 0
        WAITING.set_function(lambda: self._waiting)
        WAITING_LIMIT.set(MAX_WAITING)

    @property
    def build(self) -> str:
        """The build that was read last: what is remembered of another one may be wrong."""
        return self._build

    async def rows(self, sql: str, **parameters: object) -> Sequence[Row]:
        """The rows of a query; `{database:Identifier}` in it is the current build's database.

        Values come in as parameters only. Raises -1008 (503) if ClickHouse cannot answer, or has
        too many questions.
        """
        if self._waiting >= MAX_WAITING:
            REFUSED.inc()
            raise errors.overloaded()
        loop = asyncio.get_running_loop()
        self._waiting += 1
        try:
            return await loop.run_in_executor(self._threads, self._rows, sql, parameters)
        finally:
            self._waiting -= 1

    async def positions(self) -> dict[tuple[str, Partition], Position]:
        """Where each table stands in each partition that feeds it."""
        return {
            (table, (topic, partition)): Position(cseq, offset, time_us)
            for table, topic, partition, cseq, offset, time_us in await self.rows(_POSITIONS_SQL)
        }

    async def reach(
        self, table: str, partition: Partition, target: Target, give_up_s: float
    ) -> Position:
        """The table's position once it has the target; -1008 (503) after loop time `give_up_s`."""
        watch = self._watches.get(table)
        if watch is None:
            watch = self._watches[table] = PositionWatch(self._reader_of(table), PAUSE_S)
        return await watch.reach(partition, target, give_up_s)

    async def stop(self) -> None:
        """End what runs in the background and close the clients."""
        for watch in self._watches.values():
            await watch.stop()
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)
        for client in self._clients:
            client.close()

    def _reader_of(self, table: str) -> Callable[[], Any]:
        async def read() -> Mapping[Partition, Position]:
            # Rows are read right after: a build that was switched to meanwhile may lack some.
            self._build_read_s = 0.0
            found = await self.positions()
            return {partition: at for (name, partition), at in found.items() if name == table}

        return read

    def _rows(self, sql: str, parameters: Mapping[str, object]) -> Sequence[Row]:
        """In a thread. A build that was dropped meanwhile shows as an error: then ask once more."""
        for attempt in (1, 2):
            try:
                named = {"database": database(self._current_build()), **parameters}
                found: Sequence[Row] = self._client().query(sql, parameters=named).result_rows
                return found
            except ClickHouseError as error:
                get_logger("history").warning(
                    "query failed", attempt=attempt, error=str(error)[:500]
                )
                self._build_read_s = 0.0
                if attempt == 2:
                    raise errors.view_behind() from None
        raise AssertionError("the second attempt answers or raises")

    def _current_build(self) -> str:
        now_s = monotonic()
        if self._build == NO_BUILD or now_s > self._build_read_s + BUILD_KEPT_S:
            ((build,),) = self._client().query(CURRENT_BUILD_SQL).result_rows
            self._build, self._build_read_s = str(build), now_s
        if self._build == NO_BUILD:
            raise errors.view_behind()
        return self._build

    def _client(self) -> ClickHouseClient:
        if not hasattr(self._local, "client"):
            self._local.client = self._open_client()
            self._clients.append(self._local.client)
        client: ClickHouseClient = self._local.client
        return client
