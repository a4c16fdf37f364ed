"""The part "faults" of the page of reliability: its table, and its plot of unavailability."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

Line = dict[str, Any]

PLOT = "plots/faults.svg"
LONGEST = 240
"""Characters of a violation that the page shows."""

JUDGED_BY_LESS = {
    "1": "all the trading was on one matching shard, and neither snapshots nor history nor more of "
    "Redis than balances and open orders was looked at.",
    "2": "the log was not asked whether a cancel that was refused had an effect after all, nor an "
    "order or cancel that was told at its only attempt that it came too late; and that orders had "
    "come back was said by the first one of any ledger, where today each must have taken one.",
    "3": "the log was not asked whether a command had faulted, nor whether an order had the end "
    "and fills that its answer told; that `logbourse audit` was sound was believed without asking "
    "how much it had checked, and up to where; after a recovery (F9b 1 to 3) only what was gone "
    "was asked for, also of what was answered since; an outage at the end of the load was measured "
    "up to that end, and orders that never came back were no violation; and nobody asked whether a "
    "broken network (F11, F12, F26) had held back anything, whether somebody was told while two "
    "brokers were down (F7), nor whether Redis came back with its file (F14 AOF).",
}
"""What was different in former runs, by what they were judged: of a level, and all before it."""

LEFT, WIDTH, STEP, TOP = 190, 560, 18, 30
HEAD = f"""## Faults

Real processes on one machine: three brokers (replication 3, two in sync), two hosts of shards,
projections, Redis, ClickHouse and a gateway, under the load of eight seeded clients who send the
same bytes again until they know the outcome. After every run: each acknowledged command is in the
log exactly once in effect, nothing is without a command, nothing ran after its deadline, `logbourse
audit` is sound with a full replay and every snapshot that hosts keep (L1, L2, L4–L8, E1–E6, S1–S4,
since 23 November 2026 L9; there are no wallets for L3), and has checked some of each up to the end
of the log, nothing has faulted (but for the bug that F20 plants), each order has the end and the
fills that its answer told, all of Redis and the tables of history (but for risk samples) equal the
fold of the log, and the API tells each client what it wrote down.
In F9b 1 to 3 Kafka itself loses what it has acknowledged. Either nothing acknowledged may be gone,
or a shard halts and
`logbourse recover` reopens an exchange that is judged as above, but for this: what is gone must
stand behind the recovery's cut, or in a partition whose file was cut short; its report must list
each lost order that an outbox still had, under the id that its client was told; and books may have
met the other orders anew. Of what is answered once it is reopened nothing may be gone. A record
that F31 has forged stays in the log: the audit must name it, and nothing else. A snapshot that F5
has damaged may be there.

The clients trade on three markets, of which two are of one matching shard and one of the other.
They make as many requests a second together as the table says (`--rate`; 500 are wanted), as
far as earlier ones are answered: ten at once each, as bots do that move their quotes; where it says
200, each by itself. All processes share two cores, with each other and mostly with other work.
Brokers have Java's quick compiler alone since 22 November 2026. Unavailability is the longest time
in which no order of some ledger shard was acknowledged, from the fault to the end of the load, or
to the answer that ended an outage which lasted longer;
"before" is the same in the 3 s before the fault, which tells how busy the machine was. A missed
target is shown as missed, and not counted as violated; other numbers that have a target show it in
the last column. What is behind "at most" is no target: where nothing is hit that orders need (F13,
F14, F15, F17, and F31 but for its gap), it is a violation if they wait for longer. A row's runs
with less load than its others are not in the table, nor storms (F30) of less than 20 minutes and
soaks (F32) of less than 30; F31 rows has 250 requests a second, since 500 fill both cores and leave
the engine of history a tenth of one
([decision 24](decisions/0024-what-two-cores-and-a-storm-cannot-show.md)). Each run is a line of
[faults.jsonl](faults.jsonl); `make faults` adds more.

![Unavailability by fault]({PLOT})
"""


def faults_part(told: Line) -> str:
    """All rows that were run, as Markdown."""
    rows: list[Line] = told.get("rows", [])
    runs = sum(row["runs"] for row in rows)
    violated = sum(row["violated"] for row in rows)
    acknowledged = sum(row["acknowledged"] for row in rows)
    others = told.get("with another load", {"runs": 0, "violated": 0})
    former = told.get("judged by less", {})
    return "\n".join(
        [
            HEAD,
            f"**{_runs(runs)} of {len(rows)} rows**, {acknowledged:,} orders acknowledged: "
            f"{_runs(violated)} violated something. "
            f"Of {_runs(others['runs'])} with another load, before, or not as long, "
            f"{others['violated']} did.",
            *_judged_by_less(former, told.get("of what lasts", {})),
            "",
            "| row | what happens | requests/s | runs | violated | before, s | median, s | "
            "longest, s | target, s | met | worst of what else was measured |",
            "|---|---|---:|---:|---:|---:|---:|---:|---:|---|---|",
            *(_row(row) for row in rows),
            *_violations(told.get("violated", [])),
        ]
    )


def _judged_by_less(former: Mapping[str, int], lasting: Mapping[str, list[int]]) -> list[str]:
    """What was not looked at in former runs, and in which of the rows that take longest."""
    found: list[str] = []
    for level, runs in former.items():
        others = ", those included," if found else ""
        found.append(f"In {_runs(runs)}{others} {JUDGED_BY_LESS[level]}")
    if lasting:
        words = [f"{less} of {_runs(all)} of {row}" for row, (less, all) in lasting.items()]
        found.append(f"Among these are {' and '.join(words)}.")
    return found


def _violations(lines: Sequence[Line]) -> list[str]:
    """Each run that violated something, and what has been mended since."""
    if not lines:
        return []
    return [
        "",
        "What these runs violated, the first of it, and what was mended since:",
        "",
        *(
            f"* {line['row']}, run {line['run']} at {line['commit']}: "
            f"“{shorten(' '.join(line['first'].split()), LONGEST)}” "
            f"({line['more']} more). {line['mended'] or 'Not mended.'}"
            for line in lines
        ),
    ]


def met(row: Line) -> str:
    """Whether the longest unavailability is within the target; how many runs are, if not all."""
    if row["target_s"] is None:
        return ""
    if row["gap_max_s"] <= row["target_s"]:
        return "yes"
    return f"{row['within']} of {row['runs']}"


def draw(rows: Sequence[Line], path: Path) -> None:
    """Write the plot: a line per row from nothing to the longest run, dots for all of them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(plot(rows), encoding="utf-8")


def plot(rows: Sequence[Line]) -> str:
    """The plot as SVG."""
    longest = max((row["gap_max_s"] for row in rows), default=1.0)
    top_s = max(5.0, longest)
    height = TOP + STEP * len(rows) + 30
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 60}" height="{height}" '
        'font-family="sans-serif" font-size="12">',
        '<rect width="100%" height="100%" fill="white"/>',
        f'<text x="{LEFT}" y="16">Seconds without an acknowledged order (bar: target)</text>',
    ]
    bottom = TOP + STEP * len(rows)
    for second in _ticks(top_s):
        x = _x(second, top_s)
        drawn.append(f'<line x1="{x}" x2="{x}" y1="{TOP - 6}" y2="{bottom}" stroke="#ddd"/>')
        drawn.append(f'<text x="{x}" y="{bottom + 16}" text-anchor="middle">{second}</text>')
    for place, row in enumerate(rows):
        drawn += _drawn_row(row, TOP + STEP * place + STEP // 2, top_s)
    return "\n".join([*drawn, "</svg>"]) + "\n"


def _drawn_row(row: Line, y: int, top_s: float) -> list[str]:
    found = [f'<text x="{LEFT - 8}" y="{y + 4}" text-anchor="end">{row["row"]}</text>']
    if row["target_s"] is not None:
        x = _x(min(row["target_s"], top_s), top_s)
        found.append(
            f'<line x1="{x}" x2="{x}" y1="{y - 7}" y2="{y + 7}" stroke="#c33" stroke-width="3"/>'
        )
    dots = [
        f'<circle cx="{_x(gap, top_s)}" cy="{y}" r="3.5" fill="#268"/>' for gap in row["gaps_s"]
    ]
    return found + dots


def _x(seconds: float, top_s: float) -> int:
    return LEFT + round(WIDTH * seconds / top_s)


def _ticks(top_s: float) -> list[int]:
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1_000) if top_s / step <= 12)
    return list(range(0, int(top_s) + 1, step))


def _row(row: Line) -> str:
    limits = row.get("limits", {})
    measured = ", ".join(
        f"{name} {value:,}" + (f" ({limits[name]})" if name in limits else "")
        for name, value in row["measured"].items()
    )
    target = "" if row["target_s"] is None else f"{row['target_s']:g}"
    if row.get("must_s") is not None:
        target += f", at most {row['must_s']:g}"
    cells = (
        row["row"],
        row["title"],
        str(row["rate"]),
        str(row["runs"]),
        str(row["violated"]),
        f"{row['before_p50_s']:.2f}",
        f"{row['gap_p50_s']:.2f}",
        f"{row['gap_max_s']:.2f}",
        target,
        met(row),
        measured,
    )
    return f"| {' | '.join(cells)} |"


def _runs(number: int) -> str:
    return f"{number:,} {'run' if number == 1 else 'runs'}"
