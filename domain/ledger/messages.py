"""Messages of the double-entry ledger: accounts opened, deposits credited, withdrawals debited."""

from dataclasses import dataclass
from enum import IntEnum

from domain.decider import Command, Outcome


class FundingReason(IntEnum):
    """Why a deposit or withdrawal was refused, the first that applies."""

    UNKNOWN_ACCOUNT = 0
    UNKNOWN_ASSET = 1
    INVALID_REFERENCE = 2
    REFERENCE_USED = 3
    INVALID_AMOUNT = 4
    AMOUNT_TOO_LARGE = 5
    ACCOUNT_DISABLED = 6
    INSUFFICIENT_FUNDS = 7
    WITHDRAWALS_HALTED = 8


@dataclass(slots=True)
class CreditDeposit(Command):
    """Credit what arrived from outside; `reference` is used up for ever by success only."""

    user_id: int
    asset_id: int
    amount: int
    reference: str


@dataclass(slots=True)
class DebitWithdrawal(Command):
    """Debit what leaves for outside; `reference` is used up for ever by success only."""

    user_id: int
    asset_id: int
    amount: int
    reference: str


@dataclass(slots=True)
class AccountOpened(Outcome):
    """The user has an account in this ledger shard."""

    user_id: int
    fee_tier: int


@dataclass(slots=True)
class DepositCredited(Outcome):
    """external → available."""

    user_id: int
    asset_id: int
    amount: int
    reference: str


@dataclass(slots=True)
class WithdrawalDebited(Outcome):
    """available → external."""

    user_id: int
    asset_id: int
    amount: int
    reference: str


@dataclass(slots=True)
class FundingRepeated(Outcome):
    """The very same deposit or withdrawal was done before at `time_us`; nothing moved now."""

    user_id: int
    reference: str
    time_us: int


@dataclass(slots=True)
class FundingRejected(Outcome):
    """A deposit or withdrawal moved nothing, and why."""

    user_id: int
    reference: str
    reason: FundingReason
