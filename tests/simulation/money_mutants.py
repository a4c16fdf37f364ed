"""Mutants of the rules of money. Where an assertion of the product would notice, it is off, too.

So what is shown is that the checks after a schedule notice by themselves.
"""

from dataclasses import replace
from typing import Any

import domain.ledger.postings
import domain.orders.decider
import domain.orders.evolution
import domain.orders.settlement
import domain.orders.snapshot
from domain.fees import PPM
from domain.ledger.balances import Balances, Holding
from domain.ledger.chart import CLEARING, available_account, held_account
from domain.ledger.funding import decide_deposit
from domain.ledger.messages import DepositCredited, WithdrawalDebited
from domain.orders.messages import FillSettled, Role
from domain.orders.state import LedgerState, OpenOrder
from tests.simulation.mutants import Mutant, Patch


def _check_nothing(*_: object) -> None:
    """The product's own check is off."""


def _transfer_unchecked(self: Balances, asset: int, debit: int, credit: int, amount: int) -> None:
    book = self._books.setdefault(asset, {})
    book.setdefault(debit, Holding(0)).amount -= amount
    book.setdefault(credit, Holding(0)).amount += amount


def _fee_to(account: int | None) -> Any:
    """A posting of fills that gives the fee to another account than the house, or takes none."""

    def post(event: FillSettled, book: Any) -> None:
        available, held = available_account(event.user_id), held_account(event.user_id)
        book.transfer(event.paid_asset, held, CLEARING, event.paid_amount)
        book.transfer(event.received_asset, CLEARING, available, event.received_amount)
        if event.fee_amount and account is not None:
            book.transfer(event.received_asset, available, account, event.fee_amount)
        if event.released_amount:
            book.transfer(event.paid_asset, held, available, event.released_amount)

    return post


def _round_down(amount: int, rate_ppm: int) -> int:
    return amount * rate_ppm // PPM


def _as_a_taker(state: LedgerState, user_id: int, role: Role) -> int:
    return _fee_rate(state, user_id, Role.TAKER)


def _fill_unchecked(state: LedgerState, event: FillSettled) -> None:
    order = state.orders[event.order_id]
    order.filled_lots = event.filled_lots
    order.filled_quote = event.filled_quote
    order.held -= event.paid_amount + event.released_amount


def _always_as_a_taker(state: LedgerState, trade: Any, order: OpenOrder, role: Role) -> FillSettled:
    return _settle(state, trade, order, Role.TAKER)


def _keep_improvement(order: OpenOrder, trade: object) -> int:
    return 0


def _without_reference(*arguments: Any, **named: Any) -> Any:
    return decide_deposit(*arguments, **{**named, "used": None})


def _use_no_reference(state: LedgerState, event: DepositCredited | WithdrawalDebited) -> None:
    """A reference may be used as often as one likes, and is remembered all the same."""
    state.funding_by_reference.pop(event.reference, None)
    _use(state, event)


def _whatever_there_is(self: Balances, user_id: int, asset: int) -> int:
    return 1 << 61


def _close_short(state: LedgerState, ended: Any) -> Any:
    closed = _close_order(state, ended)
    return replace(closed, released_amount=max(0, closed.released_amount - 1))


def _close_unchecked(state: LedgerState, event: Any) -> None:
    state.orders[event.order_id].held = event.released_amount
    _close(state, event)


_use = domain.orders.evolution._use_reference
_fee_rate = domain.orders.settlement.fee_rate_ppm
_settle = domain.orders.settlement._fill
_close_order = domain.orders.settlement.close_order
_close = domain.orders.evolution._close

_BOOKS_UNCHECKED: list[Patch] = [
    (domain.orders.snapshot, "check_books", _check_nothing),
    (Balances, "transfer", _transfer_unchecked),
]
_FILLS_UNCHECKED: list[Patch] = [
    *_BOOKS_UNCHECKED,
    (domain.orders.evolution, "_fill", _fill_unchecked),
]
_needed = OpenOrder.needed


MONEY: dict[str, Mutant] = {
    "hold not released": Mutant(
        "L1", [*_BOOKS_UNCHECKED, (domain.ledger.postings, "_close", _check_nothing)]
    ),
    "one unit of a hold kept": Mutant(
        "L6",
        [
            *_BOOKS_UNCHECKED,
            (domain.orders.decider, "close_order", _close_short),
            (domain.orders.evolution, "_close", _close_unchecked),
        ],
    ),
    "fee to nobody": Mutant(
        "L1", [*_BOOKS_UNCHECKED, (domain.ledger.postings, "_fill", _fee_to(CLEARING))]
    ),
    "fee not taken": Mutant(
        "L1", [*_BOOKS_UNCHECKED, (domain.ledger.postings, "_fill", _fee_to(None))]
    ),
    "fee rounded down": Mutant("L8", [(domain.orders.settlement, "fee", _round_down)]),
    "makers pay what takers pay": Mutant(
        "L8", [(domain.orders.settlement, "fee_rate_ppm", _as_a_taker)]
    ),
    "makers settle as takers": Mutant(
        "E5", [(domain.orders.settlement, "_fill", _always_as_a_taker)]
    ),
    "price improvement kept": Mutant(
        "L5",
        [
            *_FILLS_UNCHECKED,
            (domain.orders.settlement, "_price_improvement", _keep_improvement),
        ],
    ),
    "funds not looked at": Mutant(
        "L4", [*_BOOKS_UNCHECKED, (Balances, "available", _whatever_there_is)]
    ),
    "deposit credited twice": Mutant(
        "L5",
        [
            (domain.orders.decider, "decide_deposit", _without_reference),
            (domain.orders.evolution, "_use_reference", _use_no_reference),
        ],
    ),
}
