"""Deposits and withdrawals: credited and debited once per reference, for ever."""

from dataclasses import dataclass
from typing import Final

from domain.ledger.balances import Balances
from domain.ledger.messages import (
    CreditDeposit,
    DebitWithdrawal,
    DepositCredited,
    FundingReason,
    FundingRejected,
    FundingRepeated,
    WithdrawalDebited,
)
from domain.money import MAX_AMOUNT

MAX_REFERENCE_LENGTH: Final = 128


@dataclass(slots=True)
class Funding:
    """What used up a reference, and when in log time."""

    deposit: bool
    user_id: int
    asset_id: int
    amount: int
    time_us: int


def decide_deposit(
    command: CreditDeposit,
    *,
    account_exists: bool,
    asset_known: bool,
    used: Funding | None,
    balances: Balances,
) -> DepositCredited | FundingRepeated | FundingRejected:
    """Credit a deposit, also of a disabled account: what has arrived belongs to the user.

    `used` is what the reference was used for before, if it was.
    """
    reason = _common_reason(command, account_exists, asset_known, used)
    if reason is None and _deposit_too_large(command, balances):
        reason = FundingReason.AMOUNT_TOO_LARGE
    if reason is not None:
        return _refusal(command, reason, used, deposit=True)
    return DepositCredited(
        command_id=command.command_id,
        user_id=command.user_id,
        asset_id=command.asset_id,
        amount=command.amount,
        reference=command.reference,
    )


def decide_withdrawal(
    command: DebitWithdrawal,
    *,
    account_exists: bool,
    account_enabled: bool,
    asset_known: bool,
    halted: bool,
    used: Funding | None,
    balances: Balances,
) -> WithdrawalDebited | FundingRepeated | FundingRejected:
    """Debit a withdrawal, if the account is enabled and the amount available.

    `halted`: nothing of the asset may leave. `used` is what the reference was used for before, if
    it was.
    """
    reason = _common_reason(command, account_exists, asset_known, used)
    if reason is None:
        reason = _withdrawal_reason(command, account_enabled, halted, balances)
    if reason is not None:
        return _refusal(command, reason, used, deposit=False)
    return WithdrawalDebited(
        command_id=command.command_id,
        user_id=command.user_id,
        asset_id=command.asset_id,
        amount=command.amount,
        reference=command.reference,
    )


def _common_reason(
    command: CreditDeposit | DebitWithdrawal,
    account_exists: bool,
    asset_known: bool,
    used: Funding | None,
) -> FundingReason | None:
    """The first reason, up to INVALID_AMOUNT, against a deposit or withdrawal."""
    if not account_exists:
        return FundingReason.UNKNOWN_ACCOUNT
    if not asset_known:
        return FundingReason.UNKNOWN_ASSET
    if not _is_reference(command.reference):
        return FundingReason.INVALID_REFERENCE
    if used is not None:
        return FundingReason.REFERENCE_USED
    if command.amount <= 0:
        return FundingReason.INVALID_AMOUNT
    return None


def _is_reference(text: str) -> bool:
    """Whether `text` is 1 to 128 printable ASCII characters."""
    return 0 < len(text) <= MAX_REFERENCE_LENGTH and text.isascii() and text.isprintable()


def _deposit_too_large(command: CreditDeposit, balances: Balances) -> bool:
    """Whether the asset's total in this shard, and so any balance, would pass the maximum.

    The total is looked at from both ends, what is here and what came in, since trades with other
    shards carry money out of a shard, which may not be replaced without limit.
    """
    room = MAX_AMOUNT - command.amount
    asset = command.asset_id
    return balances.covered_total(asset) > room or -balances.external(asset) > room


def _withdrawal_reason(
    command: DebitWithdrawal, account_enabled: bool, halted: bool, balances: Balances
) -> FundingReason | None:
    """The first reason, from AMOUNT_TOO_LARGE on, against a withdrawal."""
    room = MAX_AMOUNT - command.amount
    if room < 0 or balances.external(command.asset_id) > room:
        return FundingReason.AMOUNT_TOO_LARGE
    if not account_enabled:
        return FundingReason.ACCOUNT_DISABLED
    if balances.available(command.user_id, command.asset_id) < command.amount:
        return FundingReason.INSUFFICIENT_FUNDS
    return FundingReason.WITHDRAWALS_HALTED if halted else None


def _refusal(
    command: CreditDeposit | DebitWithdrawal,
    reason: FundingReason,
    used: Funding | None,
    *,
    deposit: bool,
) -> FundingRepeated | FundingRejected:
    """The refusal, unless the reference was used for exactly this before."""
    user_id, reference = command.user_id, command.reference
    if reason is FundingReason.REFERENCE_USED and used is not None:
        this = Funding(deposit, user_id, command.asset_id, command.amount, used.time_us)
        if this == used:
            return FundingRepeated(command.command_id, user_id, reference, used.time_us)
    return FundingRejected(command.command_id, user_id, reference, reason)
