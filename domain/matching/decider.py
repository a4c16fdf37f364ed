"""The matching decider: accepted orders and cancels against the books of a shard's markets."""

from collections.abc import Sequence
from typing import Any

from domain.accounts.messages import AssetListed
from domain.decider import Command, Message, UnrefusableFault
from domain.markets import (
    ChangeMarketRules,
    HaltMarket,
    ListMarket,
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRulesChanged,
    ReferencePriceChanged,
    ResumeMarket,
)
from domain.matching import admission, markets, snapshot
from domain.matching.cancels import cancel, cancel_all, completed, refused
from domain.matching.evolution import evolve
from domain.matching.messages import (
    BookChanged,
    CancelAllCompleted,
    CancelRefused,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.matching.placing import place, terminated
from domain.matching.reference_prices import due_prices
from domain.matching.state import MatchingState, initial
from domain.orders.messages import (
    CancelAllRequested,
    CancelRequested,
    CloseReason,
    OrderAccepted,
)
from domain.protocol import Genesis, ResolveHalt, RulesActivated, Tick
from domain.reference import REFERENCE_PARTITION


class MatchingDecider:
    """The rules of the family "M": each market lives in the one shard that its symbol names."""

    family = "M"

    def initial(self) -> MatchingState:
        """The state before `Genesis`."""
        return initial()

    def refuse(self, state: MatchingState, source: str, message: Message) -> str:
        """Why `message` may not come to this shard from `source`; empty if it may."""
        return admission.refuse(state, source, message)

    def decide(self, state: MatchingState, command: Message) -> Sequence[Message]:
        """What the message causes, then the reference prices that ledgers are to be told now."""
        events = _decide(state, command)
        prices = due_prices(state, events)
        return [*events, *prices] if prices else events

    def evolve(self, state: MatchingState, event: Message) -> MatchingState:
        """The same state object after `event`."""
        evolve(state, event)
        return state

    def destinations(self, state: MatchingState, event: Message) -> Sequence[str]:
        """Reports go to the order's ledger, trades to both parties', markets' life to all and A0.

        The remainder of an order id, as of a user id, is the partition of its ledger.
        """
        ledgers = state.ledgers
        if isinstance(event, BookChanged):
            return ()
        if isinstance(event, (OrderRested, OrderTerminated)):
            return (ledgers[event.order_id % state.ledger_partitions],)
        if isinstance(event, TradeExecuted):
            maker = event.maker_order_id % state.ledger_partitions
            taker = event.taker_order_id % state.ledger_partitions
            return (ledgers[maker],) if maker == taker else (ledgers[maker], ledgers[taker])
        if isinstance(event, (CancelRefused, CancelAllCompleted)):
            return (ledgers[event.user_id % state.ledger_partitions],)
        if isinstance(event, ReferencePriceChanged):
            return ledgers
        if isinstance(event, (MarketListed, MarketRulesChanged, MarketHalted, MarketResumed)):
            return (*ledgers, f"A{REFERENCE_PARTITION}")
        return ()

    def fault(self, state: MatchingState, command: Message) -> Sequence[Message]:
        """The order's end or the cancel's answer, so that its ledger does not wait for ever.

        Commands and ticks leave nothing open. Raises `UnrefusableFault` for everything else.
        """
        if isinstance(command, OrderAccepted):
            return (terminated(command, CloseReason.FAULTED, command.lots),)
        if isinstance(command, CancelRequested):
            return (refused(command),)
        if isinstance(command, CancelAllRequested):
            return (completed(command, []),)
        if isinstance(command, (Command, Tick)):
            return ()
        raise UnrefusableFault(f"{type(command).__name__} could not be applied to matching")

    def dump(self, state: MatchingState) -> Any:
        """The state as nested lists, canonical."""
        return snapshot.dump(state)

    def load(self, data: Any) -> MatchingState:
        """The state that `dump` described."""
        return snapshot.load(data)


def _decide(state: MatchingState, command: Message) -> list[Message]:
    if isinstance(command, OrderAccepted):
        return place(state, command)
    if isinstance(command, CancelRequested):
        return cancel(state, command)
    if isinstance(command, CancelAllRequested):
        return cancel_all(state, command)
    if isinstance(command, Tick):
        return []
    if isinstance(command, (Genesis, RulesActivated, AssetListed)):
        return [command]
    return _decide_operator_command(state, command)


def _decide_operator_command(state: MatchingState, command: Message) -> list[Message]:
    if isinstance(command, ListMarket):
        return [markets.list_market(state, command)]
    if isinstance(command, ChangeMarketRules):
        return [markets.change_market_rules(state, command)]
    if isinstance(command, HaltMarket):
        return [markets.halt_market(state, command)]
    if isinstance(command, ResumeMarket):
        return [markets.resume_market(state, command)]
    if isinstance(command, ResolveHalt):
        return markets.resolve_halt(state, command)
    raise AssertionError(f"matching was given a {type(command).__name__}")
