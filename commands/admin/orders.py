"""The operation on a user's open orders, which the user does not cancel, or cannot."""

from typing import Any

from commands.admin.fields import Fields
from commands.admin.operator import Operator, refused
from commands.gateway import CANCEL_ALL, STARTS
from commands.outcomes import Awaited
from domain.accounts.messages import AccountsReason
from domain.orders.messages import CancelAllOrders, OrderClosed


async def cancel_orders(operator: Operator, fields: Fields) -> dict[str, Any]:
    """What a user has open in a market is off the book, its holds released; how many were canceled.

    The user may be disabled and the market halted. None canceled is no error: nothing was open.
    """
    user_id = fields.integer("userId")
    market = operator.market(fields.text("symbol"))
    if user_id not in operator.reference.users:
        raise refused(AccountsReason.UNKNOWN_USER)
    command = CancelAllOrders(*operator.identity(), user_id, market.market_id)
    shard = operator.ledger_shard(user_id)
    awaited = Awaited({shard: CANCEL_ALL}, starts=STARTS, alone=True)
    # Ledgers take cancels from the gateway alone.
    answer = await operator.orders.run(shard, command, awaited)
    canceled = sum(isinstance(seen.message, OrderClosed) for seen in answer.seen)
    return {"canceled": canceled, "position": answer.position()}
