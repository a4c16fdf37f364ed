"""The command-id window: the same command id has one effect, however often it arrives."""

from typing import Final

REMEMBERED_US: Final = 60_000_000
_SECOND_US: Final = 1_000_000


class CommandWindow:
    """Which commands ran, and at which accepted input, until 60 s past their deadlines."""

    __slots__ = ("_buckets", "_causes", "_second")

    def __init__(self) -> None:
        self._causes: dict[bytes, int] = {}
        self._buckets: dict[int, list[bytes]] = {}
        self._second = 0

    def cause_of(self, command_id: bytes) -> int:
        """The ordinal of the input at which the command ran; 0 if it is not remembered."""
        return self._causes.get(command_id, 0)

    def remember(self, command_id: bytes, deadline_us: int, cause: int) -> None:
        """Note that the command ran as part of accepted input `cause`."""
        self._causes[command_id] = cause
        second = (deadline_us + REMEMBERED_US) // _SECOND_US + 1
        bucket = self._buckets.get(second)
        if bucket is None:
            bucket = self._buckets[second] = []
        bucket.append(command_id)

    def expire(self, time_us: int) -> None:
        """Forget the commands whose deadline lies more than 60 s before `time_us`."""
        second = time_us // _SECOND_US
        if second <= self._second:
            return
        self._second = second
        for past in [bucket for bucket in self._buckets if bucket <= second]:
            for command_id in self._buckets.pop(past):
                self._causes.pop(command_id, None)

    def __len__(self) -> int:
        return len(self._causes)

    def dump(self) -> list[object]:
        """The window as nested lists, in canonical order."""
        buckets = [
            [second, [[cid.hex(), self._causes[cid]] for cid in sorted(self._buckets[second])]]
            for second in sorted(self._buckets)
        ]
        return [self._second, buckets]

    @classmethod
    def load(cls, data: list[object]) -> "CommandWindow":
        """The window that `dump` described."""
        window = cls()
        second, buckets = data
        assert isinstance(second, int) and isinstance(buckets, list)
        window._second = second
        for bucket, entries in buckets:
            window._buckets[bucket] = [bytes.fromhex(cid) for cid, _ in entries]
            for cid, cause in entries:
                window._causes[bytes.fromhex(cid)] = cause
        return window
