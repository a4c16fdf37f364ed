"""What becomes of an appender whose producer fails for good, on the library's own fake brokers."""

import asyncio
import ctypes
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import confluent_kafka
import pytest
from confluent_kafka import KafkaError, KafkaException, Producer

from infra.appender import AppendRefused, AppendUnknown, KafkaAppender
from infra.kafka.clients import outside_producer
from infra.log import LogFailure
from infra.settings import Settings

HANDLE_AT = 16
"""Where a `Producer` keeps the library's handle: behind Python's count and type."""


def fail_for_good(producer: Producer) -> None:
    """Let the library itself find that it can append nothing any more."""
    folder = Path(confluent_kafka.__file__).parent.with_suffix(".libs")
    found = list(folder.glob("librdkafka*"))
    if not found:
        pytest.skip(f"the library lies elsewhere than in {folder}")
    library = ctypes.CDLL(str(found[0]))
    handle = ctypes.c_void_p.from_address(id(producer) + HANDLE_AT)
    library.rd_kafka_test_fatal_error(handle, KafkaError.OUT_OF_ORDER_SEQUENCE_NUMBER, b"by a test")


async def until(holds: Callable[[], object]) -> None:
    give_up_s = monotonic() + 10
    while not holds():
        assert monotonic() < give_up_s, "nothing was told"
        await asyncio.sleep(0.01)


async def test_a_producer_that_fails_for_good_is_told_once_and_takes_nothing_more(tmp_path):
    settings = Settings(data_dir=tmp_path, kafka_bootstrap="127.0.0.1:1")
    producer = outside_producer(settings, test_mock_num_brokers=1, allow_auto_create_topics=True)
    failures: list[Exception] = []
    done: list[Exception | None] = []
    appender = KafkaAppender(producer, failures.append)
    appender.start()
    appender.append("topic", 0, b"one", 1_000, done.append)
    await until(lambda: done)
    assert done == [None]
    appender.append("topic", 0, b"two", 1_000, done.append)
    fail_for_good(producer)
    await until(lambda: failures)
    await until(lambda: len(done) == 2)
    for _ in range(3):
        appender.append("topic", 0, b"three", 1_000, done.append)
    await until(lambda: len(done) == 5)
    assert not any(error is None for error in done[2:])
    await appender.stop(1)
    (failure,) = failures
    assert isinstance(failure, LogFailure)
    assert "by a test" in str(failure)


class OddProducer:
    """Raises what `poll` and `produce` are told to, and reports what is told to be reported."""

    def __init__(self, reported: KafkaError | None = None) -> None:
        self.polled: Exception | None = None
        self.produced: Exception | None = None
        self.reported = reported
        self.waiting: list[Callable[[KafkaError | None, object], None]] = []

    def __len__(self) -> int:
        return len(self.waiting)

    def poll(self, _timeout_s: float) -> int:
        if self.polled is not None:
            raise self.polled
        while self.waiting:
            self.waiting.pop()(self.reported, None)
        return 0

    def produce(self, _topic: str, *, on_delivery: Any, **_: object) -> None:
        if self.produced is not None:
            raise self.produced
        self.waiting.append(on_delivery)

    def flush(self, timeout_s: float) -> int:
        return self.poll(timeout_s)


@pytest.mark.parametrize(
    "raised", [KafkaException(KafkaError(KafkaError._FATAL)), SystemError("error return")]
)
async def test_a_poll_that_raises_is_told(raised):
    producer: Any = OddProducer()
    failures: list[Exception] = []
    appender = KafkaAppender(producer, failures.append)
    appender.start()
    producer.polled = raised
    await until(lambda: failures)
    await appender.stop(1)
    assert [type(failure) for failure in failures] == [LogFailure]


@pytest.mark.parametrize("where", ["report", "produce"])
async def test_an_error_that_says_fatal_by_its_code_alone_is_told(where):
    fatal = KafkaError(KafkaError._FATAL)
    assert not fatal.fatal(), "that is why"
    producer: Any = OddProducer(fatal)
    if where == "produce":
        producer.produced = KafkaException(fatal)
    failures: list[Exception] = []
    done: list[Exception | None] = []
    appender = KafkaAppender(producer, failures.append)
    appender.start()
    appender.append("topic", 0, b"one", 1_000, done.append)
    await until(lambda: failures and done)
    await appender.stop(1)
    assert [type(failure) for failure in failures] == [LogFailure]
    assert [type(e) for e in done] == [AppendUnknown if where == "report" else AppendRefused]
