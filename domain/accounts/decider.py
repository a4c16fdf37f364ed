"""The accounts decider: users, API keys and the exchange's assets, fees and limits, on the log."""

from collections.abc import Sequence
from typing import Any

from domain.accounts import admission, decisions
from domain.accounts.keys import mutate_api_key
from domain.accounts.messages import (
    AccountsCommandRejected,
    ApiKeyCreated,
    ApiKeyRestricted,
    ApiKeyRevoked,
    AssetListed,
    ChangeFees,
    ChangeFeeTier,
    ChangeLimits,
    CreateApiKey,
    DisableUser,
    EnableUser,
    FeesChanged,
    FeeTierChanged,
    HaltWithdrawals,
    LimitsChanged,
    ListAsset,
    RegisterUser,
    RestrictApiKey,
    ResumeWithdrawals,
    RevokeApiKey,
    UserDisabled,
    UserEnabled,
    UserRegistered,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.accounts.state import AccountsState, dump, initial, load
from domain.accounts.users import mutate_user
from domain.decider import Command, Message, UnrefusableFault, ledger_ids, matching_ids
from domain.markets import MarketHalted, MarketListed, MarketResumed, MarketRulesChanged
from domain.protocol import (
    CommandExpired,
    CommandFaulted,
    CommandRepeated,
    Genesis,
    HaltResolved,
    ResolveHalt,
    RulesActivated,
    Tick,
)
from domain.reference import REFERENCE_PARTITION, Asset

UserCommand = (
    RegisterUser
    | EnableUser
    | DisableUser
    | ChangeFeeTier
    | CreateApiKey
    | RestrictApiKey
    | RevokeApiKey
)
ReferenceCommand = ListAsset | ChangeFees | ChangeLimits | HaltWithdrawals | ResumeWithdrawals
MarketEvent = MarketListed | MarketRulesChanged | MarketHalted | MarketResumed
ToldAgain = Genesis | RulesActivated | FeesChanged | LimitsChanged | MarketEvent
WithoutEffect = (
    AccountsCommandRejected
    | HaltResolved
    | CommandExpired
    | CommandRepeated
    | CommandFaulted
    | MarketEvent
)


class AccountsDecider:
    """The rules of the family "A"; partition 0 keeps the reference data besides its users."""

    family = "A"

    def initial(self) -> AccountsState:
        """The state before `Genesis`."""
        return initial()

    def refuse(self, state: AccountsState, source: str, message: Message) -> str:
        """Why `message` may not come to this shard from `source`; empty if it may."""
        return admission.refuse(state, source, message)

    def decide(self, state: AccountsState, command: Message) -> Sequence[Message]:
        """The one event that a command causes; a fact of another shard is told again as it is."""
        if isinstance(command, UserCommand):
            return (_decide_user_command(state, command),)
        if isinstance(command, ReferenceCommand):
            return (_decide_reference_command(state, command),)
        if isinstance(command, ToldAgain):
            return (command,)
        match command:
            case ResolveHalt():
                return (HaltResolved(command.command_id, command.record_hash, command.action),)
            case Tick():
                return ()
            case _:
                raise AssertionError(f"accounts was given a {type(command).__name__}")

    def evolve(self, state: AccountsState, event: Message) -> AccountsState:
        """The same state object after `event`."""
        match event:
            case UserRegistered() | UserEnabled() | UserDisabled() | FeeTierChanged():
                _evolve_user(state, event)
            case ApiKeyCreated() | ApiKeyRestricted() | ApiKeyRevoked():
                key = mutate_api_key(event, state.keys.get(event.api_key))
                state.keys[event.api_key] = key
            case AssetListed():
                asset = Asset(event.asset_id, event.code, event.name, event.decimals)
                state.assets[event.code] = asset
            case WithdrawalsHalted():
                state.halted_withdrawals[event.asset_id] = event.reason
            case WithdrawalsResumed():
                del state.halted_withdrawals[event.asset_id]
            case FeesChanged():
                state.fee_tiers = {tier.tier: tier for tier in event.fee_tiers}
            case LimitsChanged():
                state.limits = event.limits
            case Genesis():
                _evolve_genesis(state, event)
            case RulesActivated():
                state.rules_version = event.version
            case _ if isinstance(event, WithoutEffect):
                pass
            case _:
                raise AssertionError(f"accounts has no event {type(event).__name__}")
        return state

    def destinations(self, state: AccountsState, event: Message) -> Sequence[str]:
        """What a user may do goes to the user's ledger, assets of partition 0 to all.

        Fees and limits reach a ledger through its own accounts partition, so that they never
        arrive after a user's tier that depends on them.
        """
        match event:
            case UserRegistered() | UserEnabled() | UserDisabled() | FeeTierChanged():
                return (f"L{state.partition}",)
            case AssetListed():
                return ledger_ids(state.ledger_partitions) + matching_ids(state.matching_partitions)
            case WithdrawalsHalted() | WithdrawalsResumed():
                # On the channel that told of the asset, so that it is known when this arrives.
                return ledger_ids(state.ledger_partitions)
            case FeesChanged() | LimitsChanged():
                own = [f"L{state.partition}"]
                first = state.partition == REFERENCE_PARTITION
                return _other_accounts(state) + own if first else own
            case _:
                return ()

    def fault(self, state: AccountsState, command: Message) -> Sequence[Message]:
        """Nothing: no accounts command leaves anything open elsewhere. Facts must not fault."""
        if isinstance(command, Command):
            return ()
        raise UnrefusableFault(f"{type(command).__name__} could not be applied to accounts")

    def dump(self, state: AccountsState) -> Any:
        """The state as nested lists, canonical."""
        return dump(state)

    def load(self, data: Any) -> AccountsState:
        """The state that `dump` described."""
        return load(data)


def _decide_user_command(state: AccountsState, command: UserCommand) -> Message:
    match command:
        case RegisterUser():
            return decisions.register_user(state, command)
        case EnableUser():
            return decisions.enable_user(state, command)
        case DisableUser():
            return decisions.disable_user(state, command)
        case ChangeFeeTier():
            return decisions.change_fee_tier(state, command)
        case CreateApiKey():
            return decisions.create_api_key(state, command)
        case RestrictApiKey():
            return decisions.restrict_api_key(state, command)
        case RevokeApiKey():
            return decisions.revoke_api_key(state, command)


def _decide_reference_command(state: AccountsState, command: ReferenceCommand) -> Message:
    match command:
        case ListAsset():
            return decisions.list_asset(state, command)
        case ChangeFees():
            return decisions.change_fees(state, command)
        case ChangeLimits():
            return decisions.change_limits(state, command)
        case HaltWithdrawals():
            return decisions.halt_withdrawals(state, command)
        case ResumeWithdrawals():
            return decisions.resume_withdrawals(state, command)


def _evolve_user(
    state: AccountsState, event: UserRegistered | UserEnabled | UserDisabled | FeeTierChanged
) -> None:
    user = mutate_user(event, state.users.get(event.user_id))
    state.users[user.user_id] = user
    state.user_ids[user.login_digest] = user.user_id


def _evolve_genesis(state: AccountsState, event: Genesis) -> None:
    state.exchange = event.exchange
    state.partition = event.partition
    state.ledger_partitions = event.ledger_partitions
    state.matching_partitions = event.matching_partitions
    state.rules_version = event.rules_version
    state.limits = event.limits
    state.fee_tiers = {tier.tier: tier for tier in event.fee_tiers}


def _other_accounts(state: AccountsState) -> list[str]:
    return [f"A{p}" for p in range(state.ledger_partitions) if p != state.partition]
