"""Pumps outboxes through Faust into one sink, for as long as its process is healthy.

What waits is applied as one step per partition, all together, so that steps grow with the load and
nothing waits for a timer. An unknown error, or a hang, ends the process before anything is
acknowledged; the supervisor starts it again, and it reads on from where the sink stands.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Any

from faust.types import TP

from infra.clickhouse import EMBEDDED
from infra.ending import end_process
from infra.logging import get_logger
from infra.metrics import Gauge
from infra.processor import effort_s
from infra.settings import Settings
from projections.faust_app import make_app
from projections.follower import Follower, RawRecord, offer_all
from projections.layout import LEDGER_EVENTS, MATCHING_EVENTS
from projections.seeks import Seeks
from projections.sink import Sink

TOPICS = (LEDGER_EVENTS, MATCHING_EVENTS)

BUFFERED_BYTES = 8 * 1024 * 1024
"""Received and not yet applied; beyond it nothing more is received."""

STEP_BYTES = 256 * 1024
"""Of one partition in one apply, which must end long before it counts as hung."""

HUNG_AFTER_S = 10.0
STARVED_AFTER_S = 60.0
"""Longer than that nothing may stand still, even where others move on or much is computed."""

AT_WORK_PART = 0.1
"""Of the time: a process that runs, or waits for the processor, for more is slow and not hung."""

BEAT_S = 0.5

WAITING = Gauge("logbourse_projection_waiting_bytes", "Received, not yet applied", ("sink",))
WAITING_LIMIT = Gauge("logbourse_projection_waiting_bytes_limit", "Most of that", ("sink",))


_logger = get_logger("projections")


class ViewAheadOfLog(Exception):
    """P2: the log is shorter than what was folded from it, so that it is another log."""


def end_worker(sentence: str) -> None:
    """End this process, with whatever else runs in it."""
    end_process("projections", sentence)


class FaustWorker:
    """A consumer group's member for one sink.

    `open_sink` is called in the one thread that will use the sink. `on_failure` gets one sentence
    when the worker cannot go on; it must end the process. `member` as in `make_app`.
    """

    def __init__(
        self,
        settings: Settings,
        sink_name: str,
        open_sink: Callable[[], Sink],
        on_failure: Callable[[str], None] = end_worker,
        member: str = "",
    ) -> None:
        self._settings = settings
        self._member = member
        self._sink_name = sink_name
        self._open_sink = open_sink
        self._on_failure = on_failure
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"sink-{sink_name}")
        self._sink: Sink | None = None
        self._app: Any = None
        self._has_started = False
        self._followers: dict[TP, Follower] = {}
        self._waiting: dict[TP, deque[Any]] = {}
        self._waiting_bytes = 0
        WAITING.labels(sink_name).set_function(lambda: self._waiting_bytes)
        WAITING_LIMIT.labels(sink_name).set(BUFFERED_BYTES)
        self._seeks = Seeks()
        self._ahead_since_s: dict[TP, float] = {}
        self._news = asyncio.Event()
        self._room = asyncio.Event()
        self._stopping = asyncio.Event()
        self._health = _Health()

    async def run(self) -> None:
        """Pump until `stop`; to be called in the loop that made this worker."""
        loop = asyncio.get_running_loop()
        self._sink = await loop.run_in_executor(self._thread, self._open_sink)
        group = f"logbourse-project-{self._sink_name}"
        settings, seek_of = self._settings, self._seek_of
        self._app = make_app(
            group, self._member, settings.kafka_bootstrap, settings.data_dir, seek_of
        )
        self._app.agent(
            self._app.topic(*TOPICS, value_type=bytes), concurrency=1, name=f"to-{self._sink_name}"
        )(self._receive)
        watchdog = _Watchdog(self._health, self._on_failure)
        tasks = [asyncio.create_task(part()) for part in (self._apply_all, self._beat)]
        try:
            watchdog.start()
            await self._until_done(tasks)
        finally:
            watchdog.stop()
            for task in tasks:
                task.cancel()
            await self._stop_faust()
            await loop.run_in_executor(self._thread, self._sink.close)
            self._thread.shutdown(wait=False)

    def stop(self) -> None:
        """Let `run` return; to be called in its loop."""
        self._stopping.set()

    async def _until_done(self, tasks: Sequence["asyncio.Task[None]"]) -> None:
        """Wait for `stop`; whatever ends before is a failure."""
        stopping = asyncio.create_task(self._stopping.wait())
        crashed = asyncio.create_task(self._pump())
        done, _ = await asyncio.wait([stopping, crashed, *tasks], return_when="FIRST_COMPLETED")
        stopping.cancel()
        crashed.cancel()
        if stopping not in done:
            for task in done:
                if not task.cancelled() and task.exception() is not None:
                    self._on_failure(f"{type(task.exception()).__name__}: {task.exception()}")
                    return
            self._on_failure(f"Faust stopped: {self._app.crash_reason}")

    async def _pump(self) -> None:
        """Faust's life. A start that waits for a group that never comes is watched, too."""
        await self._app.start()
        self._has_started = True
        await self._app.wait_until_stopped()

    async def _stop_faust(self) -> None:
        """Without a broker Faust may never come to its end; then it is a failure.

        Unless `stop` was called before it had started: nothing was read that is to be given up.
        """
        stopping = asyncio.ensure_future(self._app.stop())
        done, _ = await asyncio.wait([stopping], timeout=HUNG_AFTER_S)
        if stopping in done:
            stopping.result()
            return
        sentence = f"Faust must stop within {HUNG_AFTER_S:.0f} s, did not"
        if self._stopping.is_set() and not self._has_started:
            _logger.warning("stopped before it had started", why=sentence)
        else:
            self._on_failure(sentence)

    async def _receive(self, stream: Any) -> None:
        """Collect what arrives; it is acknowledged only once it is applied."""
        async for event in stream.noack().events():
            self._waiting.setdefault(event.message.tp, deque()).append(event)
            self._waiting_bytes += event.message.size
            self._news.set()
            while self._waiting_bytes >= BUFFERED_BYTES:
                self._room.clear()
                await self._room.wait()

    async def _apply_all(self) -> None:
        assert self._sink is not None, "run() opens the sink"
        while True:
            await self._news.wait()
            self._news.clear()
            backlog = True
            while backlog:
                # Anew each time: a quiet partition does not wait for all of a busy one's backlog.
                step = take_step(self._waiting)
                backlog = any(self._waiting.values())
                await self._apply(step)
            if self._sink.pause_s:
                await asyncio.sleep(self._sink.pause_s)

    async def _apply(self, events_of: Mapping[TP, Sequence[Any]]) -> None:
        """Apply the events of several partitions, then acknowledge them."""
        offers = {
            self._followers[tp]: records
            for tp, events in events_of.items()
            if tp in self._followers and (records := self._expected(tp, events))
        }
        if offers:
            self._health.busy_since_s = monotonic()
            resumed = await asyncio.get_running_loop().run_in_executor(
                self._thread, offer_all, self._sink_opened(), offers
            )
            self._health.busy_since_s = 0.0
            for follower, offset in resumed.items():
                await self._read_from(TP(follower.topic, follower.partition), offset)
        for events in events_of.values():
            for event in events:
                self._waiting_bytes -= event.message.size
                event.ack()
        self._room.set()

    def _expected(self, tp: TP, events: Sequence[Any]) -> Sequence[RawRecord]:
        """The records in `events`; after a seek, those from before it are left out."""
        records = [record for event in events for record in event.message.records]
        return self._seeks.expected(tp, records)

    async def _seek_of(self, topic: str, partition: int) -> int:
        """Called for each assigned partition before its records flow."""
        follower = Follower(topic, partition, self._sink_opened())
        offset = await asyncio.get_running_loop().run_in_executor(self._thread, follower.load)
        tp = TP(topic, partition)
        self._followers[tp] = follower
        self._seeks.begin(tp, offset)
        return offset

    async def _read_from(self, tp: TP, offset: int) -> None:
        self._seeks.begin(tp, offset)
        if tp in self._app.consumer.assignment():
            await self._app.consumer.read_from(tp, offset)

    def _sink_opened(self) -> Sink:
        assert self._sink is not None, "run() opens the sink"
        return self._sink

    async def _beat(self) -> None:
        """Show that the loop turns, and look whether partitions move on while the log does."""
        while True:
            self._health.beat_s = monotonic()
            if self._app.started:
                self._app.consumer.expect_coordination()
            if self._followers:
                assigned = sorted(self._app.consumer.assignment() & self._followers.keys())
                self._health.keep(assigned)
                for tp in assigned:
                    await self._look_after(tp)
            await asyncio.sleep(BEAT_S)

    async def _look_after(self, tp: TP) -> None:
        follower = self._followers[tp]
        position, end = follower.position, self._app.consumer.highwater(tp) or 0
        # A rebuild may have read a moment further than this consumer; another log stays behind.
        if not 0 < end <= position.offset:
            self._ahead_since_s.pop(tp, None)
        elif monotonic() - self._ahead_since_s.setdefault(tp, monotonic()) > HUNG_AFTER_S:
            raise ViewAheadOfLog(
                f"{self._sink_name} must not stand beyond the end of {tp.topic}.{tp.partition}, "
                f"{end}, stands at {position.offset}: {way_out(self._settings, self._sink_name)}"
            )
        follower.tell_lag(end)
        # What is passed over is read, too: a sequence that never comes is no hang.
        stuck_s = self._health.stuck_s(tp, follower.read_to, behind=end > follower.read_to + 1)
        overdue = self._seeks.overdue(tp)
        if overdue is not None and stuck_s:
            await self._read_from(tp, overdue)


def way_out(settings: Settings, sink_name: str) -> str:
    """What an operator types where a view is of another log.

    A rebuild of the embedded engine runs in the process that this ends again and again.
    """
    if sink_name == "clickhouse" and settings.clickhouse_dsn.startswith(EMBEDDED):
        directory = settings.clickhouse_dsn.removeprefix(EMBEDDED)
        return f"stop the exchange, move {directory} away, start it"
    return f"logbourse rebuild {sink_name}"


def take_step(waiting: Mapping[TP, deque[Any]]) -> dict[TP, list[Any]]:
    """Take about `STEP_BYTES` of what waits in each partition, the oldest first."""
    return {tp: _piece(events) for tp, events in waiting.items() if events}


def _piece(events: deque[Any]) -> list[Any]:
    piece: list[Any] = []
    size = 0
    while events and size < STEP_BYTES:
        piece.append(events.popleft())
        size += piece[-1].message.size
    return piece


class _Health:
    """What the watchdog looks at. Times are monotonic seconds; 0 for not busy."""

    def __init__(self, effort_s: Callable[[], float] = effort_s) -> None:
        self._effort_s = effort_s
        self._efforts: deque[tuple[float, float]] = deque()
        self.beat_s = monotonic()
        self.busy_since_s = 0.0
        self._moved: dict[TP, tuple[int, float]] = {}
        self._progress_s = monotonic()

    def keep(self, assigned: Collection[TP]) -> None:
        """Forget the partitions that are others' now."""
        for tp in self._moved.keys() - set(assigned):
            del self._moved[tp]

    def stuck_s(self, tp: TP, offset: int, *, behind: bool) -> float:
        """For how long the partition has stood still while there was something to read."""
        last = self._moved.get(tp)
        if last is not None and last[0] != offset:
            self._progress_s = monotonic()
        if last is None or last[0] != offset or not behind:
            self._moved[tp] = (offset, monotonic())
            return 0.0
        return monotonic() - last[1]

    def complaint(self) -> str:
        """What hangs, as a sentence; empty if nothing does."""
        now_s = monotonic()
        longest_s = STARVED_AFTER_S if self._is_at_work(now_s) else HUNG_AFTER_S
        if now_s - self.beat_s > longest_s:
            return f"the event loop must turn, stood still for {now_s - self.beat_s:.0f} s"
        if self.busy_since_s and now_s - self.busy_since_s > longest_s:
            return f"an apply must end within {longest_s:.0f} s, did not"
        # On a busy machine a quiet partition may have to wait while others have a backlog.
        if now_s - self._progress_s <= HUNG_AFTER_S:
            longest_s = STARVED_AFTER_S
        for tp, (offset, moved_s) in list(self._moved.items()):
            if now_s - moved_s > longest_s:
                return f"{tp.topic}.{tp.partition} must move on from offset {offset}, did not"
        return ""

    def _is_at_work(self, now_s: float) -> bool:
        """Whether this process has computed, or wanted to, since as long ago as a hang takes."""
        self._efforts.append((now_s, self._effort_s()))
        while len(self._efforts) > 1 and now_s - self._efforts[1][0] >= HUNG_AFTER_S:
            self._efforts.popleft()
        (since_s, before_s), (_, effort_s) = self._efforts[0], self._efforts[-1]
        return effort_s - before_s > AT_WORK_PART * (now_s - since_s)


class _Watchdog:
    """A thread that ends the process when the worker hangs."""

    def __init__(self, health: _Health, on_failure: Callable[[str], None]) -> None:
        self._health = health
        self._on_failure = on_failure
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog", daemon=True)

    def start(self) -> None:
        self._health.beat_s = monotonic()
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()

    def _watch(self) -> None:
        while not self._stopping.wait(BEAT_S):
            complaint = self._health.complaint()
            if complaint:
                self._on_failure(complaint)
                return
