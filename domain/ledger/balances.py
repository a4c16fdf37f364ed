"""Balances of a shard's accounts, moved by transfers only, so that every asset sums to zero."""

from collections.abc import Iterator

from domain.ledger.chart import CLEARING, EXTERNAL, LOWEST_USER_ACCOUNT, available_account


class Holding:
    """What stands in one account of an asset, in smallest units: changed in place, not replaced."""

    __slots__ = ("amount",)

    def __init__(self, amount: int) -> None:
        self.amount = amount


class Balances:
    """Amounts by asset and account. Only `external` and `clearing` may be negative."""

    __slots__ = ("_books",)

    def __init__(self) -> None:
        self._books: dict[int, dict[int, Holding]] = {}

    def transfer(self, asset: int, debit: int, credit: int, amount: int) -> None:
        """Take `amount` of `asset` from account `debit` and give it to account `credit`.

        The only thing that moves money: what it debits it credits, so no sum can change (L1, L5),
        and no account that must be covered goes below zero (L4).
        """
        assert amount > 0, f"L5: a transfer must move something, was {amount} of asset {asset}"
        assert debit != credit, f"L5: a transfer needs two accounts, both were {debit}"
        book = self._books.get(asset)
        if book is None:
            book = self._books[asset] = {}
        giver, taker = book.get(debit), book.get(credit)
        left = -amount if giver is None else giver.amount - amount
        assert left >= 0 or debit in (CLEARING, EXTERNAL), (
            f"L4: account {debit} lacks {-left} of asset {asset} to transfer {amount}"
        )
        if giver is None:
            book[debit] = Holding(left)
        else:
            giver.amount = left
        if taker is None:
            book[credit] = Holding(amount)
        else:
            taker.amount += amount

    def amount(self, asset: int, account: int) -> int:
        """What stands in the account, in the asset's smallest units."""
        book = self._books.get(asset)
        holding = None if book is None else book.get(account)
        return 0 if holding is None else holding.amount

    def available(self, user_id: int, asset: int) -> int:
        """What the user may use freely of the asset, in smallest units."""
        return self.amount(asset, available_account(user_id))

    def external(self, asset: int) -> int:
        """Withdrawals minus deposits of the asset in this shard; negative as a rule."""
        return self.amount(asset, EXTERNAL)

    def clearing(self, asset: int) -> int:
        """What this shard paid into trades minus what it received from them so far."""
        return self.amount(asset, CLEARING)

    def covered_total(self, asset: int) -> int:
        """The asset's total in this shard: all that users and the house have, in O(1)."""
        return -self.amount(asset, EXTERNAL) - self.amount(asset, CLEARING)

    def entries(self) -> Iterator[tuple[int, int, int]]:
        """(asset, account, amount) of all that is not zero, by asset, then account."""
        for asset, book in sorted(self._books.items()):
            for account in sorted(book):
                amount = book[account].amount
                if amount != 0:
                    yield asset, account, amount

    def total_by_asset(self) -> dict[int, int]:
        """The full sum over all accounts, by asset: zero each, or the books are broken (L1)."""
        return {
            asset: sum(holding.amount for holding in book.values())
            for asset, book in sorted(self._books.items())
        }

    def uncovered(self) -> list[tuple[int, int, int]]:
        """(asset, account, amount) of accounts that are negative and must not be (L4)."""
        return [
            (asset, account, amount)
            for asset, account, amount in self.entries()
            if amount < 0 and account not in (EXTERNAL, CLEARING)
        ]

    def dump(self) -> list[list[int]]:
        """All that is not zero, sorted: canonical."""
        return [list(entry) for entry in self.entries()]

    @staticmethod
    def load(data: list[list[int]]) -> "Balances":
        """The balances that `dump` described."""
        balances = Balances()
        for asset, account, amount in data:
            assert amount > 0 or account < LOWEST_USER_ACCOUNT, f"L4: account {account} is negative"
            balances._books.setdefault(asset, {})[account] = Holding(amount)
        return balances
