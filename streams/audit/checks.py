"""What was checked: by the id of the invariant, how often, and each time it did not hold."""

from dataclasses import dataclass, field

LISTED = 5

TITLES = {
    "S3": "every record is what its inputs lead to",
    "S4": "a snapshot and the log behind it lead to the same state",
    "L1": "each asset sums to zero in every ledger shard",
    "L2": "users + house + in flight = deposits - withdrawals",
    "L3": "wallets cover liabilities (there are no wallets yet)",
    "L4": "nobody is below zero but external and clearing",
    "L5": "entries debit what they credit, and lead to the balances",
    "L6": "holds equal the remainders of open orders",
    "L7": "every hold was consumed or released, or its order is open",
    "L8": "fees follow from formula, role and tier",
    "E1": "no book is crossed",
    "E2": "trades keep price and time priority (independent book)",
    "E3": "filled <= ordered, remainders agree, the end is the end",
    "E4": "trades are at the maker's limit and within the taker's",
    "E5": "each leg of a trade settled once, or is in flight",
    "E6": "order ids are unique, each cancel is answered once",
}


@dataclass(slots=True)
class Checks:
    """Counts per invariant, and the first few violations of each in words."""

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TITLES, 0))
    broken: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TITLES, 0))
    words: list[str] = field(default_factory=list)

    def check(self, invariant: str, holds: bool, words: str) -> None:
        """Count one check, and note the words if it failed."""
        self.counts[invariant] += 1
        if not holds:
            self.broken[invariant] += 1
            if self.broken[invariant] <= LISTED:
                self.words.append(f"{invariant}: {words}")

    def add(self, other: "Checks") -> None:
        """Take in what another has checked."""
        for invariant in TITLES:
            self.counts[invariant] += other.counts[invariant]
            self.broken[invariant] += other.broken[invariant]
        self.words += other.words

    def ok(self) -> bool:
        """Whether everything holds."""
        return not any(self.broken.values())
