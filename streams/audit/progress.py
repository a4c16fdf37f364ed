"""A progress bar on the terminal's error stream, so that results alone go to the output."""

import sys
import time

WIDTH = 30
REDRAW_S = 0.2


class Bar:
    """Shows how many of `total` records are done; silent where nobody looks at a terminal."""

    def __init__(self, label: str, total: int) -> None:
        self._label = label
        self._total = total
        self._done = 0
        self._shown = sys.stderr.isatty()
        self._next_s = 0.0

    def advance(self, records: int) -> None:
        """So many more are done."""
        self._done += records
        if self._shown and time.monotonic() >= self._next_s:
            self._next_s = time.monotonic() + REDRAW_S
            self._draw()

    def end(self) -> None:
        """Leave the line as it is at the end."""
        if self._shown:
            self._draw()
            print(file=sys.stderr)

    def _draw(self) -> None:
        done = min(self._done, self._total) / max(self._total, 1)
        bar = "█" * round(done * WIDTH)
        print(
            f"\r{self._label} {bar:<{WIDTH}} {done:4.0%} {self._done:,} of {self._total:,} records",
            end="",
            file=sys.stderr,
            flush=True,
        )
