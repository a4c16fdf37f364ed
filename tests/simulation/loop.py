"""An asyncio loop that the world turns: product coroutines run on it step by step, by the seed."""

import asyncio
from asyncio import events
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context
from heapq import heappop, heappush
from typing import Any, cast

MAX_ROUNDS = 50
"""Rounds of callbacks in one turn, so that what never rests cannot hang the world."""


class SimLoop:
    """As much of `asyncio.AbstractEventLoop` as is asked for here; its time is the world's.

    What goes to an executor is done at once. A callback's or task's failure is raised by `turn`.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._ready: deque[asyncio.Handle] = deque()
        self._timers: list[tuple[float, int, asyncio.TimerHandle]] = []
        self._made = 0
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._failure: BaseException | None = None
        self._closed = False

    def turn(self) -> bool:
        """Run what is due and all that follows at once; whether anything was. Raises failures."""
        self._take_due()
        if not self._ready:
            return False
        with running(self):
            for _ in range(MAX_ROUNDS):
                for _ in range(len(self._ready)):
                    self._run_first()
                self._take_due()
                if not self._ready:
                    break
        return True

    def idle(self) -> bool:
        """Whether nothing is to be done but what waits for time or others."""
        return not self._ready

    def close(self) -> None:
        """End all tasks where they stand, as the end of a process does."""
        self._closed = True
        self._ready.clear()
        self._timers.clear()
        with running(self):
            for task in self._tasks.values():
                # Nobody shall be told that it never ended.
                task._log_destroy_pending = False  # type: ignore[attr-defined]
                coroutine = task.get_coro()
                if coroutine is not None:
                    coroutine.close()
        self._tasks.clear()
        self._ready.clear()

    def as_loop(self) -> asyncio.AbstractEventLoop:
        """Itself, for whoever wants the whole interface."""
        return cast(asyncio.AbstractEventLoop, self)

    def time(self) -> float:
        return self._now_s()

    def call_soon(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self.as_loop(), context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now_s() + delay, callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        handle = asyncio.TimerHandle(when, callback, args, self.as_loop(), context)
        self._made += 1
        heappush(self._timers, (when, self._made, handle))
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        return asyncio.Future(loop=self.as_loop())

    def create_task(self, coro: Any, *, name: str | None = None, context: Any = None) -> Any:
        self._made += 1
        number = self._made
        loop = self.as_loop()
        task: asyncio.Task[Any] = asyncio.Task(coro, loop=loop, name=f"t{number}", context=context)
        self._tasks[number] = task
        task.add_done_callback(lambda done: self._end(number, done))
        return task

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        future = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:
            future.set_exception(error)
        return future

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        if not self._closed:
            self._fail(context.get("exception") or AssertionError(context["message"]))

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return events._get_running_loop() is self.as_loop()

    def is_closed(self) -> bool:
        return self._closed

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def _take_due(self) -> None:
        now_s = self._now_s()
        while self._timers and self._timers[0][0] <= now_s:
            handle = heappop(self._timers)[2]
            if not handle.cancelled():
                self._ready.append(handle)

    def _run_first(self) -> None:
        handle = self._ready.popleft()
        if not handle.cancelled():
            handle._run()
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    def _end(self, number: int, task: asyncio.Task[Any]) -> None:
        self._tasks.pop(number, None)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _fail(self, failure: BaseException | None) -> None:
        self._failure = self._failure or failure


@contextmanager
def running(loop: SimLoop) -> Iterator[None]:
    """Within, `loop` is the one that runs."""
    before = events._get_running_loop()
    events._set_running_loop(loop.as_loop())
    try:
        yield
    finally:
        events._set_running_loop(before)
