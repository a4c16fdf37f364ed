"""What each accounts command causes: its event, or a rejection with the first reason that applies.

Every function only reads the state. Its checks stand in the order of `AccountsReason`.
"""

from domain.accounts import keys, users
from domain.accounts.keys import ApiKey
from domain.accounts.messages import (
    AccountsCommandRejected,
    AccountsReason,
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
from domain.accounts.state import AccountsState
from domain.decider import Command
from domain.fees import are_fee_tiers
from domain.limits import are_limits
from domain.reference import MAX_DECIMALS, is_asset_code

ASSET_NAME_LENGTH_MAX = 64
REASON_LENGTH_MAX = 200

Reason = AccountsReason


def register_user(
    state: AccountsState, command: RegisterUser
) -> UserRegistered | AccountsCommandRejected:
    """A user with the partition's next id."""
    if command.login_digest in state.user_ids:
        return _rejected(command, Reason.LOGIN_TAKEN)
    if command.fee_tier not in state.fee_tiers:
        return _rejected(command, Reason.UNKNOWN_FEE_TIER)
    return users.registered(
        command_id=command.command_id,
        time_us=state.time_us,
        user_id=state.next_user_id(),
        login_digest=command.login_digest,
        fee_tier=command.fee_tier,
    )


def enable_user(state: AccountsState, command: EnableUser) -> UserEnabled | AccountsCommandRejected:
    """The user may trade again."""
    user = state.users.get(command.user_id)
    if user is None:
        return _rejected(command, Reason.UNKNOWN_USER)
    if user.enabled:
        return _rejected(command, Reason.ALREADY_ENABLED)
    return users.enabled(user, command.command_id, state.time_us)


def disable_user(
    state: AccountsState, command: DisableUser
) -> UserDisabled | AccountsCommandRejected:
    """The user may only cancel. The user's keys stay as they are: gateways look at both."""
    user = state.users.get(command.user_id)
    if user is None:
        return _rejected(command, Reason.UNKNOWN_USER)
    if not user.enabled:
        return _rejected(command, Reason.ALREADY_DISABLED)
    return users.disabled(user, command.command_id, state.time_us)


def change_fee_tier(
    state: AccountsState, command: ChangeFeeTier
) -> FeeTierChanged | AccountsCommandRejected:
    """The user pays the rates of another tier, whether or not enabled."""
    user = state.users.get(command.user_id)
    if user is None:
        return _rejected(command, Reason.UNKNOWN_USER)
    if command.fee_tier not in state.fee_tiers:
        return _rejected(command, Reason.UNKNOWN_FEE_TIER)
    return users.fee_tier_changed(
        user, command_id=command.command_id, time_us=state.time_us, fee_tier=command.fee_tier
    )


def create_api_key(
    state: AccountsState, command: CreateApiKey
) -> ApiKeyCreated | AccountsCommandRejected:
    """A key of an enabled user. Names of revoked keys are not given again."""
    user = state.users.get(command.user_id)
    if user is None:
        return _rejected(command, Reason.UNKNOWN_USER)
    if not user.enabled:
        return _rejected(command, Reason.USER_DISABLED)
    if command.api_key in state.keys:
        return _rejected(command, Reason.KEY_TAKEN)
    if not keys.is_well_formed(command):
        return _rejected(command, Reason.INVALID_KEY)
    reason = _restriction_reason(state, command)
    return keys.created(command, state.time_us) if reason is None else _rejected(command, reason)


def restrict_api_key(
    state: AccountsState, command: RestrictApiKey
) -> ApiKeyRestricted | AccountsCommandRejected:
    """The key's scopes, addresses and end are replaced, wider or narrower."""
    key = _usable_key(state, command)
    if not isinstance(key, ApiKey):
        return _rejected(command, key)
    reason = _restriction_reason(state, command)
    if reason is not None:
        return _rejected(command, reason)
    return keys.restricted(key, command, state.time_us)


def revoke_api_key(
    state: AccountsState, command: RevokeApiKey
) -> ApiKeyRevoked | AccountsCommandRejected:
    """The key ends for ever."""
    key = _usable_key(state, command)
    if not isinstance(key, ApiKey):
        return _rejected(command, key)
    return keys.revoked(key, command.command_id, state.time_us)


def list_asset(state: AccountsState, command: ListAsset) -> AssetListed | AccountsCommandRejected:
    """An asset with the next id."""
    well_formed = is_asset_code(command.code) and len(command.name) <= ASSET_NAME_LENGTH_MAX
    if not well_formed or not 0 <= command.decimals <= MAX_DECIMALS:
        return _rejected(command, Reason.INVALID_ASSET)
    if command.code in state.assets:
        return _rejected(command, Reason.ASSET_TAKEN)
    return AssetListed(
        command_id=command.command_id,
        asset_id=state.next_asset_id(),
        code=command.code,
        name=command.name,
        decimals=command.decimals,
    )


def change_fees(state: AccountsState, command: ChangeFees) -> FeesChanged | AccountsCommandRejected:
    """A whole new schedule. Tiers that exist must stay: other partitions have users in them."""
    tiers = {tier.tier for tier in command.fee_tiers}
    if not are_fee_tiers(command.fee_tiers) or not tiers.issuperset(state.fee_tiers):
        return _rejected(command, Reason.INVALID_FEES)
    return FeesChanged(command.command_id, command.fee_tiers)


def change_limits(
    state: AccountsState, command: ChangeLimits
) -> LimitsChanged | AccountsCommandRejected:
    """New limits for everybody."""
    if not are_limits(command.limits):
        return _rejected(command, Reason.INVALID_LIMITS)
    return LimitsChanged(command.command_id, command.limits)


def halt_withdrawals(
    state: AccountsState, command: HaltWithdrawals
) -> WithdrawalsHalted | AccountsCommandRejected:
    """Nothing of the asset leaves from here on."""
    reason = _switch_reason(state, command, halted=True)
    if reason is not None:
        return _rejected(command, reason)
    return WithdrawalsHalted(command.command_id, command.asset_id, command.reason)


def resume_withdrawals(
    state: AccountsState, command: ResumeWithdrawals
) -> WithdrawalsResumed | AccountsCommandRejected:
    """The asset may leave again."""
    reason = _switch_reason(state, command, halted=False)
    if reason is not None:
        return _rejected(command, reason)
    return WithdrawalsResumed(command.command_id, command.asset_id, command.reason)


def _usable_key(
    state: AccountsState, command: RestrictApiKey | RevokeApiKey
) -> ApiKey | AccountsReason:
    """The user's key that is not revoked, or why there is none."""
    if command.user_id not in state.users:
        return Reason.UNKNOWN_USER
    key = state.keys.get(command.api_key)
    if key is None or key.user_id != command.user_id:
        return Reason.UNKNOWN_KEY
    return Reason.KEY_REVOKED if key.revoked else key


def _restriction_reason(
    state: AccountsState, command: CreateApiKey | RestrictApiKey
) -> AccountsReason | None:
    """What is wrong with the scopes, addresses or end that a command gives a key, if anything."""
    if not keys.are_scopes(command.scopes):
        return Reason.INVALID_SCOPES
    if not keys.are_addresses(command.ip_allowlist):
        return Reason.INVALID_ADDRESSES
    if command.expires_us != 0 and command.expires_us <= state.time_us:
        return Reason.INVALID_EXPIRY
    return None


def _switch_reason(
    state: AccountsState, command: HaltWithdrawals | ResumeWithdrawals, *, halted: bool
) -> AccountsReason | None:
    """What is wrong with switching an asset's withdrawals, if anything."""
    if not 1 <= command.asset_id <= len(state.assets):
        return Reason.UNKNOWN_ASSET
    if halted == (command.asset_id in state.halted_withdrawals):
        return Reason.ALREADY_HALTED if halted else Reason.NOT_HALTED
    text = command.reason
    if not (0 < len(text) <= REASON_LENGTH_MAX and text.isascii() and text.isprintable()):
        return Reason.INVALID_REASON
    return None


def _rejected(command: Command, reason: AccountsReason) -> AccountsCommandRejected:
    return AccountsCommandRejected(command.command_id, reason)
