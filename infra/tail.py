"""Follows outboxes in a background thread and hands what appears to an asyncio loop."""

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from infra.log import Log, LogRecord, Partition

READ_RECORDS = 1_000
READ_TIMEOUT_S = 0.2
BATCHES_AHEAD = 2
"""Read and not yet taken by the loop; a loop that is slower than the log is not buried."""


class Tail:
    """Reads partitions from given offsets on, for ever.

    `open_log` makes a handle on the log: one for the reading thread, one for questions about ends.
    `on_records` is called in the loop with batches, each partition's records in order. If reading
    fails, `on_failure` is called in the loop once and reading ends.
    """

    def __init__(
        self,
        open_log: Callable[[], Log],
        start: Mapping[Partition, int],
        on_records: Callable[[Sequence[LogRecord]], None],
        on_failure: Callable[[Exception], None],
    ) -> None:
        self._open_log = open_log
        self._start = dict(start)
        self._on_records = on_records
        self._on_failure = on_failure
        self._stopping = threading.Event()
        self._ahead = threading.Semaphore(BATCHES_AHEAD)
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._questions = ThreadPoolExecutor(1, thread_name_prefix="tail-ends")
        self._asker: Log | None = None
        self._asking: dict[Partition, _Question] = {}

    def start(self) -> None:
        """Begin to read; to be called in the loop that gets the records."""
        self._loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._read, name="tail", daemon=True)
        self._thread.start()

    async def stop(self) -> None:
        """End reading and give the handles back."""
        self._stopping.set()
        thread = self._thread
        if thread is not None:
            await asyncio.to_thread(thread.join)
        await asyncio.get_running_loop().run_in_executor(self._questions, self._close_asker)
        self._questions.shutdown(wait=False)

    async def end_offset(self, topic: str, partition: int) -> int:
        """The offset the next record will get, asked of the log after this call began.

        Callers that wait while a question is on its way share the next one.
        """
        question = self._asking.setdefault((topic, partition), _Question())
        if question.following is None:
            question.following = asyncio.ensure_future(self._ask(question, topic, partition))
        return await asyncio.shield(question.following)

    async def scan(self, topic: str, partition: int, start: int, stop: int) -> list[LogRecord]:
        """The records of [start, stop), apart from what is being followed."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._questions, lambda: list(self._ask_log().scan(topic, partition, start, stop))
        )

    async def _ask(self, question: "_Question", topic: str, partition: int) -> int:
        if question.running is not None:
            await asyncio.wait([question.running])
        question.running, question.following = question.following, None
        loop = asyncio.get_running_loop()
        ends = await loop.run_in_executor(
            self._questions, lambda: self._ask_log().ends(topic, partition)
        )
        return ends[1]

    def _ask_log(self) -> Log:
        if self._asker is None:
            self._asker = self._open_log()
        return self._asker

    def _close_asker(self) -> None:
        if self._asker is not None:
            self._asker.close()

    def _read(self) -> None:
        assert self._loop is not None, "start() sets the loop"
        try:
            log = self._open_log()
            for (topic, partition), offset in self._start.items():
                log.seek(topic, partition, offset)
            while not self._stopping.is_set():
                if not self._ahead.acquire(timeout=READ_TIMEOUT_S):
                    continue
                records = log.read(READ_RECORDS, READ_TIMEOUT_S)
                if records:
                    self._loop.call_soon_threadsafe(self._take, records)
                else:
                    self._ahead.release()
            log.close()
        except Exception as error:
            if not self._stopping.is_set():
                self._loop.call_soon_threadsafe(self._on_failure, error)

    def _take(self, records: Sequence[LogRecord]) -> None:
        self._ahead.release()
        self._on_records(records)


class _Question:
    """About one partition's end: the one on its way, and the one that will follow it."""

    __slots__ = ("following", "running")

    def __init__(self) -> None:
        self.running: asyncio.Future[int] | None = None
        self.following: asyncio.Future[int] | None = None
