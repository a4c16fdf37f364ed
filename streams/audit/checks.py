"""What was checked: by the id of the invariant, how often, and each time it did not hold."""

from collections import Counter
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
    "L9": "orders are within their account's limits and market's rules",
    "E1": "no book is crossed",
    "E2": "trades keep price and time priority (independent book)",
    "E3": "filled <= ordered, remainders agree, the end is the end",
    "E4": "trades are at the maker's limit and within the taker's",
    "E5": "each leg of a trade settled once, as traded, or is in flight",
    "E6": "order ids are unique, each cancel is answered once",
}


@dataclass(slots=True)
class Checks:
    """Counts per invariant, and the first few violations of each in words.

    Who goes on for ever takes the words now and then, and the next few are noted. What is looked
    at again and again is noted once until it holds again: `end_look` is called behind each look.
    """

    counts: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TITLES, 0))
    broken: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TITLES, 0))
    words: list[str] = field(default_factory=list)
    _listed: Counter[str] = field(default_factory=Counter, init=False)
    _known: set[tuple[str, object]] = field(default_factory=set, init=False)
    _standing: set[tuple[str, object]] = field(default_factory=set, init=False)

    def check(self, invariant: str, holds: bool, words: str, about: object = None) -> None:
        """Count one check, and note the words if it failed.

        What it is `about` makes it the same check in the next look; by default it is made once.
        """
        self.counts[invariant] += 1
        if not holds:
            self.broken[invariant] += 1
            known = (invariant, about) in self._known
            if not known and self._listed[invariant] < LISTED:
                self._listed[invariant] += 1
                self.words.append(f"{invariant}: {words}")
                known = True
            if known and about is not None:
                self._standing.add((invariant, about))

    def take_words(self) -> list[str]:
        """What was noted since the last call."""
        words, self.words = self.words, []
        self._listed.clear()
        return words

    def end_look(self) -> None:
        """All that is looked at again and again was looked at; what failed and was noted stands."""
        self._known, self._standing = self._standing, set()

    def add(self, other: "Checks") -> None:
        """Take in what another has checked."""
        for invariant in TITLES:
            self.counts[invariant] += other.counts[invariant]
            self.broken[invariant] += other.broken[invariant]
        self.words += other.words

    def ok(self) -> bool:
        """Whether everything holds."""
        return not any(self.broken.values())
