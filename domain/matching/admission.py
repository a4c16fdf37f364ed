"""Which messages may come to a matching shard: from whom, when, and for which partition."""

from typing import Final

from domain.accounts.messages import AssetListed
from domain.decider import Message, comes_from
from domain.markets import ChangeMarketRules, HaltMarket, ListMarket, ResumeMarket
from domain.matching.state import MatchingState
from domain.orders.messages import CancelAllRequested, CancelRequested, OrderAccepted
from domain.protocol import Genesis, ResolveHalt, RulesActivated, Tick, is_alarm
from domain.reference import symbol_partition

_SOURCES: Final[dict[type[Message], str]] = {
    OrderAccepted: "L",
    CancelRequested: "L",
    CancelAllRequested: "L",
    Tick: "clock",
    AssetListed: "A",
    ListMarket: "operator",
    ChangeMarketRules: "operator",
    HaltMarket: "operator",
    ResumeMarket: "operator",
    ResolveHalt: "operator",
    RulesActivated: "operator",
    Genesis: "operator",
}


def refuse(state: MatchingState, source: str, message: Message) -> str:
    """Why `message` may not come to this shard from `source`; empty if it may."""
    wanted = _SOURCES.get(type(message))
    if wanted is None:
        return f"{type(message).__name__} is no message for matching"
    if not comes_from(source, wanted) and not is_alarm(source, message, HaltMarket):
        return f"{type(message).__name__} is wanted from {wanted}, came from {source}"
    if isinstance(message, Genesis):
        return _refuse_genesis(state, message)
    if state.ledger_partitions == 0:
        return f"Genesis is wanted first, was {type(message).__name__}"
    home = _home(state, message)
    if home != state.partition:
        kind = type(message).__name__
        return f"{kind} is for a market of partition {home}, not {state.partition}"
    return ""


def _home(state: MatchingState, message: Message) -> int:
    """The partition of the market that the message is for; this one if it is for none."""
    if isinstance(message, (OrderAccepted, CancelRequested, CancelAllRequested)):
        return message.market_id % state.matching_partitions
    if isinstance(message, (ChangeMarketRules, HaltMarket, ResumeMarket)):
        return message.market_id % state.matching_partitions
    if isinstance(message, ListMarket):
        return symbol_partition(message.symbol, state.matching_partitions)
    return state.partition


def _refuse_genesis(state: MatchingState, genesis: Genesis) -> str:
    if state.ledger_partitions != 0:
        return "one Genesis is wanted, this is another"
    if genesis.family != "M":
        return f"a Genesis of family M is wanted, was {genesis.family!r}"
    if genesis.ledger_partitions < 1 or not 0 <= genesis.partition < genesis.matching_partitions:
        return (
            f"partition {genesis.partition} of {genesis.matching_partitions} and "
            f"{genesis.ledger_partitions} ledger partitions cannot be"
        )
    return ""
