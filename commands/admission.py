"""How much may wait: beyond it -1008, and orders leave the last part of every queue to cancels."""

from collections.abc import Sequence

from domain.decider import Message
from domain.orders.messages import PlaceOrder
from infra.http import errors

RESERVED_PART = 5
"""One fifth of each queue takes no orders: who gets no order in must still get out."""


def admit(messages: Sequence[Message], waiting: int, most: int) -> None:
    """Raises -1008 (503) if so many more cannot wait beside the `waiting`, of which at most `most`.

    Nothing overtakes: what is admitted keeps its turn, so an account's commands keep their order.
    """
    orders = isinstance(messages[0], PlaceOrder)
    room = most - most // RESERVED_PART if orders else most
    if waiting + len(messages) > room:
        raise errors.overloaded()
