"""How long a leader has been getting nowhere: hearing nothing, or waiting for acknowledgements."""


class Progress:
    """Watches a host; whoever leads reads a `Tick` of its own each second, if brokers reach it."""

    __slots__ = ("_acked_s", "_done", "_heard_s", "_position")

    def __init__(self, now_s: float) -> None:
        self._position = self._done = 0
        self._heard_s = self._acked_s = now_s

    def look(self, position: int, done: int, waits: bool, now_s: float) -> None:
        """`position` is the next input, `done` the first with outputs that it `waits` for."""
        if position != self._position:
            self._position, self._heard_s = position, now_s
        if done != self._done or not waits:
            self._done, self._acked_s = done, now_s

    def standstill_s(self, now_s: float) -> float:
        """Seconds since it heard something new, or since the oldest output was due, if longer."""
        return now_s - min(self._heard_s, self._acked_s)
