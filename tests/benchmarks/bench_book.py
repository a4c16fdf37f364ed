"""Commands per second of the order book alone, on a calm mix and on five hard days.

A command is one call's worth of work at the book's own interface: plan, fill, add, remove. Both
builds, and beside them order books of others, which must tell the same fills first.
"""

from collections.abc import Callable
from functools import partial

from domain.matching.book import Book
from native.selection import ROOT, build_in_use
from tests.benchmarks import peers
from tests.benchmarks.book_player import Command, digest, play, play_timed, play_told
from tests.benchmarks.child import figures_in_child
from tests.benchmarks.compiled_player import player_folder
from tests.benchmarks.mix import MIX, Mix, draw
from tests.benchmarks.percentiles import percentile
from tests.benchmarks.report import (
    COMPILED,
    Effort,
    Figure,
    median_of,
    rates,
    void,
    when_compiled,
)
from tests.benchmarks.scenarios import SCENARIOS

COMMANDS = 200_000
FLOOR, HARD_FLOOR, PERCENTILE_FLOOR_US, PEER_FLOOR = 2_000_000, 1_000_000, 5.0, 10.0
STANDARD = "standard mix"


def measure(effort: Effort) -> list[Figure]:
    """This build's rates, the uncompiled build's, and the peers'."""
    arguments = ("bench_book", "measure_build", effort.runs, effort.scale)
    if build_in_use() != COMPILED:
        figures = measure_build(effort.runs, effort.scale)
        return figures + _peers(effort, figures[0])
    # Compiling the loop takes longer than the least effort is worth.
    folder = player_folder() if effort.scale else None
    compiled = figures_in_child(*arguments, folder=folder or ROOT)
    pure = figures_in_child(*arguments, pure=True)
    for one, other in zip(compiled, pure, strict=True):
        assert one.method == other.method, f"fills must not differ: {one.method} | {other.method}"
    return compiled + pure + _peers(effort, compiled[0])


def measure_build(runs: int, scale: float) -> list[Figure]:
    """Rates and 99.9th percentiles of the build that this process imports."""
    effort = Effort(runs, scale)
    count = effort.count(COMMANDS, least=100)
    figures = _measured(effort, STANDARD, MIX, draw(count), FLOOR)
    for name, scenario in SCENARIOS.items():
        figures += _measured(effort, name, scenario.what, scenario.draw(count), HARD_FLOOR)
    return figures


def _measured(effort: Effort, name: str, what: str, mix: Mix, floor: float) -> list[Figure]:
    count = len(mix.commands)

    def prepare() -> Callable[[], None]:
        book = _opened(mix.opening)
        return lambda: play(book, mix.commands)

    fills = digest(play_told(_opened(mix.opening), mix.commands))
    method = (
        f"book: {name} ({what}), {count:,} commands drawn beforehand, per second of processor, the "
        f"loop that gives them of the same build; fills {fills}"
    )
    each = "book: 99.9 % of commands take at most this long, by the wall clock, which adds 0.1 us"
    percentiles = [
        percentile(play_timed(_opened(mix.opening), mix.commands), 99.9) / 1_000
        for _ in range(effort.runs)
    ]
    return [
        median_of(
            f"book, {name}",
            "commands/s",
            rates(effort, count, prepare),
            method,
            floor=when_compiled(floor),
        ),
        median_of(
            f"book, {name}, p99.9",
            "us",
            percentiles,
            each,
            floor=when_compiled(PERCENTILE_FLOOR_US) if name == STANDARD else None,
            least_is_best=True,
        ),
    ]


def _opened(opening: list[Command]) -> Book:
    book = Book()
    play(book, opening)
    return book


def _peers(effort: Effort, ours: Figure) -> list[Figure]:
    """Each peer's rate, or why there is none, and how many times the best of them ours is."""
    mix = draw(effort.count(COMMANDS, least=100))
    expected = digest(play_told(_opened(mix.opening), mix.commands))
    figures = [_peer(effort, name, mix, expected) for name in peers.PEERS]
    best = max((each.value for each in figures if not each.void), default=0.0)
    name, method = "book, standard mix, times the best peer", "book: ours through the best peer's"
    if not best:
        return [*figures, void(name, "x", "no peer ran", method)]
    times = [run / best for run in ours.runs]
    return [*figures, median_of(name, "x", times, method, floor=when_compiled(PEER_FLOOR))]


def _peer(effort: Effort, name: str, mix: Mix, expected: str) -> Figure:
    title, method = f"peer {name}, standard mix", f"book: {name} on the same mix"
    try:
        method = (
            f"book: {peers.name_and_version(name)} on the same {len(mix.commands):,} commands, per "
            f"second of processor, once its fills had our digest, {expected}"
        )
        found = _digest_of(peers.open_peer(name), mix)
    except ImportError:
        return void(title, "commands/s", "not installed", method)
    except Exception as error:  # A peer may fail as it likes; that is one line here.
        return void(title, "commands/s", f"did not run: {error!r}"[:100], method)
    if found != expected:
        return void(title, "commands/s", f"other fills: {found}, ours {expected}", method)
    runs = rates(effort, len(mix.commands), partial(_prepared, name, mix))
    figure = median_of(title, "commands/s", runs, method)
    figure.build = "peer"
    return figure


def _prepared(name: str, mix: Mix) -> Callable[[], None]:
    peer = peers.open_peer(name)
    peers.play(peer, mix.opening)

    def work() -> None:
        peers.play(peer, mix.commands)

    return work


def _digest_of(peer: peers.Peer, mix: Mix) -> str:
    peers.play(peer, mix.opening)
    told = peers.play(peer, mix.commands)
    return digest([fill for each in told for fill in peer.fills(each)])
