"""The chart of accounts: which accounts a ledger shard has, and how an int names each of them.

A code is `owner << 3 | kind`. Owner 0 is the shard itself, any other owner is a user id.
"""

from enum import IntEnum
from typing import Final


class AccountKind(IntEnum):
    """What an account is for. The first two belong to users, the others to the shard."""

    AVAILABLE = 0
    HELD = 1
    EXTERNAL = 2
    CLEARING = 3
    HOUSE = 4


EXTERNAL: Final = int(AccountKind.EXTERNAL)
"""The outside world: negative by what was deposited and not withdrawn in this shard."""

CLEARING: Final = int(AccountKind.CLEARING)
"""What is in flight between shards; over all shards, the unsettled legs of trades."""

HOUSE: Final = int(AccountKind.HOUSE)
"""The exchange's own money: the fees."""

LOWEST_USER_ACCOUNT: Final = 8
"""Account codes from here on belong to users."""


def available_account(user_id: int) -> int:
    """Code of the account with what the user may use freely."""
    return user_id << 3


def held_account(user_id: int) -> int:
    """Code of the account with what the user's open orders have set aside."""
    return user_id << 3 | 1


def owner_of(account: int) -> int:
    """The user id that an account belongs to; 0 is the shard itself."""
    return account >> 3


def kind_of(account: int) -> AccountKind:
    """What the account is for. Raises `ValueError` for a code that names no account."""
    return AccountKind(account & 7)
