"""Which messages may come to an accounts shard: from whom, when, and for which partition."""

from domain.accounts.messages import (
    ChangeFees,
    ChangeFeeTier,
    ChangeLimits,
    CreateApiKey,
    DisableUser,
    EnableUser,
    FeesChanged,
    HaltWithdrawals,
    LimitsChanged,
    ListAsset,
    RegisterUser,
    RestrictApiKey,
    ResumeWithdrawals,
    RevokeApiKey,
)
from domain.accounts.state import AccountsState
from domain.decider import Message, comes_from
from domain.fees import are_fee_tiers
from domain.limits import are_limits
from domain.markets import MarketHalted, MarketListed, MarketResumed, MarketRulesChanged
from domain.protocol import Genesis, ResolveHalt, RulesActivated, Tick, is_alarm
from domain.reference import REFERENCE_PARTITION, login_partition

LOGIN_DIGEST_LENGTH = 32

_SOURCES: dict[type[Message], str] = {
    Genesis: "operator",
    RulesActivated: "operator",
    ResolveHalt: "operator",
    RegisterUser: "operator",
    EnableUser: "operator",
    DisableUser: "operator",
    ChangeFeeTier: "operator",
    CreateApiKey: "operator",
    RestrictApiKey: "operator",
    RevokeApiKey: "operator",
    ListAsset: "operator",
    ChangeFees: "operator",
    ChangeLimits: "operator",
    HaltWithdrawals: "operator",
    ResumeWithdrawals: "operator",
    Tick: "clock",
    FeesChanged: "A",
    LimitsChanged: "A",
    MarketListed: "M",
    MarketRulesChanged: "M",
    MarketHalted: "M",
    MarketResumed: "M",
}


def refuse(state: AccountsState, source: str, message: Message) -> str:
    """Why `message` may not come to this shard from `source`; empty if it may."""
    name = type(message).__name__
    wanted = _SOURCES.get(type(message))
    if wanted is None:
        return f"{name} is no message for accounts"
    if not comes_from(source, wanted) and not is_alarm(source, message, HaltWithdrawals):
        return f"{name} is wanted from {wanted}, came from {source}"
    if isinstance(message, Genesis):
        return _refuse_genesis(state, message)
    if state.ledger_partitions == 0:
        return f"Genesis is wanted first, was {name}"
    return _refuse_partition(state, message)


def _refuse_genesis(state: AccountsState, genesis: Genesis) -> str:
    if state.ledger_partitions != 0:
        return "one Genesis is wanted, this is another"
    if genesis.family != "A":
        return f"a Genesis of family A is wanted, was {genesis.family!r}"
    if genesis.matching_partitions < 1 or not 0 <= genesis.partition < genesis.ledger_partitions:
        return (
            f"partition {genesis.partition} of {genesis.ledger_partitions} and "
            f"{genesis.matching_partitions} matching partitions cannot be"
        )
    if not are_fee_tiers(genesis.fee_tiers) or not are_limits(genesis.limits):
        return "a fee tier 0, fair rates and positive limits are wanted in Genesis"
    return ""


def _refuse_partition(state: AccountsState, message: Message) -> str:
    name = type(message).__name__
    match message:
        case RegisterUser():
            return _refuse_login(state, message.login_digest)
        case (
            EnableUser()
            | DisableUser()
            | ChangeFeeTier()
            | CreateApiKey()
            | RestrictApiKey()
            | RevokeApiKey()
        ):
            home = message.user_id % state.ledger_partitions
            if home != state.partition:
                return f"user {message.user_id} lives in partition {home}, not {state.partition}"
        case FeesChanged() | LimitsChanged():
            if state.partition == REFERENCE_PARTITION:
                return f"{name} is made by partition {REFERENCE_PARTITION}, not told to it"
        case Tick() | ResolveHalt() | RulesActivated():
            pass
        case _:
            if state.partition != REFERENCE_PARTITION:
                return f"{name} is for partition {REFERENCE_PARTITION}, not {state.partition}"
    return ""


def _refuse_login(state: AccountsState, login_digest: bytes) -> str:
    if len(login_digest) != LOGIN_DIGEST_LENGTH:
        return f"a login digest of {LOGIN_DIGEST_LENGTH} bytes is wanted, was {len(login_digest)}"
    home = login_partition(login_digest, state.ledger_partitions)
    return "" if home == state.partition else f"the login lives in partition {home}, not here"
