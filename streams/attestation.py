"""What a shard's outbox says of its inputs: whether the log still has what the shard once read."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator

from domain.decider import Message
from infra.log import Log, LogRecord
from schemas.record import Record, UndecodableRecord, decode_envelope, decode_record
from schemas.topics import outbox
from streams.halts import Halt, HaltReason

STEP_BACK = 1_000


class Attestation:
    """The outbox's records on inputs beyond an ordinal, to be met again by who reads these inputs.

    An outbox has a record on each accepted input, with the hash of all inputs up to it. So a log
    that lost the end of an inbox, or of an outbox, cannot go on unnoticed, whether or not the
    mark is lost as well.
    """

    def __init__(self, log: Log, shard: str, ordinal: int) -> None:
        self.finished = False
        """Whether every input that the outbox knows has been met."""
        self._log = log
        self._shard = shard
        self._place = outbox(shard)
        self._name = f"{self._place[0]}.{self._place[1]}"
        self._next, self._end = _start(log, shard, ordinal)
        self._ahead: deque[Record] = deque()
        self.highest = _highest(log, shard)
        """The last input of which the outbox tells."""

    def expect_told(self, *, mark: int, snapshot: int) -> None:
        """Raises `Halt` if the outbox does not tell of the last input before the mark, and of the
        last in the snapshot: neither is made before its inputs are told."""
        for ordinal, words in ((mark, "was committed"), (snapshot, "is in the snapshot")):
            if self.highest < ordinal:
                raise Halt(
                    HaltReason.ACKED_LOSS,
                    f"input {ordinal} {words}, {self._name} ends with input {self.highest}",
                )

    def meet(self, ordinal: int, input_hash: bytes) -> None:
        """The shard has accepted this input: raises `Halt` if the outbox tells of another one."""
        if ordinal > self.highest:
            self.finished = True
            return
        while (record := self._head()) is not None and record.cause < ordinal:
            self._ahead.popleft()
        if record is not None and record.cause == ordinal and record.input_hash != input_hash:
            raise Halt(
                HaltReason.INPUT_CHANGED,
                f"input {ordinal} {record.input_hash.hex()} stands in {self._name}, "
                f"found {input_hash.hex()}",
            )

    def expect_met(self, ordinal: int) -> None:
        """The shard is at its inbox's end: raises `Halt` if the outbox tells of further inputs."""
        if ordinal < self.highest:
            raise Halt(
                HaltReason.ACKED_LOSS,
                f"{self._name} tells of input {self.highest}, the log ends with input {ordinal}",
            )
        self.finished = True

    def _head(self) -> Record | None:
        while not self._ahead and self._next < self._end:
            stop = min(self._next + STEP_BACK, self._end)
            self._ahead.extend(_own(self._log.scan(*self._place, self._next, stop), self._shard))
            self._next = stop
        return self._ahead[0] if self._ahead else None


def is_told(log: Log, value: bytes | None) -> bool:
    """Whether the source of a channel's record tells of its messages, too, at the same cause.

    A record that its source has just written may stand here before it is told there.
    """
    record = decode_record(value)
    try:
        place = outbox(record.src)
    except (IndexError, KeyError, ValueError):
        return False
    # Some way further back, since a late copy of an older leader may stand between them.
    start, end = _start(log, record.src, max(0, record.cause - STEP_BACK))
    told: list[Message] = []
    for each in _own(log.scan(*place, start, end), record.src, decode_record):
        if each.cause == record.cause:
            told += each.messages
        elif each.cause > record.cause + STEP_BACK:
            break
    return all(message in told for message in record.messages)


def look_back(log: Log, shard: str, is_far: Callable[[Record], bool]) -> tuple[int, int]:
    """An offset of the shard's outbox at which a record is far enough back, and the outbox's end.

    The first offset where none is. Steps double: few records are looked at, however long it is.
    """
    low, end = log.ends(*outbox(shard))
    offset, step = end, STEP_BACK
    while offset > low:
        offset, step = max(low, end - step), 2 * step
        found = next(_own(log.scan(*outbox(shard), offset, offset + 1), shard), None)
        if found is not None and is_far(found):
            break
    return offset, end


def _start(log: Log, shard: str, ordinal: int) -> tuple[int, int]:
    """An offset of the outbox behind which all inputs beyond `ordinal` stand, and its end."""
    return look_back(log, shard, lambda record: record.cause <= ordinal)


def _highest(log: Log, shard: str) -> int:
    """The last input among the newest records; a late one of an older leader may come behind."""
    low, end = log.ends(*outbox(shard))
    if end == low:
        return 0
    newest = log.scan(*outbox(shard), max(low, end - STEP_BACK), end)
    return max((record.cause for record in _own(newest, shard)), default=0)


def _own(
    records: Iterable[LogRecord],
    shard: str,
    decode: Callable[[bytes | None], Record] = decode_envelope,
) -> Iterator[Record]:
    for each in records:
        try:
            record = decode(each.value)
        except UndecodableRecord:
            continue
        if record.src == shard:
            yield record
