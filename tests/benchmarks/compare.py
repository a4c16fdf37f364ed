"""Two measurements beside each other: ratios, and what got worse beyond its noise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tests.benchmarks.report import Figure, number

LEAST_NOISE = 0.05
SINGLE_RUN_NOISE = 0.15
"""What a figure without a spread of its own may differ by chance."""

SAME, BETTER, WORSE, MISSING, NEW = "", "better", "WORSE", "MISSING", "new"
BAD = (WORSE, MISSING)


@dataclass(slots=True, frozen=True)
class Comparison:
    """One figure before and after. `ratio` above 1 is better, whatever the unit; 0: none.

    `noise` is the part of it that chance explains.
    """

    before: Figure | None
    after: Figure | None
    ratio: float
    noise: float
    verdict: str


def compare(before: Sequence[Figure], after: Sequence[Figure]) -> list[Comparison]:
    """Figures of the same name and build, in the order of `before`, then what is new.

    A figure that counted and now is void or gone is missing, which is as bad as worse.
    """
    later = {(figure.name, figure.build): figure for figure in after}
    found = [_compared(each, later.pop((each.name, each.build), None)) for each in before]
    return found + [Comparison(None, each, 0.0, 0.0, NEW) for each in later.values()]


def as_lines(
    machines: tuple[dict[str, Any], dict[str, Any]], compared: Sequence[Comparison]
) -> list[str]:
    """A table, under a warning where the machines differ."""
    lines = []
    for fact in ("processor", "cores", "python"):
        one, other = (machine.get(fact) for machine in machines)
        if one != other:
            lines += [f"not the same {fact}: {one} before, {other} after", ""]
    lines += [
        "| what | build | before | after | better by | noise | |",
        "|---|---|---:|---:|---:|---:|---|",
    ]
    return lines + [_row(each) for each in compared]


def _compared(before: Figure, after: Figure | None) -> Comparison:
    if after is None or (after.void and not before.void):
        return Comparison(before, after, 0.0, 0.0, MISSING)
    if before.void:
        return Comparison(before, after, 0.0, 0.0, SAME if after.void else NEW)
    noise = max(_noise(before), _noise(after))
    if not before.value or not after.value:
        # A count such as that of ended processes: there is no ratio, only more or fewer.
        more = after.value > before.value
        verdict = WORSE if more is before.least_is_best else BETTER
        return Comparison(
            before, after, 0.0, noise, verdict if after.value != before.value else SAME
        )
    ratio = before.value / after.value if before.least_is_best else after.value / before.value
    verdict = WORSE if ratio < 1 / (1 + noise) else BETTER if ratio > 1 + noise else SAME
    return Comparison(before, after, ratio, noise, verdict)


def _noise(figure: Figure) -> float:
    """How far its runs lie from their median, as a part of it."""
    if len(figure.runs) < 2 or not figure.value:
        return SINGLE_RUN_NOISE
    farthest = max(abs(run - figure.value) for run in figure.runs)
    return max(LEAST_NOISE, farthest / abs(figure.value))


def _row(each: Comparison) -> str:
    figure = each.before or each.after
    assert figure is not None, "one of both is there"
    ratio = f"{each.ratio:.2f}x" if each.ratio else ""
    noise = f"{100 * each.noise:.0f} %" if each.noise else ""
    cells = (
        figure.name, figure.build, _value(each.before), _value(each.after),
        ratio, noise, each.verdict,
    )  # fmt: skip
    return f"| {' | '.join(cells)} |"


def _value(figure: Figure | None) -> str:
    if figure is None:
        return "none"
    return f"void: {figure.void}" if figure.void else f"{number(figure.value)} {figure.unit}"
