"""A decider small enough to see through: it credits deposits, and faults where it is told to."""

from collections.abc import Sequence
from typing import Any

from domain.decider import Command, Message, UnrefusableFault
from domain.ledger.messages import CreditDeposit, DepositCredited
from domain.orders.messages import OrderAccepted
from domain.protocol import Genesis, HaltResolved, ResolveHalt

FAULT_IN_PLANNING = 13
FAULT_IN_APPLYING = 14


class EchoState:
    """The amounts credited so far: no `State`, for an interpreted class extends no compiled one."""

    def __init__(self) -> None:
        self.time_us = 0
        self.amounts: list[int] = []


class Echo:
    """Credits every deposit and tells shard L1; takes facts from L1 only."""

    family = "L"

    def initial(self) -> EchoState:
        return EchoState()

    def refuse(self, state: EchoState, source: str, message: Message) -> str:
        if isinstance(message, CreditDeposit) and source == "gw":
            return "CreditDeposit is wanted from operator"
        if isinstance(message, OrderAccepted) and message.user_id == 0:
            return "an order of user 0 is foreign"
        return ""

    def decide(self, state: EchoState, command: Message) -> Sequence[Message]:
        if isinstance(command, CreditDeposit):
            if command.amount == FAULT_IN_PLANNING:
                raise ZeroDivisionError("planned to")
            return (
                DepositCredited(
                    command.command_id, command.user_id, 1, command.amount, command.reference
                ),
            )
        if isinstance(command, OrderAccepted):
            raise ZeroDivisionError("a fact that cannot be planned")
        if isinstance(command, ResolveHalt):
            return (HaltResolved(command.command_id, command.record_hash, command.action),)
        return (command,) if isinstance(command, Genesis) else ()

    def evolve(self, state: EchoState, event: Message) -> EchoState:
        if isinstance(event, DepositCredited):
            state.amounts.append(event.amount)
            if event.amount == FAULT_IN_APPLYING:
                raise ZeroDivisionError("applied half")
        return state

    def destinations(self, state: EchoState, event: Message) -> Sequence[str]:
        return ("L1",) if isinstance(event, DepositCredited) else ()

    def fault(self, state: EchoState, command: Message) -> Sequence[Message]:
        if isinstance(command, Command):
            return ()
        raise UnrefusableFault

    def dump(self, state: EchoState) -> Any:
        return [state.time_us, state.amounts]

    def load(self, data: Any) -> EchoState:
        state = EchoState()
        state.time_us, state.amounts = data
        return state
