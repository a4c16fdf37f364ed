"""Packs the commands that wait for a shard into one record, once the last one is written."""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from domain.decider import Message
from infra.appender import Appender, AppendRefused
from infra.clock import Clock
from infra.http import errors
from infra.http.errors import ApiError
from schemas.record import encode_message, outside_record
from schemas.topics import inbox

MAX_COMMANDS = 500
MAX_RECORD_BYTES = 64 * 1024
ENVELOPE_BYTES = 128
"""More than the envelope of a record with a short source takes."""

MAX_WAITING = 5_000
UNREADY_AFTER_REFUSAL_S = 5.0

Failed = Callable[[ApiError], None]
Written = Callable[[], None]


@dataclass(slots=True)
class _Submission:
    encoded: bytes
    deadline_us: int
    failed: Failed
    written: Written | None


@dataclass(slots=True)
class _Lane:
    """What goes to one shard: at most one record is on its way."""

    shard: str
    waiting: deque[_Submission] = field(default_factory=deque)
    busy: bool = False


class Publisher:
    """Appends commands of one source ("gw" or "operator") to the shards' inboxes."""

    def __init__(self, appender: Appender, clock: Clock, source: str) -> None:
        self._appender = appender
        self._clock = clock
        self._source = source
        self._lanes: dict[str, _Lane] = {}
        self._refused_at_s: float | None = None

    def is_ready(self) -> bool:
        """False for some seconds after the log refused a record, such as for a fast clock."""
        if self._refused_at_s is None:
            return True
        return self._clock.monotonic_s() - self._refused_at_s > UNREADY_AFTER_REFUSAL_S

    def submit(
        self,
        shard: str,
        message: Message,
        deadline_us: int,
        failed: Failed,
        written: Written | None = None,
    ) -> None:
        """Queue a message; `failed` is called if it will certainly not reach the log.

        That is -1021 when its deadline passes first, -1008 when the log refuses it. `written` is
        called once it is replicated. Raises -1008 when too many messages wait for the shard.
        """
        lane = self._lanes.setdefault(shard, _Lane(shard))
        if len(lane.waiting) >= MAX_WAITING:
            raise errors.overloaded()
        encoded = encode_message(message)
        lane.waiting.append(_Submission(encoded, deadline_us, failed, written))
        if not lane.busy:
            lane.busy = True
            # Whatever else this turn of the loop brings still comes along.
            asyncio.get_running_loop().call_soon(self._send, lane)

    def _send(self, lane: _Lane) -> None:
        now_us = self._clock.now_us()
        batch = _take_batch(lane.waiting, now_us)
        if not batch:
            lane.busy = False
            return
        value = outside_record(self._source, now_us, [s.encoded for s in batch])
        topic, partition = inbox(lane.shard)
        self._appender.append(
            topic, partition, value, now_us, lambda error: self._sent(lane, batch, error)
        )

    def _sent(self, lane: _Lane, batch: list[_Submission], error: Exception | None) -> None:
        """Commands of which it is unknown whether they are in the log wait on for an outcome."""
        if isinstance(error, AppendRefused):
            self._refused_at_s = self._clock.monotonic_s()
            for submission in batch:
                submission.failed(errors.overloaded())
        elif error is None:
            self._refused_at_s = None
            for submission in batch:
                if submission.written is not None:
                    submission.written()
        self._send(lane)


def _take_batch(waiting: deque[_Submission], now_us: int) -> list[_Submission]:
    """Up to 500 commands and 64 KiB from the head; what is past its deadline is failed."""
    batch: list[_Submission] = []
    size = ENVELOPE_BYTES
    while waiting and len(batch) < MAX_COMMANDS:
        submission = waiting[0]
        if submission.deadline_us < now_us:
            waiting.popleft().failed(errors.outside_recv_window())
            continue
        size += len(submission.encoded)
        if batch and size > MAX_RECORD_BYTES:
            break
        batch.append(waiting.popleft())
    return batch
