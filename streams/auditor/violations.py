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
LATEST_US = (1 << 63) - 1

WATCHED = TITLES | {
    "L7": "every hold ends with its order, no trade is open once both shards went on for a minute",
    "S1": "channels are gapless and chained",
    "S2": "the log has no holes and is what was committed",
    "P1": "every view is the fold of the log at its sequence",
    "P2": "no view stands beyond the log",
    "P3": "candles are what their trades come to",
}
"""The invariants that the continuous auditor keeps, by id.

L3 is never counted: there are no wallets.
"""

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
    nothing of these for a view, which is repaired. `about` tells apart what one record shows.
    """

    invariant: str
    position: str
    words: str
    asset: int = 0
    markets: tuple[int, ...] = ()
    shard: str = ""
    about: str = ""

    def sentence(self) -> str:
        """Id, position and words."""
        return f"{self.invariant} {self.position}: {self.words}"


def of_finding(finding: Finding, shard: str) -> Violation:
    """A divergence in the log, for which all that `shard` is responsible for is stopped."""
    words = f"{finding.kind} {finding.words}"
    return Violation(_BY_KIND[finding.kind], finding.position, words, shard=shard)


@dataclass(slots=True, frozen=True)
class Order:
    """An asset whose withdrawals, or a market, that must be stopped; the shard that does it."""

    shard: str
    violation: Violation
    asset: int = 0
    market: int = 0

    def command(self, log_time_us: int, repetition: int = 0) -> HaltWithdrawals | HaltMarket:
        """What stops it, in time if it is written while the shard's log time is this.

        The same violation leads to the same command id, so that it has one effect; a repetition
        has an id of its own, since the command before it may have come too late.
        """
        command_id = self._id(repetition)
        deadline_us = min(log_time_us + DEADLINE_US, LATEST_US)
        if self.market:
            return HaltMarket(command_id, deadline_us, self.market)
        reason = _printable(self.violation.sentence())
        return HaltWithdrawals(command_id, deadline_us, self.asset, reason)

    def _id(self, repetition: int) -> bytes:
        what = f"market {self.market}" if self.market else f"asset {self.asset}"
        text = f"{self.violation.invariant} {self.violation.position} {what}"
        if repetition:
            text += f" again {repetition}"
        return blake2b(text.encode(), digest_size=16, person=b"auditor").digest()


def orders_for(
    violation: Violation,
    assets: Iterable[int],
    markets: Iterable[int],
    matching_partitions: int,
) -> list[Order]:
    """What must be stopped for the violation. `assets` and `markets`: those not yet stopped.

    Of an accounts or ledger shard withdrawals of every asset, since what it has told others cannot
    be told apart; of a matching shard all its markets.
    """
    if violation.markets or violation.shard[:1] == "M":
        wanted = [m for m in markets if _is_about(violation, m, matching_partitions)]
        return [Order(f"M{m % matching_partitions}", violation, market=m) for m in wanted]
    if not (violation.asset or violation.shard):
        return []
    return [Order("A0", violation, asset=a) for a in assets if violation.asset in (0, a)]


def _is_about(violation: Violation, market: int, matching_partitions: int) -> bool:
    if violation.markets:
        return market in violation.markets
    return violation.shard == f"M{market % matching_partitions}"


def _printable(text: str) -> str:
    plain = "".join(letter if " " <= letter <= "~" else "?" for letter in text.replace("→", "->"))
    return plain[:REASON_LENGTH_MAX]
