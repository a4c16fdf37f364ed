"""What an auditor has found wrong, and what is stopped for it."""

from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

from domain.accounts.decisions import REASON_LENGTH_MAX
from domain.accounts.messages import HaltWithdrawals
from domain.markets import HaltMarket
from streams.audit.checks import TITLES
from streams.audit.findings import Finding, Kind

DEADLINE_US = 60_000_000

WATCHED = TITLES | {
    "S1": "channels are gapless and chained",
    "S2": "the log has no holes and is what was committed",
    "S4": "a snapshot and the log behind it lead to the same state",
    "P1": "every view is the fold of the log at its sequence",
    "P2": "no view stands beyond the log",
    "P3": "candles are what their trades come to",
}
"""The invariants that the continuous auditor keeps, by id."""

_BY_KIND = {
    Kind.CHANGED: "S3",
    Kind.FORGED: "S1",
    Kind.MISSING: "S2",
    Kind.OUT_OF_ORDER: "S2",
    Kind.INPUT_CHANGED: "S2",
    Kind.HALTED: "S1",
    Kind.UNSOUND: "L1",
}


@dataclass(slots=True, frozen=True)
class Violation:
    """An invariant that does not hold, with the position that shows it.

    What it is about: one asset, some markets, or all that a shard ("L0") is responsible for;
    nothing of these for a view, which is repaired.
    """

    invariant: str
    position: str
    words: str
    asset: int = 0
    markets: tuple[int, ...] = ()
    shard: str = ""

    def sentence(self) -> str:
        """Id, position and words."""
        return f"{self.invariant} {self.position}: {self.words}"


def of_finding(finding: Finding, shard: str) -> Violation:
    """A divergence in the log, for which all that `shard` is responsible for is stopped."""
    words = f"{finding.kind} {finding.words}"
    return Violation(_BY_KIND[finding.kind], finding.position, words, shard=shard)


@dataclass(slots=True, frozen=True)
class Order:
    """A command that stops something, and the shard that it goes to."""

    shard: str
    command: HaltWithdrawals | HaltMarket


def orders_for(
    violation: Violation,
    assets: Iterable[int],
    markets: Iterable[int],
    matching_partitions: int,
    now_us: int,
) -> list[Order]:
    """What stops what the violation is about. `assets` and `markets`: those not yet stopped.

    Of an accounts or ledger shard withdrawals of every asset, since what it has told others cannot
    be told apart; of a matching shard all its markets. The same violation leads to the same
    command ids, so that its commands have one effect.
    """
    if violation.markets or violation.shard[:1] == "M":
        wanted = [m for m in markets if _is_about(violation, m, matching_partitions)]
        return [
            Order(
                f"M{market % matching_partitions}",
                HaltMarket(_id(violation, "market", market), now_us + DEADLINE_US, market),
            )
            for market in wanted
        ]
    if not (violation.asset or violation.shard):
        return []
    reason = _printable(violation.sentence())
    return [
        Order(
            "A0",
            HaltWithdrawals(_id(violation, "asset", asset), now_us + DEADLINE_US, asset, reason),
        )
        for asset in assets
        if violation.asset in (0, asset)
    ]


def _is_about(violation: Violation, market: int, matching_partitions: int) -> bool:
    if violation.markets:
        return market in violation.markets
    return violation.shard == f"M{market % matching_partitions}"


def _id(violation: Violation, kind: str, number: int) -> bytes:
    text = f"{violation.invariant} {violation.position} {kind} {number}"
    return blake2b(text.encode(), digest_size=16, person=b"auditor").digest()


def _printable(text: str) -> str:
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text.replace("→", "->"))
    return plain[:REASON_LENGTH_MAX]
