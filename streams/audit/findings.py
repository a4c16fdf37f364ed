"""What a comparison of the log with its re-execution may find, and how it is said."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar

from infra.log import Partition
from streams.audit.archive import place_name, position_name

AFTER_ALL = 1 << 62
"""The cause of what no input caused: it follows on all that was produced."""


class Kind(StrEnum):
    """In which way the log is not what its inputs lead to."""

    CHANGED = "CHANGED"
    FORGED = "FORGED"
    MISSING = "MISSING"
    OUT_OF_ORDER = "OUT_OF_ORDER"
    INPUT_CHANGED = "INPUT_CHANGED"
    HALTED = "HALTED"
    UNSOUND = "UNSOUND"


@dataclass(slots=True)
class Finding:
    """One divergence: where it stands, and which record of which shard it is about.

    `offset` of what is missing is where it would stand at the earliest. `cseq` and `cause` are 0
    where no record is meant. `about` is the position a notice is of. A `consequence`
    needs no other reason than an earlier finding. Nothing follows from a record that is `dropped`
    by its reader, since its turn was over.
    """

    kind: Kind
    place: Partition
    offset: int
    words: str
    src: str = ""
    cseq: int = 0
    cause: int = 0
    expected: dict[str, Any] | None = None
    found: dict[str, Any] | None = None
    about: str = ""
    dropped: bool = False
    consequence: bool = False

    @property
    def position(self) -> str:
        """Where it stands, such as "ledger.in.0@17"."""
        return position_name(self.place, self.offset)

    def sentence(self) -> str:
        """Kind, position and words."""
        return f"{self.kind} {self.position}: {self.words}"

    def as_json(self) -> dict[str, Any]:
        """The finding for machines."""
        return {
            "kind": str(self.kind),
            "position": self.position,
            "words": self.words,
            "source": self.src,
            "cseq": self.cseq,
            "cause": self.cause,
            "consequence": self.consequence,
            "expected": self.expected,
            "found": self.found,
        }


@dataclass(slots=True)
class Findings:
    """Findings in the order they were made; of each kind in each channel only the first few.

    `compared` counts the records that were judged. Three more are no faults: `unwritten`, records
    that are due but above their source's mark, `cut_off`, ones appended while the ends were read,
    whose causes were not seen, and `not_judged`, ones of which a replay of a part cannot tell.
    `dropped` counts the findings, listed or not, of records that their readers drop.
    """

    PER_CHANNEL: ClassVar[int] = 50

    listed: list[Finding] = field(default_factory=list)
    left_out: int = 0
    dropped: int = 0
    compared: int = 0
    unwritten: int = 0
    cut_off: int = 0
    not_judged: int = 0
    _counts: dict[tuple[Kind, Partition, str], int] = field(default_factory=dict)

    @property
    def equal(self) -> bool:
        """Whether all that was judged follows from its inputs; no part of which nothing was is."""
        return not self.listed and (self.compared > 0 or self.not_judged == 0)

    def is_full(self, kind: Kind, place: Partition, src: str) -> bool:
        """Whether no more of the like are listed."""
        return self._counts.get((kind, place, src), 0) >= self.PER_CHANNEL

    def add(self, finding: Finding) -> None:
        """Note a finding, unless there are many of its like already."""
        self.dropped += finding.dropped
        like = (finding.kind, finding.place, finding.src)
        if self.is_full(*like):
            self.left_out += 1
            return
        self._counts[like] = self._counts.get(like, 0) + 1
        self.listed.append(finding)

    def roots(self) -> list[Finding]:
        """The findings that no other finding explains; there are some if there are any at all."""
        return [finding for finding in self.listed if not finding.consequence]

    def first_of(self, shard_places: tuple[Partition, Partition]) -> Finding | None:
        """The first divergence in a shard's inbox and outbox: a root before a consequence."""
        here = [finding for finding in self.listed if finding.place in shard_places]
        here.sort(key=lambda f: (f.consequence, shard_places.index(f.place), f.offset))
        return here[0] if here else None


def differences(expected: Any, found: Any, path: str = "") -> list[tuple[str, str, str]]:
    """(field, expected, found) wherever two decoded records differ; "-" where one has nothing."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = [*expected, *(key for key in found if key not in expected)]
        return [
            row
            for key in keys
            for row in differences(
                expected.get(key, "-"), found.get(key, "-"), f"{path}.{key}" if path else key
            )
        ]
    if isinstance(expected, list) and isinstance(found, list):
        rows = []
        for index in range(max(len(expected), len(found))):
            left = expected[index] if index < len(expected) else "-"
            right = found[index] if index < len(found) else "-"
            rows += differences(left, right, f"{path}[{index}]")
        return rows
    return [] if expected == found else [(path or "record", str(expected), str(found))]


def of_channel(src: str, place: Partition, cseq: int) -> str:
    """How a record of a channel is named, such as "M0 → ledger.in.0 #17"."""
    return f"{src} → {place_name(place)} #{cseq}"
