"""Cancels: a wish to cancel becomes a request to the book, or is refused at once."""

from domain.matching.messages import CancelRefused
from domain.orders.messages import (
    CancelAllOrders,
    CancelAllRequested,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    OrderReason,
)
from domain.orders.state import LedgerState


def decide_cancel(state: LedgerState, command: CancelOrder) -> CancelRequested | CancelRejected:
    """Ask the book to cancel the order, if it is open, the user's own and of that market.

    Whether it is still on the book only the book knows: it answers each request exactly once.
    Disabled accounts and halted markets may cancel.
    """
    order_id = command.order_id or _id_of_client_id(state, command)
    order = state.orders.get(order_id)
    if order is None or order.user_id != command.user_id or order.market_id != command.market_id:
        return CancelRejected(
            command_id=command.command_id,
            user_id=command.user_id,
            market_id=command.market_id,
            order_id=command.order_id,
            client_order_id=command.client_order_id,
            reason=OrderReason.UNKNOWN_ORDER,
        )
    return CancelRequested(command.command_id, order_id, command.user_id, command.market_id)


def _id_of_client_id(state: LedgerState, command: CancelOrder) -> int:
    """The open order with the command's client id; 0, which no order has, if there is none."""
    account = state.accounts.get(command.user_id)
    return 0 if account is None else account.open_by_client_id.get(command.client_order_id, 0)


def decide_cancel_all(
    state: LedgerState, command: CancelAllOrders
) -> CancelAllRequested | CancelRejected:
    """Ask the book to cancel what the user has open in the market, oldest first."""
    account = state.accounts.get(command.user_id)
    order_ids = account.open_by_market.get(command.market_id) if account is not None else None
    if not order_ids:
        return CancelRejected(
            command_id=command.command_id,
            user_id=command.user_id,
            market_id=command.market_id,
            order_id=0,
            client_order_id="",
            reason=OrderReason.UNKNOWN_ORDER,
        )
    return CancelAllRequested(
        command.command_id, command.user_id, command.market_id, list(order_ids)
    )


def refused_by_book(message: CancelRefused) -> CancelRejected:
    """The book no longer had the order when the request reached it."""
    return CancelRejected(
        command_id=message.command_id,
        user_id=message.user_id,
        market_id=message.market_id,
        order_id=message.order_id,
        client_order_id="",
        reason=OrderReason.UNKNOWN_ORDER,
    )
