"""The tail: order, questions about ends that are fresh and shared, and failures that are told."""

import asyncio
import threading
from collections.abc import Iterator

import pytest

from infra.log import LogFailure, LogRecord
from infra.tail import Tail

PLACE = ("ledger.ev", 0)


class Outbox:
    """One partition that grows."""

    def __init__(self) -> None:
        self.values: list[bytes] = []
        self.failing = False
        self.asked = 0
        self.answer = threading.Event()
        self.answer.set()

    def open(self) -> "OutboxReader":
        return OutboxReader(self)


class OutboxReader:
    def __init__(self, outbox: Outbox) -> None:
        self.outbox = outbox
        self.offset = 0

    def seek(self, topic: str, partition: int, offset: int) -> None:
        assert (topic, partition) == PLACE
        self.offset = offset

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        if self.outbox.failing:
            raise LogFailure("gone")
        found = list(self.scan(*PLACE, self.offset, self.offset + 3))
        self.offset += len(found)
        if not found:
            threading.Event().wait(0.005)
        return found

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        for offset, value in enumerate(self.outbox.values[start:stop], start):
            yield LogRecord(topic, partition, offset, -1, value)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        self.outbox.asked += 1
        end = len(self.outbox.values)
        assert self.outbox.answer.wait(5)
        return 0, end

    def close(self) -> None:
        pass


@pytest.fixture
def outbox() -> Outbox:
    return Outbox()


def follow(outbox: Outbox, start: int = 0):
    seen: list[LogRecord] = []
    failures: list[Exception] = []
    tail = Tail(outbox.open, {PLACE: start}, seen.extend, failures.append)  # type: ignore[arg-type]
    tail.start()
    return tail, seen, failures


async def until(condition) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110 - another thread fills what is looked at
            await asyncio.sleep(0.002)


async def test_records_arrive_in_order_from_the_given_offset(outbox):
    outbox.values = [b"%d" % n for n in range(10)]
    tail, seen, _ = follow(outbox, start=4)
    await until(lambda: len(seen) == 6)
    outbox.values += [b"10", b"11"]
    await until(lambda: len(seen) == 8)
    assert [record.offset for record in seen] == list(range(4, 12))
    assert [r.value for r in await tail.scan(*PLACE, 1, 3)] == [b"1", b"2"]
    await tail.stop()


async def test_a_question_that_began_before_is_not_the_answer(outbox):
    tail, _, _ = follow(outbox)
    outbox.answer.clear()
    early = asyncio.create_task(tail.end_offset(*PLACE))
    await until(lambda: outbox.asked == 1)
    outbox.values.append(b"new")
    late = [asyncio.create_task(tail.end_offset(*PLACE)) for _ in range(20)]
    await asyncio.sleep(0.01)
    outbox.answer.set()
    assert await early == 0
    assert await asyncio.gather(*late) == [1] * 20
    assert outbox.asked == 2
    await tail.stop()


async def test_a_caller_that_gives_up_takes_nobody_along(outbox):
    tail, _, _ = follow(outbox)
    outbox.answer.clear()
    waiting = [asyncio.create_task(tail.end_offset(*PLACE)) for _ in range(2)]
    await until(lambda: outbox.asked == 1)
    waiting[0].cancel()
    outbox.answer.set()
    assert await waiting[1] == 0
    await tail.stop()


async def test_a_failure_is_told_once(outbox):
    tail, _, failures = follow(outbox)
    outbox.failing = True
    await until(lambda: failures)
    assert isinstance(failures[0], LogFailure)
    await tail.stop()
    assert len(failures) == 1
