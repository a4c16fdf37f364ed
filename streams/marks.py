"""The mark rule: which inputs are done with, because every output they caused is replicated."""

from collections import deque
from dataclasses import dataclass

from infra.log import Mark


@dataclass(slots=True, frozen=True)
class Done:
    """A position up to which inputs are done with, and what the shard's input was there."""

    offset: int
    ordinal: int
    input_hash: bytes

    def mark(self) -> Mark:
        """The position as it is committed to the log."""
        return Mark(self.offset, f"{self.ordinal} {self.input_hash.hex()}")

    @classmethod
    def of_mark(cls, mark: Mark) -> "Done":
        """The position that was committed; `ValueError` if the metadata is not ours."""
        ordinal, _, input_hash = mark.metadata.partition(" ")
        return cls(mark.offset, int(ordinal), bytes.fromhex(input_hash))


class PendingInput:
    """An input some of whose outputs are not replicated yet."""

    __slots__ = ("after", "waiting")

    def __init__(self, after: Done, waiting: int) -> None:
        self.after = after
        self.waiting = waiting

    def acked(self) -> None:
        """One more output is replicated."""
        self.waiting -= 1


class OutputTracker:
    """Follows acknowledgements and says how far inputs are done with, in input order."""

    __slots__ = ("_pending", "done")

    def __init__(self, done: Done) -> None:
        self.done = done
        self._pending: deque[PendingInput] = deque()

    def track(self, after: Done, outputs: int) -> PendingInput:
        """Note an input with so many outputs; `after` is the position behind it."""
        pending = PendingInput(after, outputs)
        self._pending.append(pending)
        return pending

    @property
    def waits(self) -> bool:
        """Whether an output is not replicated yet, as far as `advance` has looked."""
        return bool(self._pending)

    def advance(self) -> Done:
        """The position before the first input that has an unacknowledged output."""
        while self._pending and self._pending[0].waiting == 0:
            self.done = self._pending.popleft().after
        return self.done
