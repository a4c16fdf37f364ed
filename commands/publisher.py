"""Packs the commands that wait for a shard into one record, once the last one is written."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from commands.admission import admit
from domain.decider import Message
from infra.appender import Appender, AppendRefused
from infra.buggify import buggify
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
"""Commands that wait for one shard, sent apart."""

UNREADY_AFTER_REFUSAL_S = 5.0

Failed = Callable[[ApiError], None]
Written = Callable[[], None]


@dataclass(slots=True)
class _Submission:
    """Messages of one request, which stand in one record."""

    encoded: list[bytes]
    size: int
    deadline_us: int
    failed: Failed
    written: Written | None


@dataclass(slots=True)
class _Lane:
    """What goes to one shard: at most one record is on its way. `commands` wait in `waiting`."""

    topic: str
    partition: int
    waiting: deque[_Submission] = field(default_factory=deque)
    commands: int = 0
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
        messages: Sequence[Message],
        deadline_us: int,
        failed: Failed,
        written: Written | None = None,
    ) -> None:
        """Queue messages for one record; `failed` is called if they certainly do not reach the log.

        That is -1021 when their deadline passes first, -1008 when the log refuses them. `written`
        is called once they are replicated. Raises -1008 when too many wait for the shard.
        """
        lane = self._lanes.get(shard)
        if lane is None:
            lane = self._lanes[shard] = _Lane(*inbox(shard))
        admit(messages, lane.commands, MAX_WAITING, "queue")
        encoded = [encode_message(message) for message in messages]
        size = sum(map(len, encoded))
        lane.waiting.append(_Submission(encoded, size, deadline_us, failed, written))
        lane.commands += len(encoded)
        if not lane.busy:
            lane.busy = True
            # Whatever else this turn of the loop brings still comes along.
            asyncio.get_running_loop().call_soon(self._send, lane)

    def _send(self, lane: _Lane) -> None:
        now_us = self._clock.now_us()
        batch = _take_batch(lane, now_us)
        if not batch:
            lane.busy = False
            return
        value = outside_record(self._source, now_us, [e for s in batch for e in s.encoded])
        self._appender.append(
            lane.topic, lane.partition, value, now_us, lambda error: self._sent(lane, batch, error)
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


def _take_batch(lane: _Lane, now_us: int) -> list[_Submission]:
    """Up to 500 commands and 64 KiB from the head; what is past its deadline is failed."""
    batch: list[_Submission] = []
    waiting, size, commands = lane.waiting, ENVELOPE_BYTES, 0
    while waiting:
        submission = waiting[0]
        in_time = submission.deadline_us >= now_us
        if in_time:
            size += submission.size
            commands += len(submission.encoded)
            full = size > MAX_RECORD_BYTES or commands > MAX_COMMANDS
            if batch and (full or buggify("small record")):
                break
            batch.append(submission)
        waiting.popleft()
        lane.commands -= len(submission.encoded)
        if not in_time:
            submission.failed(errors.outside_recv_window())
    return batch
