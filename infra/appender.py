"""Appends records to the log from an asyncio loop, and says of each whether it is there."""

import asyncio
import threading
from collections.abc import Callable
from functools import partial
from time import monotonic
from typing import Protocol

from infra.kafka.clients import KafkaError, KafkaException, Message, Producer, words_of
from infra.log import LogFailure
from infra.metrics import Counter, Gauge, Histogram

APPEND_S = Histogram(
    "logbourse_append_seconds",
    "From the sending of a record to its acknowledgment",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5),
)
FAILURES = Counter("logbourse_append_failures", "Records not acknowledged, by error", ("error",))
QUEUE = Gauge("logbourse_append_queue_records", "Records sent, not yet acknowledged")

Done = Callable[[Exception | None], None]
"""Called in the loop: None once the record is replicated, else why that is not so."""


class AppendRefused(Exception):
    """The record is certainly not in the log."""


class AppendUnknown(Exception):
    """The record may be in the log, now or later."""


class Appender(Protocol):
    """Where outside records go."""

    def append(self, topic: str, partition: int, value: bytes, time_us: int, done: Done) -> None:
        """Send a record with `time_us` as its log timestamp; `done` is called later, once."""


class KafkaAppender:
    """One outside producer whose reports are brought to the loop.

    `on_failure` is called in the loop, once, when the producer can append nothing any more: the
    process must end and start with a new one.
    """

    def __init__(self, producer: Producer, on_failure: Callable[[Exception], None]) -> None:
        self._producer = producer
        self._on_failure = on_failure
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopping = threading.Event()
        self._has_failed = False
        QUEUE.set_function(producer.__len__)
        self._poller = threading.Thread(target=self._poll, name="appender", daemon=True)

    def start(self) -> None:
        """Begin to report; to be called in the loop that gets the reports."""
        self._loop = asyncio.get_running_loop()
        self._poller.start()

    async def stop(self, timeout_s: float) -> None:
        """Wait for what is on its way, at most `timeout_s`, then stop reporting."""
        await asyncio.to_thread(self._serve, partial(self._producer.flush, timeout_s))
        self._stopping.set()
        await asyncio.to_thread(self._poller.join)

    def append(self, topic: str, partition: int, value: bytes, time_us: int, done: Done) -> None:
        """See `Appender`. A full local queue is a refusal, reported at once."""
        assert self._loop is not None, "start() sets the loop"
        loop = self._loop
        sent_s = monotonic()

        def report(error: KafkaError | None, _message: Message) -> None:
            if error is None:
                APPEND_S.observe(monotonic() - sent_s)
            else:
                FAILURES.labels(error.name()).inc()
            loop.call_soon_threadsafe(done, _judge(error))
            self._tell_if_fatal(error)

        try:
            self._producer.produce(
                topic,
                value=value,
                partition=partition,
                timestamp=time_us // 1_000,
                on_delivery=report,
            )
        except BufferError as error:
            FAILURES.labels(KafkaError(KafkaError._QUEUE_FULL).name()).inc()
            loop.call_soon(done, AppendRefused(str(error)))
        except KafkaException as error:
            FAILURES.labels(error.args[0].name()).inc()
            loop.call_soon(done, AppendRefused(str(error)))
            self._tell_if_fatal(error.args[0])

    def _tell_if_fatal(self, error: KafkaError | None) -> None:
        # What is taken once the producer has failed says so by its code alone.
        if error is not None and (error.fatal() or error.code() == KafkaError._FATAL):
            self._tell(error.str())

    def _tell(self, sentence: str) -> None:
        assert self._loop is not None, "start() sets the loop"
        self._loop.call_soon_threadsafe(self._fail, LogFailure(sentence))

    def _fail(self, failure: LogFailure) -> None:
        if not self._has_failed:
            self._has_failed = True
            self._on_failure(failure)

    def _poll(self) -> None:
        while not self._stopping.is_set():
            if not self._serve(partial(self._producer.poll, 0.1)):
                # What was on its way is still reported.
                self._stopping.wait(0.1)

    def _serve(self, call: Callable[[], int]) -> bool:
        """Let the library call back; False if it has raised a fatal error meanwhile."""
        try:
            call()
        except (KafkaException, SystemError) as error:
            self._tell(words_of(error))
            return False
        return True


_REFUSALS = frozenset(
    (
        KafkaError.INVALID_TIMESTAMP,
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError._UNKNOWN_PARTITION,
        KafkaError._UNKNOWN_TOPIC,
    )
)


def _judge(error: KafkaError | None) -> Exception | None:
    if error is None:
        return None
    return AppendRefused(error.str()) if error.code() in _REFUSALS else AppendUnknown(error.str())
