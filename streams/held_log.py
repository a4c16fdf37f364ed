"""The log as a shadow's host sees it: reads are real, and what it writes is held back."""

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from infra.log import LogRecord, Mark, PausableLog
from schemas.topics import inbox, outbox
from streams.comparison import Comparison
from streams.halts import Halt, HaltReason
from streams.marks import Done


@dataclass(slots=True)
class _Output:
    topic: str
    partition: int
    value: bytes
    acked: Callable[[], None] | None


@dataclass(slots=True)
class _HeldInput:
    """What one input led to; `after` is the position behind it."""

    after: Done
    outputs: list[_Output]


class HeldLog:
    """Holds outputs of inputs at or beyond the leader's mark, until `lead` lets them go.

    An output of an input before the mark is replicated, for the leader would not have committed
    the mark otherwise: it is acknowledged here and dropped. So the host's own rules of marks and
    snapshots go by the leader's mark, without knowing of it.
    """

    def __init__(self, log: PausableLog, shard_id: str) -> None:
        self.comparison: Comparison | None = None
        self.leading = False
        self.mark = Done(0, 0, bytes(16))
        self.held_bytes = 0
        self._log = log
        self._inbox = inbox(shard_id)
        self._outbox = outbox(shard_id)
        self._held: deque[_HeldInput] = deque()
        self._open: list[_Output] = []
        self._closed_at = 0
        self._passing = False

    @property
    def held_inputs(self) -> int:
        """How many inputs the leader's mark has not passed yet."""
        return len(self._held)

    def begin(self, position: int) -> None:
        """The host has recovered; its next input is at `position`."""
        self._closed_at = position

    def close_input(self, after: Done) -> None:
        """What was produced since the last call is of one input. Raises `Halt`."""
        outputs, self._open = self._open, []
        if after.offset <= self._closed_at:
            return
        self._closed_at = after.offset
        if after.offset <= self.mark.offset:
            self._check(after)
            _acknowledge(outputs)
        elif not self._passing:
            self._held.append(_HeldInput(after, outputs))
            self.held_bytes += _size(outputs)
        self._passing = self.leading and after.offset >= self.mark.offset

    def move_mark(self, mark: Done) -> None:
        """The leader's mark is there now: drop what lies before it. Raises `Halt`."""
        if mark.offset <= self.mark.offset:
            return
        self.mark = mark
        while self._held and self._held[0].after.offset <= mark.offset:
            held = self._held.popleft()
            self.held_bytes -= _size(held.outputs)
            self._check(held.after)
            _acknowledge(held.outputs)

    def lead(self) -> None:
        """Produce what is held; from now on the host writes to the log."""
        self.leading = True
        while self._held:
            for output in self._held.popleft().outputs:
                self._log.produce(output.topic, output.partition, output.value, acked=output.acked)
        self.held_bytes = 0
        self._passing = self._closed_at >= self.mark.offset

    def produce(
        self,
        topic: str,
        partition: int,
        value: bytes,
        *,
        time_us: int | None = None,
        acked: Callable[[], None] | None = None,
    ) -> None:
        """Append a record, or hold it back; a shadow's ticks go nowhere. Raises `Divergence`."""
        place = (topic, partition)
        if place == self._inbox:
            if self.leading:
                self._log.produce(topic, partition, value, time_us=time_us, acked=acked)
            return
        if place == self._outbox:
            self._compare(value)
        if self._passing:
            self._log.produce(topic, partition, value, time_us=time_us, acked=acked)
        else:
            self._open.append(_Output(topic, partition, value, acked))

    def committed(self, topic: str, partition: int) -> Mark | None:
        """None: the host shall produce from its snapshot on, so that all can be compared."""
        return None

    def commit(self, topic: str, partition: int, mark: Mark) -> None:
        """Commit a leader's mark; a shadow has none."""
        if self.leading and mark.offset > self.mark.offset:
            self._log.commit(topic, partition, mark)

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        return self._log.ends(topic, partition)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        self._log.seek(topic, partition, offset)

    def read(self, max_records: int, timeout_s: float) -> list[LogRecord]:
        return self._log.read(max_records, timeout_s)

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        return self._log.scan(topic, partition, start, stop)

    def poll(self) -> None:
        self._log.poll()

    def flush(self, timeout_s: float) -> bool:
        return self._log.flush(timeout_s)

    def close(self) -> None:
        self._log.close()

    def _compare(self, value: bytes) -> None:
        # A new leader goes on as long as the old one has written what is not computed here yet.
        if self.comparison is not None and (not self.leading or self.comparison.ahead_bytes):
            self.comparison.computed(value)

    def _check(self, after: Done) -> None:
        mark = self.mark
        if after.offset == mark.offset and after != mark:
            raise Halt(
                HaltReason.INPUT_CHANGED,
                f"the leader committed input {mark.ordinal} {mark.input_hash.hex()} at "
                f"{mark.offset}, here it is {after.ordinal} {after.input_hash.hex()}",
            )


def _acknowledge(outputs: list[_Output]) -> None:
    for output in outputs:
        if output.acked is not None:
            output.acked()


def _size(outputs: list[_Output]) -> int:
    return sum(len(output.value) for output in outputs)
