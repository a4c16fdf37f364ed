"""What simulation and faults have shown: `docs/reliability.json`, and the page drawn from it.

Each part belongs to one command, which adds to it by `update`; the page is never typed. One part,
one function here, named in `PARTS`. `python -m tests.reliability` draws the page anew.
"""

import ast
import fcntl
import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from native.selection import ROOT
from tests.faults.report import faults_part
from tests.simulation.examples import MISJUDGED

FACTS = ROOT / "docs" / "reliability.json"
SCHEDULES_WANTED = 2_000_000
CELL_WIDTH = 160
BYTES = re.compile(r"""(?<!\w)b(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")""")
"""How Python shows the bytes of a command's id."""

Part = dict[str, Any]

HEAD = """# What was done to it, and what came of it

Written by `logbourse simulate --record` and `make faults`, never typed: each run adds what it did
to [reliability.json](reliability.json), and this page is drawn from there. What must hold, and why
it does, is said in [protocol.md](protocol.md)."""


def update(part: str, change: Callable[[Part], Part], facts: Path = FACTS) -> None:
    """Put `change(what the part says)` in its place and draw the page beside `facts` anew.

    A part that says nothing yet is an empty dict. Several processes may do this at a time.
    """
    with _alone_with(facts):
        told = read(facts)
        told[part] = change(told.get(part, {}))
        _replace(facts, json.dumps(told, indent=1, sort_keys=True) + "\n")
        _replace(facts.with_suffix(".md"), page(told))


def read(facts: Path = FACTS) -> dict[str, Part]:
    """All parts by name."""
    if not facts.exists():
        return {}
    told: dict[str, Part] = json.loads(facts.read_text(encoding="utf-8"))
    return told


def page(told: dict[str, Part]) -> str:
    """The page as Markdown."""
    parts = [PARTS[name](told[name]) for name in PARTS if name in told]
    return "\n\n".join([HEAD, *parts]) + "\n"


def commit() -> str:
    """The commit of this checkout, with a `+` if the product or its simulation differs from it."""
    named = _git("rev-parse", "--short", "HEAD")
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ":!docs", ":!*.md")
    return (named or "unknown") + ("+" if changed else "")


def simulation_part(told: Part) -> str:
    """Schedules by commit, coverage and mutants, as Markdown."""
    runs: list[Part] = told.get("runs", [])
    schedules = sum(run["count"] for run in runs)
    failed = sum(len(run["failures"]) for run in runs)
    crashes = sum(run["crashes"] for run in runs)
    lines = [
        "## Simulation",
        "",
        f"**{schedules:,} schedules** of shards on a log in memory, with {crashes:,} crashes: "
        f"{failed} of them violated an invariant. Wanted are {SCHEDULES_WANTED:,}. Seven in ten "
        "are small, with three to five shards and few commands: these find most in their time. "
        "One in fourteen has gateways with their clients, too, and most of these the views of a "
        "store.",
        "",
        "| seeds | commit | build | crashes | failed | schedules/s of a process |",
        "|---|---|---|---:|---:|---:|",
        *(_run_row(run) for run in runs),
        "",
        *_not_counted(runs),
        "### Where processes were crashed, and what happened",
        "",
        *_counts("micro-step", told.get("coverage", {})),
        "",
        *_counts("what happened", told.get("happened", {})),
    ]
    return "\n".join(lines + _mutants(told.get("mutants", {})))


def _not_counted(runs: list[Part]) -> list[str]:
    """What the table leaves out, as a paragraph: batches judged wrongly, seeds of no range."""
    words = [
        f"A batch failed at seed {seed:,}, where the product was right and the simulation was not: "
        f"{why}. With the simulation mended (commit {run['commit']}) it was run again from its "
        f"first seed, {run['first']:,}, and only that counts."
        for seed, why in sorted(MISJUDGED.items())
        for run in runs
        if run["first"] <= seed < run["first"] + run["count"]
    ]
    for run, later in pairwise(runs):
        behind = run["first"] + run["count"]
        if behind < later["first"]:
            words.append(f"Of seeds {behind:,} to {later['first'] - 1:,} nothing was recorded.")
    return [" ".join(words), ""] if words else []


def _run_row(run: Part) -> str:
    last = run["first"] + run["count"] - 1
    rate = run["count"] / max(run["seconds"], 1e-9)
    cells = (
        f"{run['first']:,} to {last:,}",
        run["commit"],
        run["build"],
        f"{run['crashes']:,}",
        ", ".join(sorted(run["failures"], key=int)) or "0",
        f"{rate:.0f}",
    )
    return f"| {' | '.join(cells)} |"


def _counts(what: str, counts: dict[str, int]) -> list[str]:
    rows = [f"| {name} | {count:,} |" for name, count in sorted(counts.items())]
    return [f"| {what} | times |", "|---|---:|", *rows]


def _mutants(told: Part) -> list[str]:
    """What the sweep notices when one rule of the product is broken."""
    if not told:
        return []
    rows = [
        f"| {row['name']} | {row['schedules'] if row['violation'] else 'unnoticed'} "
        f"| {_cell(row['violation'])} |"
        for row in told["rows"]
    ]
    caught = sum(bool(row["violation"]) for row in told["rows"])
    return [
        "",
        "### Would it be noticed? Rules broken on purpose",
        "",
        f"{caught} of {len(rows)} mutants are caught within {told['limit']:,} schedules "
        f"(commit {told['commit']}); `logbourse simulate --mutants` shows it again. Assertions of "
        "what a mutant breaks are off with it. Where a violation names an AssertionError, another "
        "assertion, of the product or the simulation, was there before the checks.",
        "",
        "| rule broken | schedules until caught | first violation |",
        "|---|---:|---|",
        *rows,
    ]


def _cell(text: str) -> str:
    """A violation short enough for a table: ids in hex, long words such as signed queries cut."""
    readable = BYTES.sub(lambda found: ast.literal_eval(found[0]).hex(), text)
    words = re.sub(r"(\S{40})\S{20,}", r"\1…", readable)
    return textwrap.shorten(words, CELL_WIDTH, placeholder=" …").replace("|", "\\|")


PARTS: dict[str, Callable[[Part], str]] = {"simulation": simulation_part, "faults": faults_part}
"""How each part of the facts becomes a part of the page, in the page's order."""


@contextmanager
def _alone_with(facts: Path) -> Iterator[None]:
    # On the folder, so that the lock survives the file's being replaced and leaves nothing behind.
    folder = os.open(facts.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _replace(path: Path, text: str) -> None:
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    fresh.write_text(text, encoding="utf-8")
    fresh.replace(path)


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def main() -> int:
    """Draw the page anew from the facts."""
    _replace(FACTS.with_suffix(".md"), page(read()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
