"""Writes one key of Redis as the log has it, while its worker goes on."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infra.log import Partition
from infra.refusal import Misunderstood, Refusal
from projections.layout import NoPosition, Position
from projections.live_cells import LiveCells
from projections.rebuild import READ_AT_MOST, READ_TIMEOUT_S, Progress, ReadableLog
from projections.view_auditor import difference, is_same, place_of
from projections.view_fold import ViewFold

TRIES = 500


class RepairFailed(Refusal):
    """The key was not repaired; the text is one sentence."""


@dataclass(slots=True, frozen=True)
class Repaired:
    """What was wrong with a key, empty if nothing was, and the sequence it was found right at."""

    place: Partition
    cseq: int
    words: str


def key_name(text: str) -> str:
    """The name of a key without the build: "lb:1:balances:7" and "balances:7" are the same."""
    return text.split(":", 2)[2] if text.startswith("lb:") and text.count(":") > 1 else text


def repair_key(
    live: LiveCells,
    log: ReadableLog,
    name: str,
    partitions: tuple[int, int],
    progress: Progress,
) -> Repaired:
    """Fold the key's partition from the start as far as its view stands, and write the key.

    It is looked at again until it is right: its worker may have removed a field that was missing
    when the key was read, which a repair does not notice.
    `partitions`: how many of ledgers and of matching. Raises `Misunderstood` for a name that is no
    view's, `RepairFailed` if the view stands beyond the log, or the key changes all the time.
    """
    place = place_of(name, *partitions)
    if place is None:
        raise Misunderstood(f"a key of a view is wanted, such as balances:7, was {name!r}")
    fold = ViewFold(*place)
    start, _ = log.ends(*place)
    log.seek(*place, start)
    words = ""
    for _ in range(TRIES):
        position, found = _read(live, place, [name])
        _fold_to(fold, log, position.cseq, lambda: _read(live, place, ())[0].cseq, progress)
        if fold.position.cseq != position.cseq:
            continue
        wanted = fold.cells.get(name, {})
        if is_same(name, wanted, found[name]):
            return Repaired(place, position.cseq, words)
        if live.repair(place, name, found[name], wanted) and not words:
            words = difference(wanted, found[name])
    raise RepairFailed(f"{name} must stay as it is for a moment, did not in {TRIES} tries")


def _read(
    live: LiveCells, place: Partition, names: Sequence[str]
) -> tuple[Position, dict[str, dict[str, str]]]:
    try:
        return live.read(*place, names)
    except NoPosition as error:
        raise RepairFailed(
            f"the view must say where it stands, {error}: logbourse rebuild redis"
        ) from None


def _fold_to(
    fold: ViewFold, log: ReadableLog, cseq: int, stands: Callable[[], int], progress: Progress
) -> None:
    """Read and fold up to the sequence; no further, and no less unless the log ends before."""
    while fold.seen < cseq:
        records = log.read(READ_AT_MOST, READ_TIMEOUT_S)
        for record in records:
            fold.take(record)
        _, end = log.ends(fold.topic, fold.partition)
        if not records and fold.position.offset + fold.waiting + 1 >= end and stands() >= cseq:
            raise RepairFailed(
                f"the view must not stand beyond the log, stands at {cseq}: logbourse rebuild redis"
            )
        fold.fold_to(min(fold.seen, cseq))
        progress(fold.position.cseq, cseq)
    fold.fold_to(cseq)
