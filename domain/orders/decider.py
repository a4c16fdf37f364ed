"""The decider of the ledger shards: orders admitted, trades settled, deposits credited."""

from collections.abc import Sequence
from typing import Any, Final

from domain.accounts.messages import (
    AssetListed,
    FeesChanged,
    FeeTierChanged,
    LimitsChanged,
    UserDisabled,
    UserEnabled,
    UserRegistered,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.decider import SHARD_FAMILIES, Message, UnrefusableFault, comes_from
from domain.ledger.funding import decide_deposit, decide_withdrawal
from domain.ledger.messages import AccountOpened, CreditDeposit, DebitWithdrawal
from domain.markets import (
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRulesChanged,
    ReferencePriceChanged,
)
from domain.matching.messages import (
    CancelAllCompleted,
    CancelRefused,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.orders.admission import decide_order
from domain.orders.cancels import decide_cancel, decide_cancel_all, refused_by_book
from domain.orders.evolution import evolve
from domain.orders.messages import (
    CancelAllOrders,
    CancelAllRequested,
    CancelOrder,
    CancelRequested,
    OrderAccepted,
    PlaceOrder,
)
from domain.orders.settlement import close_order, settle_trade
from domain.orders.snapshot import dump, load
from domain.orders.state import LedgerState
from domain.protocol import (
    Genesis,
    HaltAction,
    HaltResolved,
    ResolveHalt,
    RulesActivated,
    Tick,
)

_SOURCES: Final[dict[type[Message], str]] = {
    PlaceOrder: "gw",
    CancelOrder: "gw",
    CancelAllOrders: "gw",
    CreditDeposit: "operator",
    DebitWithdrawal: "operator",
    Genesis: "operator",
    RulesActivated: "operator",
    ResolveHalt: "operator",
    Tick: "clock",
    UserRegistered: "A",
    UserEnabled: "A",
    UserDisabled: "A",
    FeeTierChanged: "A",
    AssetListed: "A",
    FeesChanged: "A",
    LimitsChanged: "A",
    WithdrawalsHalted: "A",
    WithdrawalsResumed: "A",
    TradeExecuted: "M",
    OrderRested: "M",
    OrderTerminated: "M",
    CancelRefused: "M",
    CancelAllCompleted: "M",
    MarketListed: "M",
    MarketRulesChanged: "M",
    MarketHalted: "M",
    MarketResumed: "M",
    ReferencePriceChanged: "M",
}
"""Who may send what to a ledger shard: an outside source or the family of a shard."""


class LedgerDecider:
    """Rules of the ledger shards: `domain.decider.Decider` for family "L"."""

    family: str = "L"

    def initial(self) -> LedgerState:
        """The state before genesis: no partitions, no accounts, no money."""
        return LedgerState(time_us=0)

    def decide(self, state: LedgerState, command: Message) -> Sequence[Message]:
        """The events that a command or a fact from another shard causes; most frequent first."""
        if isinstance(command, PlaceOrder):
            return (decide_order(state, command),)
        if isinstance(command, TradeExecuted):
            return settle_trade(state, command)
        if isinstance(command, OrderTerminated):
            return (close_order(state, command),)
        if isinstance(command, OrderRested):
            return (command,)
        if isinstance(command, CancelOrder):
            return (decide_cancel(state, command),)
        if isinstance(command, Tick):
            return ()
        return self._decide_rarer(state, command)

    def evolve(self, state: LedgerState, event: Message) -> LedgerState:
        """The state after `event`; see `domain.orders.evolution`."""
        return evolve(state, event)

    def destinations(self, state: LedgerState, event: Message) -> Sequence[str]:
        """Accepted orders and requests to cancel go to the matching shard of their market."""
        if isinstance(event, (OrderAccepted, CancelRequested, CancelAllRequested)):
            return (state.matchers[event.market_id % state.matching_partitions],)
        return ()

    def refuse(self, state: LedgerState, source: str, message: Message) -> str:
        """Why `message` may not come to this shard from `source`; empty if it may."""
        wanted = _SOURCES.get(type(message))
        if wanted is None:
            return f"a ledger shard takes no {type(message).__name__}"
        if not comes_from(source, wanted):
            return f"{type(message).__name__} must come from {wanted}, came from {source}"
        if isinstance(message, Genesis):
            return _genesis_refusal(state, message)
        if state.ledger_partitions == 0:
            return f"Genesis must come first, found {type(message).__name__}"
        if isinstance(
            message, (PlaceOrder, CancelOrder, CancelAllOrders, CreditDeposit, DebitWithdrawal)
        ):
            partition = message.user_id % state.ledger_partitions
            if partition != state.partition:
                return f"user {message.user_id} lives in partition {partition}"
        return ""

    def fault(self, state: LedgerState, command: Message) -> Sequence[Message]:
        """Nothing: what cannot be planned here has left nothing open elsewhere.

        Raises `UnrefusableFault` for facts, which come from another shard.
        """
        if _SOURCES.get(type(command)) in SHARD_FAMILIES:
            raise UnrefusableFault(f"{type(command).__name__} is a fact and cannot be refused")
        return ()

    def dump(self, state: LedgerState) -> Any:
        """The state as nested lists, after the full check of the books (L1, L4, L6)."""
        return dump(state)

    def load(self, data: Any) -> LedgerState:
        """The state that `dump` described."""
        return load(data)

    def _decide_rarer(self, state: LedgerState, command: Message) -> Sequence[Message]:
        """As `decide`; what is neither a wish nor a trade is passed on as this shard's event."""
        if isinstance(command, CancelAllOrders):
            return (decide_cancel_all(state, command),)
        if isinstance(command, CancelRefused):
            return (refused_by_book(command),)
        if isinstance(command, CreditDeposit):
            return (self._deposit(state, command),)
        if isinstance(command, DebitWithdrawal):
            return (self._withdrawal(state, command),)
        if isinstance(command, UserRegistered):
            return (AccountOpened(command.command_id, command.user_id, command.fee_tier),)
        if isinstance(command, ResolveHalt):
            return self._resolve(state, command)
        assert type(command) in _SOURCES, f"a ledger shard takes no {type(command).__name__}"
        return (command,)

    def _deposit(self, state: LedgerState, command: CreditDeposit) -> Message:
        return decide_deposit(
            command,
            account_exists=command.user_id in state.accounts,
            asset_known=command.asset_id in state.assets,
            used=state.funding_by_reference.get(command.reference),
            balances=state.balances,
        )

    def _withdrawal(self, state: LedgerState, command: DebitWithdrawal) -> Message:
        account = state.accounts.get(command.user_id)
        return decide_withdrawal(
            command,
            account_exists=account is not None,
            account_enabled=account is not None and account.enabled,
            asset_known=command.asset_id in state.assets,
            halted=command.asset_id in state.halted_withdrawals,
            used=state.funding_by_reference.get(command.reference),
            balances=state.balances,
        )

    def _resolve(self, state: LedgerState, command: ResolveHalt) -> Sequence[Message]:
        """Cancel-only: no market takes new orders here until it is resumed, each by its own."""
        events: list[Message] = []
        if command.action is HaltAction.CANCEL_ONLY:
            events.extend(MarketHalted(b"", market_id) for market_id in sorted(state.markets))
        events.append(HaltResolved(command.command_id, command.record_hash, command.action))
        return events


def _genesis_refusal(state: LedgerState, genesis: Genesis) -> str:
    """Why this genesis is not this shard's; empty if it is."""
    if state.ledger_partitions != 0:
        return "Genesis must be record 0, was found after it"
    if genesis.family != "L":
        return f"Genesis must be of family L, is of {genesis.family}"
    if not 0 <= genesis.partition < genesis.ledger_partitions or genesis.matching_partitions < 1:
        return f"Genesis names no shard: partition {genesis.partition}"
    return ""
