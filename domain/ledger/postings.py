"""The one place where money moves: which transfers each event of the ledger makes."""

from typing import TypeAlias

from domain.decider import Message
from domain.ledger.balances import Balances
from domain.ledger.chart import CLEARING, EXTERNAL, HOUSE, available_account, held_account
from domain.ledger.messages import DepositCredited, WithdrawalDebited
from domain.orders.messages import FillSettled, OrderAccepted, OrderClosed

Posting: TypeAlias = tuple[int, int, int, int]
"""(asset, debited account, credited account, amount): a transfer within one asset."""


class Entries:
    """Lists the transfers that it is told to make."""

    __slots__ = ("listed",)

    def __init__(self) -> None:
        self.listed: list[Posting] = []

    def transfer(self, asset: int, debit: int, credit: int, amount: int) -> None:
        """As `Balances.transfer`, which moves the money."""
        self.listed.append((asset, debit, credit, amount))


def postings(event: Message) -> tuple[Posting, ...]:
    """The transfers that `event` makes, in order; none for an event that moves no money.

    Nothing but the event is needed, so that a reader of the log gets the same entries.
    """
    entries = Entries()
    post(event, entries)
    return tuple(entries.listed)


def post(event: Message, book: Balances | Entries) -> None:
    """Make the transfers of `event` in `book`."""
    if isinstance(event, FillSettled):
        _fill(event, book)
    elif isinstance(event, OrderAccepted):
        user = event.user_id
        available, held = available_account(user), held_account(user)
        book.transfer(event.held_asset, available, held, event.held_amount)
    elif isinstance(event, OrderClosed):
        _close(event, book)
    elif isinstance(event, DepositCredited):
        account = available_account(event.user_id)
        book.transfer(event.asset_id, EXTERNAL, account, event.amount)
    elif isinstance(event, WithdrawalDebited):
        account = available_account(event.user_id)
        book.transfer(event.asset_id, account, EXTERNAL, event.amount)


def _fill(event: FillSettled, book: Balances | Entries) -> None:
    """Pay from the hold, receive, give the house its fee, get price improvement back."""
    user = event.user_id
    available, held = available_account(user), held_account(user)
    book.transfer(event.paid_asset, held, CLEARING, event.paid_amount)
    book.transfer(event.received_asset, CLEARING, available, event.received_amount)
    if event.fee_amount:
        book.transfer(event.received_asset, available, HOUSE, event.fee_amount)
    if event.released_amount:
        book.transfer(event.paid_asset, held, available, event.released_amount)


def _close(event: OrderClosed, book: Balances | Entries) -> None:
    """What was left of the hold goes back."""
    if event.released_amount:
        user = event.user_id
        available, held = available_account(user), held_account(user)
        book.transfer(event.released_asset, held, available, event.released_amount)
