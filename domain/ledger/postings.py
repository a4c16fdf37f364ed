"""The one place where money moves: which transfers each event of the ledger makes."""

from typing import TypeAlias

from domain.decider import Message
from domain.ledger.chart import CLEARING, EXTERNAL, HOUSE, available_account, held_account
from domain.ledger.messages import DepositCredited, WithdrawalDebited
from domain.orders.messages import FillSettled, OrderAccepted, OrderClosed

Posting: TypeAlias = tuple[int, int, int, int]
"""(asset, debited account, credited account, amount): a transfer within one asset."""


def postings(event: Message) -> tuple[Posting, ...]:
    """The transfers that `event` makes, in order; none for an event that moves no money.

    Nothing but the event is needed, so that a reader of the log gets the same entries.
    """
    if isinstance(event, FillSettled):
        return _fill(event)
    if isinstance(event, OrderAccepted):
        user = event.user_id
        hold = (event.held_asset, available_account(user), held_account(user), event.held_amount)
        return (hold,)
    if isinstance(event, OrderClosed):
        return _close(event)
    if isinstance(event, DepositCredited):
        account = available_account(event.user_id)
        return ((event.asset_id, EXTERNAL, account, event.amount),)
    if isinstance(event, WithdrawalDebited):
        account = available_account(event.user_id)
        return ((event.asset_id, account, EXTERNAL, event.amount),)
    return ()


def _fill(event: FillSettled) -> tuple[Posting, ...]:
    """Pay from the hold, receive, give the house its fee, get price improvement back."""
    user = event.user_id
    available, held = available_account(user), held_account(user)
    pay = (event.paid_asset, held, CLEARING, event.paid_amount)
    receive = (event.received_asset, CLEARING, available, event.received_amount)
    charge = (event.received_asset, available, HOUSE, event.fee_amount)
    release = (event.paid_asset, held, available, event.released_amount)
    if event.fee_amount == 0:
        return (pay, receive, release) if event.released_amount else (pay, receive)
    return (pay, receive, charge, release) if event.released_amount else (pay, receive, charge)


def _close(event: OrderClosed) -> tuple[Posting, ...]:
    """What was left of the hold goes back."""
    if event.released_amount == 0:
        return ()
    user, amount = event.user_id, event.released_amount
    return ((event.released_asset, held_account(user), available_account(user), amount),)
