"""A flame graph of running processes: sampled by py-spy from outside, drawn as one SVG."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from zlib import crc32

from native.selection import ROOT

PLOT = ROOT / "docs" / "plots" / "flame.svg"
WIDTH, ROW, LEAST_WIDTH, LETTER = 1_200, 17, 1.0, 6.6
SAMPLES_PER_S = 200


@dataclass(slots=True)
class Outcome:
    """How many samples were drawn, or why none were."""

    samples: int = 0
    why: str = ""


@dataclass(slots=True)
class _Frame:
    """A function as called from where it stands: samples in it and below."""

    samples: int = 0
    below: dict[str, "_Frame"] = field(default_factory=dict)

    def depth(self) -> int:
        return 1 + max((frame.depth() for frame in self.below.values()), default=0)


@contextmanager
def flame_graph(pids: Mapping[str, int], seconds: float, *, native: bool) -> Iterator[Outcome]:
    """Sample the processes while the block runs and draw them side by side, each by its name.

    `native` shows C's functions too: compiled ones are C to Python.
    """
    outcome = Outcome()
    binary = Path(sys.executable).parent / "py-spy"
    found = str(binary) if binary.exists() else shutil.which("py-spy")
    if found is None:
        outcome.why = "py-spy of requirements-bench.txt is not installed"
        yield outcome
        return
    with tempfile.TemporaryDirectory() as folder:
        spies = [
            _spy(found, name, pid, seconds, Path(folder), native) for name, pid in pids.items()
        ]
        try:
            yield outcome
        finally:
            said = [spy.communicate()[0].decode() for spy in spies]
        texts = [(name, Path(folder) / name) for name in pids]
        folded = {name: path.read_text() for name, path in texts if path.exists()}
    if not all(folded.get(name) for name in pids):
        outcome.why = f"py-spy told nothing: {' '.join(' '.join(said).split())[-100:]}"
        return
    root = _read(folded)
    outcome.samples = root.samples
    PLOT.parent.mkdir(parents=True, exist_ok=True)
    PLOT.write_text(_svg(root), encoding="utf-8")


def _spy(
    binary: str, name: str, pid: int, seconds: float, folder: Path, native: bool
) -> subprocess.Popen[bytes]:
    words = [binary, "record", "--pid", str(pid), "--duration", str(int(seconds) or 1)]
    words += ["--format", "raw", "--rate", str(SAMPLES_PER_S), "--output", str(folder / name)]
    if native:
        words.append("--native")
    return subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def _read(folded: Mapping[str, str]) -> _Frame:
    """Stacks as py-spy writes them, `caller;callee count` a line, below the process's name."""
    root = _Frame()
    for process, text in folded.items():
        for line in text.splitlines():
            stack, _, count = line.rpartition(" ")
            frame = root
            frame.samples += int(count)
            for name in (process, *stack.split(";")):
                frame = frame.below.setdefault(name, _Frame())
                frame.samples += int(count)
    return root


def _svg(root: _Frame) -> str:
    height = root.depth() * ROW
    boxes = list(_boxes(root, 0.0, height - ROW, WIDTH / root.samples, root.samples))
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="monospace" font-size="11">'
    )
    return "\n".join([head, *boxes, "</svg>", ""])


def _boxes(frame: _Frame, left: float, bottom: float, scale: float, all_: int) -> Iterator[str]:
    """The boxes above a frame, callers below callees, in alphabetical order."""
    for name, above in sorted(frame.below.items()):
        width = above.samples * scale
        if width >= LEAST_WIDTH:
            yield _box(name, above.samples / all_, left, bottom, width)
            yield from _boxes(above, left, bottom - ROW, scale, all_)
        left += width


def _box(name: str, part: float, left: float, bottom: float, width: float) -> str:
    # The color says nothing but which function it is: the same one has the same everywhere.
    hue = crc32(name.encode()) % 60
    shown = name if len(name) * LETTER < width else name[: int(width / LETTER)]
    text = f'<text x="{left + 2:.1f}" y="{bottom + 12}">{escape(shown)}</text>' if shown else ""
    return (
        f"<g><title>{escape(name)} ({part:.1%})</title>"
        f'<rect x="{left:.1f}" y="{bottom}" width="{width:.1f}" height="{ROW - 1}" '
        f'fill="hsl({hue},75%,68%)"/>{text}</g>'
    )
