"""The worker that projects into ClickHouse, also inside another process: thread, loop and client.

The embedded engine belongs to one process, so the process that answers queries also writes the
history, and rebuilds it when `logbourse rebuild clickhouse` asks for that.
"""

import asyncio
import threading

from infra.clickhouse import EMBEDDED, clickhouse_client
from infra.settings import Settings
from projections.clickhouse_sink import ClickHouseSink
from projections.faust_worker import FaustWorker, end_worker
from projections.rebuild_request import RebuildRequests

STOP_TIMEOUT_S = 10.0


class EmbeddedWorker:
    """Projects `*.ev` into ClickHouse between `start` and `stop`.

    When it cannot go on it ends the process, whose supervisor starts it again.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loop: asyncio.AbstractEventLoop | None = None
        self._worker: FaustWorker | None = None
        self._ready = threading.Event()
        self._requests = RebuildRequests(settings)
        self._thread = threading.Thread(target=self._run, name="clickhouse-projector", daemon=True)

    def start(self) -> None:
        """Begin, in threads of their own."""
        self._thread.start()
        self._requests.start()

    def stop(self) -> None:
        """Finish the current apply and end; returns once the thread ended or after 10 s."""
        self._requests.stop()
        self._ready.wait(STOP_TIMEOUT_S)
        if self._loop is not None and self._worker is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._worker.stop)
        self._thread.join(STOP_TIMEOUT_S)

    def _run(self) -> None:
        try:
            asyncio.run(self._work())
        except Exception as error:
            end_worker(f"{type(error).__name__}: {error}")

    async def _work(self) -> None:
        self._loop = asyncio.get_running_loop()
        embedded = self._settings.clickhouse_dsn.startswith(EMBEDDED)
        self._worker = clickhouse_worker(self._settings, "embedded" if embedded else "")
        self._ready.set()
        await self._worker.run()


def clickhouse_worker(settings: Settings, member: str) -> FaustWorker:
    """A worker for ClickHouse, to be run in the loop that calls this."""

    def open_sink() -> ClickHouseSink:
        dsn = settings.clickhouse_dsn
        return ClickHouseSink(clickhouse_client(dsn), alone=dsn.startswith(EMBEDDED))

    return FaustWorker(settings, ClickHouseSink.name, open_sink, member=member)
