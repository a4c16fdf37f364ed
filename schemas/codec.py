"""Encoding and decoding of every message; `python -m schemas.generate` writes it."""

from collections.abc import Callable
from typing import Any, Final

from librt.strings import BytesWriter

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
    KeyKind,
    LimitsChanged,
    ListAsset,
    RegisterUser,
    RestrictApiKey,
    ResumeWithdrawals,
    RevokeApiKey,
    Scope,
    UserDisabled,
    UserEnabled,
    UserRegistered,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.decider import Message
from domain.fees import FeeTier
from domain.ledger.messages import (
    AccountOpened,
    CreditDeposit,
    DebitWithdrawal,
    DepositCredited,
    FundingReason,
    FundingRejected,
    FundingRepeated,
    WithdrawalDebited,
)
from domain.limits import Limits
from domain.markets import (
    ChangeMarketRules,
    HaltMarket,
    ListMarket,
    MarketCommandRejected,
    MarketHalted,
    MarketListed,
    MarketReason,
    MarketResumed,
    MarketRules,
    MarketRulesChanged,
    ReferencePriceChanged,
    ResumeMarket,
)
from domain.matching.messages import (
    BookChanged,
    CancelAllCompleted,
    CancelRefused,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.orders.messages import (
    CancelAllOrders,
    CancelAllRequested,
    CancelOrder,
    CancelRejected,
    CancelRequested,
    CloseReason,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderReason,
    OrderRejected,
    OrderType,
    PlaceOrder,
    Role,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.protocol import (
    CommandExpired,
    CommandFaulted,
    CommandRepeated,
    Genesis,
    HaltAction,
    HaltResolved,
    ResolveHalt,
    RulesActivated,
    Tick,
)
from schemas.primitives import (
    end_array,
    read_bytes,
    read_count,
    read_long,
    read_string,
    write_bytes,
    write_long,
    write_string,
)

HEADER: Final = bytes.fromhex("c301b58f1922f31a9416")
"""How every record in the present schema begins: marker and fingerprint."""

_ACCOUNTS_REASON: Final = {symbol << 1: symbol for symbol in AccountsReason}
_KEY_KIND: Final = {symbol << 1: symbol for symbol in KeyKind}
_SCOPE: Final = {symbol << 1: symbol for symbol in Scope}
_FUNDING_REASON: Final = {symbol << 1: symbol for symbol in FundingReason}
_MARKET_REASON: Final = {symbol << 1: symbol for symbol in MarketReason}
_CLOSE_REASON: Final = {symbol << 1: symbol for symbol in CloseReason}
_ORDER_REASON: Final = {symbol << 1: symbol for symbol in OrderReason}
_ORDER_TYPE: Final = {symbol << 1: symbol for symbol in OrderType}
_ROLE: Final = {symbol << 1: symbol for symbol in Role}
_SELF_TRADE_PREVENTION: Final = {symbol << 1: symbol for symbol in SelfTradePrevention}
_SIDE: Final = {symbol << 1: symbol for symbol in Side}
_TIME_IN_FORCE: Final = {symbol << 1: symbol for symbol in TimeInForce}
_HALT_ACTION: Final = {symbol << 1: symbol for symbol in HaltAction}


def write_accounts_command_rejected(out: BytesWriter, message: AccountsCommandRejected) -> None:
    """Append branch number 38, then the fields of AccountsCommandRejected."""
    write_long(out, 38)
    write_bytes(out, message.command_id)
    write_long(out, message.reason)


def read_accounts_command_rejected(data: bytes, pos: int) -> tuple[AccountsCommandRejected, int]:
    """The AccountsCommandRejected at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    reason = _ACCOUNTS_REASON[data[pos]]
    pos += 1
    message = AccountsCommandRejected(command_id, reason)
    return message, pos


def write_api_key_created(out: BytesWriter, message: ApiKeyCreated) -> None:
    """Append branch number 32, then the fields of ApiKeyCreated."""
    write_long(out, 32)
    write_bytes(out, message.command_id)
    write_string(out, message.originator_id)
    write_long(out, message.originator_version)
    write_long(out, message.timestamp_us)
    write_long(out, message.user_id)
    write_string(out, message.api_key)
    write_long(out, message.kind)
    write_bytes(out, message.sealed_secret)
    write_bytes(out, message.public_key)
    if message.scopes:
        write_long(out, len(message.scopes))
        for scope in message.scopes:
            write_long(out, scope)
    write_long(out, 0)
    if message.ip_allowlist:
        write_long(out, len(message.ip_allowlist))
        for each in message.ip_allowlist:
            write_string(out, each)
    write_long(out, 0)
    write_long(out, message.expires_us)
    write_string(out, message.label)


def read_api_key_created(data: bytes, pos: int) -> tuple[ApiKeyCreated, int]:
    """The ApiKeyCreated at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    originator_id, pos = read_string(data, pos)
    originator_version, pos = read_long(data, pos)
    timestamp_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    api_key, pos = read_string(data, pos)
    kind = _KEY_KIND[data[pos]]
    pos += 1
    sealed_secret, pos = read_bytes(data, pos)
    public_key, pos = read_bytes(data, pos)
    scopes: list[Scope] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        scope = _SCOPE[data[pos]]
        pos += 1
        scopes.append(scope)
    if count:
        pos = end_array(data, pos)
    ip_allowlist: list[str] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        each, pos = read_string(data, pos)
        ip_allowlist.append(each)
    if count:
        pos = end_array(data, pos)
    expires_us, pos = read_long(data, pos)
    label, pos = read_string(data, pos)
    message = ApiKeyCreated(
        command_id,
        originator_id,
        originator_version,
        timestamp_us,
        user_id,
        api_key,
        kind,
        sealed_secret,
        public_key,
        scopes,
        ip_allowlist,
        expires_us,
        label,
    )
    return message, pos


def write_api_key_restricted(out: BytesWriter, message: ApiKeyRestricted) -> None:
    """Append branch number 33, then the fields of ApiKeyRestricted."""
    write_long(out, 33)
    write_bytes(out, message.command_id)
    write_string(out, message.originator_id)
    write_long(out, message.originator_version)
    write_long(out, message.timestamp_us)
    write_long(out, message.user_id)
    write_string(out, message.api_key)
    if message.scopes:
        write_long(out, len(message.scopes))
        for scope in message.scopes:
            write_long(out, scope)
    write_long(out, 0)
    if message.ip_allowlist:
        write_long(out, len(message.ip_allowlist))
        for each in message.ip_allowlist:
            write_string(out, each)
    write_long(out, 0)
    write_long(out, message.expires_us)


def read_api_key_restricted(data: bytes, pos: int) -> tuple[ApiKeyRestricted, int]:
    """The ApiKeyRestricted at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    originator_id, pos = read_string(data, pos)
    originator_version, pos = read_long(data, pos)
    timestamp_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    api_key, pos = read_string(data, pos)
    scopes: list[Scope] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        scope = _SCOPE[data[pos]]
        pos += 1
        scopes.append(scope)
    if count:
        pos = end_array(data, pos)
    ip_allowlist: list[str] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        each, pos = read_string(data, pos)
        ip_allowlist.append(each)
    if count:
        pos = end_array(data, pos)
    expires_us, pos = read_long(data, pos)
    message = ApiKeyRestricted(
        command_id,
        originator_id,
        originator_version,
        timestamp_us,
        user_id,
        api_key,
        scopes,
        ip_allowlist,
        expires_us,
    )
    return message, pos


def write_api_key_revoked(out: BytesWriter, message: ApiKeyRevoked) -> None:
    """Append branch number 34, then the fields of ApiKeyRevoked."""
    write_long(out, 34)
    write_bytes(out, message.command_id)
    write_string(out, message.originator_id)
    write_long(out, message.originator_version)
    write_long(out, message.timestamp_us)
    write_long(out, message.user_id)
    write_string(out, message.api_key)


def read_api_key_revoked(data: bytes, pos: int) -> tuple[ApiKeyRevoked, int]:
    """The ApiKeyRevoked at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    originator_id, pos = read_string(data, pos)
    originator_version, pos = read_long(data, pos)
    timestamp_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    api_key, pos = read_string(data, pos)
    message = ApiKeyRevoked(
        command_id, originator_id, originator_version, timestamp_us, user_id, api_key
    )
    return message, pos


def write_asset_listed(out: BytesWriter, message: AssetListed) -> None:
    """Append branch number 35, then the fields of AssetListed."""
    write_long(out, 35)
    write_bytes(out, message.command_id)
    write_long(out, message.asset_id)
    write_string(out, message.code)
    write_string(out, message.name)
    write_long(out, message.decimals)


def read_asset_listed(data: bytes, pos: int) -> tuple[AssetListed, int]:
    """The AssetListed at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    asset_id, pos = read_long(data, pos)
    code, pos = read_string(data, pos)
    name, pos = read_string(data, pos)
    decimals, pos = read_long(data, pos)
    message = AssetListed(command_id, asset_id, code, name, decimals)
    return message, pos


def write_change_fee_tier(out: BytesWriter, message: ChangeFeeTier) -> None:
    """Append branch number 24, then the fields of ChangeFeeTier."""
    write_long(out, 24)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_long(out, message.fee_tier)


def read_change_fee_tier(data: bytes, pos: int) -> tuple[ChangeFeeTier, int]:
    """The ChangeFeeTier at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    fee_tier, pos = read_long(data, pos)
    message = ChangeFeeTier(command_id, deadline_us, user_id, fee_tier)
    return message, pos


def write_change_fees(out: BytesWriter, message: ChangeFees) -> None:
    """Append branch number 26, then the fields of ChangeFees."""
    write_long(out, 26)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    if message.fee_tiers:
        write_long(out, len(message.fee_tiers))
        for fee_tier in message.fee_tiers:
            write_fee_tier(out, fee_tier)
    write_long(out, 0)


def read_change_fees(data: bytes, pos: int) -> tuple[ChangeFees, int]:
    """The ChangeFees at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    fee_tiers: list[FeeTier] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        fee_tier, pos = read_fee_tier(data, pos)
        fee_tiers.append(fee_tier)
    if count:
        pos = end_array(data, pos)
    message = ChangeFees(command_id, deadline_us, fee_tiers)
    return message, pos


def write_change_limits(out: BytesWriter, message: ChangeLimits) -> None:
    """Append branch number 27, then the fields of ChangeLimits."""
    write_long(out, 27)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_limits(out, message.limits)


def read_change_limits(data: bytes, pos: int) -> tuple[ChangeLimits, int]:
    """The ChangeLimits at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    limits, pos = read_limits(data, pos)
    message = ChangeLimits(command_id, deadline_us, limits)
    return message, pos


def write_create_api_key(out: BytesWriter, message: CreateApiKey) -> None:
    """Append branch number 21, then the fields of CreateApiKey."""
    write_long(out, 21)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_string(out, message.api_key)
    write_long(out, message.kind)
    write_bytes(out, message.sealed_secret)
    write_bytes(out, message.public_key)
    if message.scopes:
        write_long(out, len(message.scopes))
        for scope in message.scopes:
            write_long(out, scope)
    write_long(out, 0)
    if message.ip_allowlist:
        write_long(out, len(message.ip_allowlist))
        for each in message.ip_allowlist:
            write_string(out, each)
    write_long(out, 0)
    write_long(out, message.expires_us)
    write_string(out, message.label)


def read_create_api_key(data: bytes, pos: int) -> tuple[CreateApiKey, int]:
    """The CreateApiKey at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    api_key, pos = read_string(data, pos)
    kind = _KEY_KIND[data[pos]]
    pos += 1
    sealed_secret, pos = read_bytes(data, pos)
    public_key, pos = read_bytes(data, pos)
    scopes: list[Scope] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        scope = _SCOPE[data[pos]]
        pos += 1
        scopes.append(scope)
    if count:
        pos = end_array(data, pos)
    ip_allowlist: list[str] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        each, pos = read_string(data, pos)
        ip_allowlist.append(each)
    if count:
        pos = end_array(data, pos)
    expires_us, pos = read_long(data, pos)
    label, pos = read_string(data, pos)
    message = CreateApiKey(
        command_id,
        deadline_us,
        user_id,
        api_key,
        kind,
        sealed_secret,
        public_key,
        scopes,
        ip_allowlist,
        expires_us,
        label,
    )
    return message, pos


def write_disable_user(out: BytesWriter, message: DisableUser) -> None:
    """Append branch number 20, then the fields of DisableUser."""
    write_long(out, 20)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)


def read_disable_user(data: bytes, pos: int) -> tuple[DisableUser, int]:
    """The DisableUser at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    message = DisableUser(command_id, deadline_us, user_id)
    return message, pos


def write_enable_user(out: BytesWriter, message: EnableUser) -> None:
    """Append branch number 19, then the fields of EnableUser."""
    write_long(out, 19)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)


def read_enable_user(data: bytes, pos: int) -> tuple[EnableUser, int]:
    """The EnableUser at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    message = EnableUser(command_id, deadline_us, user_id)
    return message, pos


def write_fee_tier_changed(out: BytesWriter, message: FeeTierChanged) -> None:
    """Append branch number 31, then the fields of FeeTierChanged."""
    write_long(out, 31)
    write_bytes(out, message.command_id)
    write_string(out, message.originator_id)
    write_long(out, message.originator_version)
    write_long(out, message.timestamp_us)
    write_long(out, message.user_id)
    write_long(out, message.fee_tier)


def read_fee_tier_changed(data: bytes, pos: int) -> tuple[FeeTierChanged, int]:
    """The FeeTierChanged at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    originator_id, pos = read_string(data, pos)
    originator_version, pos = read_long(data, pos)
    timestamp_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    fee_tier, pos = read_long(data, pos)
    message = FeeTierChanged(
        command_id, originator_id, originator_version, timestamp_us, user_id, fee_tier
    )
    return message, pos


def write_fees_changed(out: BytesWriter, message: FeesChanged) -> None:
    """Append branch number 36, then the fields of FeesChanged."""
    write_long(out, 36)
    write_bytes(out, message.command_id)
    if message.fee_tiers:
        write_long(out, len(message.fee_tiers))
        for fee_tier in message.fee_tiers:
            write_fee_tier(out, fee_tier)
    write_long(out, 0)


def read_fees_changed(data: bytes, pos: int) -> tuple[FeesChanged, int]:
    """The FeesChanged at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    fee_tiers: list[FeeTier] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        fee_tier, pos = read_fee_tier(data, pos)
        fee_tiers.append(fee_tier)
    if count:
        pos = end_array(data, pos)
    message = FeesChanged(command_id, fee_tiers)
    return message, pos


def write_halt_withdrawals(out: BytesWriter, message: HaltWithdrawals) -> None:
    """Append branch number 62, then the fields of HaltWithdrawals."""
    write_long(out, 62)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.asset_id)
    write_string(out, message.reason)


def read_halt_withdrawals(data: bytes, pos: int) -> tuple[HaltWithdrawals, int]:
    """The HaltWithdrawals at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    asset_id, pos = read_long(data, pos)
    reason, pos = read_string(data, pos)
    message = HaltWithdrawals(command_id, deadline_us, asset_id, reason)
    return message, pos


def write_limits_changed(out: BytesWriter, message: LimitsChanged) -> None:
    """Append branch number 37, then the fields of LimitsChanged."""
    write_long(out, 37)
    write_bytes(out, message.command_id)
    write_limits(out, message.limits)


def read_limits_changed(data: bytes, pos: int) -> tuple[LimitsChanged, int]:
    """The LimitsChanged at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    limits, pos = read_limits(data, pos)
    message = LimitsChanged(command_id, limits)
    return message, pos


def write_list_asset(out: BytesWriter, message: ListAsset) -> None:
    """Append branch number 25, then the fields of ListAsset."""
    write_long(out, 25)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_string(out, message.code)
    write_string(out, message.name)
    write_long(out, message.decimals)


def read_list_asset(data: bytes, pos: int) -> tuple[ListAsset, int]:
    """The ListAsset at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    code, pos = read_string(data, pos)
    name, pos = read_string(data, pos)
    decimals, pos = read_long(data, pos)
    message = ListAsset(command_id, deadline_us, code, name, decimals)
    return message, pos


def write_register_user(out: BytesWriter, message: RegisterUser) -> None:
    """Append branch number 18, then the fields of RegisterUser."""
    write_long(out, 18)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_bytes(out, message.login_digest)
    write_long(out, message.fee_tier)


def read_register_user(data: bytes, pos: int) -> tuple[RegisterUser, int]:
    """The RegisterUser at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    login_digest, pos = read_bytes(data, pos)
    fee_tier, pos = read_long(data, pos)
    message = RegisterUser(command_id, deadline_us, login_digest, fee_tier)
    return message, pos


def write_restrict_api_key(out: BytesWriter, message: RestrictApiKey) -> None:
    """Append branch number 22, then the fields of RestrictApiKey."""
    write_long(out, 22)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_string(out, message.api_key)
    if message.scopes:
        write_long(out, len(message.scopes))
        for scope in message.scopes:
            write_long(out, scope)
    write_long(out, 0)
    if message.ip_allowlist:
        write_long(out, len(message.ip_allowlist))
        for each in message.ip_allowlist:
            write_string(out, each)
    write_long(out, 0)
    write_long(out, message.expires_us)


def read_restrict_api_key(data: bytes, pos: int) -> tuple[RestrictApiKey, int]:
    """The RestrictApiKey at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    api_key, pos = read_string(data, pos)
    scopes: list[Scope] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        scope = _SCOPE[data[pos]]
        pos += 1
        scopes.append(scope)
    if count:
        pos = end_array(data, pos)
    ip_allowlist: list[str] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        each, pos = read_string(data, pos)
        ip_allowlist.append(each)
    if count:
        pos = end_array(data, pos)
    expires_us, pos = read_long(data, pos)
    message = RestrictApiKey(
        command_id, deadline_us, user_id, api_key, scopes, ip_allowlist, expires_us
    )
    return message, pos


def write_resume_withdrawals(out: BytesWriter, message: ResumeWithdrawals) -> None:
    """Append branch number 63, then the fields of ResumeWithdrawals."""
    write_long(out, 63)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.asset_id)
    write_string(out, message.reason)


def read_resume_withdrawals(data: bytes, pos: int) -> tuple[ResumeWithdrawals, int]:
    """The ResumeWithdrawals at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    asset_id, pos = read_long(data, pos)
    reason, pos = read_string(data, pos)
    message = ResumeWithdrawals(command_id, deadline_us, asset_id, reason)
    return message, pos


def write_revoke_api_key(out: BytesWriter, message: RevokeApiKey) -> None:
    """Append branch number 23, then the fields of RevokeApiKey."""
    write_long(out, 23)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_string(out, message.api_key)


def read_revoke_api_key(data: bytes, pos: int) -> tuple[RevokeApiKey, int]:
    """The RevokeApiKey at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    api_key, pos = read_string(data, pos)
    message = RevokeApiKey(command_id, deadline_us, user_id, api_key)
    return message, pos


def write_user_disabled(out: BytesWriter, message: UserDisabled) -> None:
    """Append branch number 30, then the fields of UserDisabled."""
    write_long(out, 30)
    write_bytes(out, message.command_id)
    write_string(out, message.originator_id)
    write_long(out, message.originator_version)
    write_long(out, message.timestamp_us)
    write_long(out, message.user_id)


def read_user_disabled(data: bytes, pos: int) -> tuple[UserDisabled, int]:
    """The UserDisabled at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    originator_id, pos = read_string(data, pos)
    originator_version, pos = read_long(data, pos)
    timestamp_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    message = UserDisabled(command_id, originator_id, originator_version, timestamp_us, user_id)
    return message, pos


def write_user_enabled(out: BytesWriter, message: UserEnabled) -> None:
    """Append branch number 29, then the fields of UserEnabled."""
    write_long(out, 29)
    write_bytes(out, message.command_id)
    write_string(out, message.originator_id)
    write_long(out, message.originator_version)
    write_long(out, message.timestamp_us)
    write_long(out, message.user_id)


def read_user_enabled(data: bytes, pos: int) -> tuple[UserEnabled, int]:
    """The UserEnabled at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    originator_id, pos = read_string(data, pos)
    originator_version, pos = read_long(data, pos)
    timestamp_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    message = UserEnabled(command_id, originator_id, originator_version, timestamp_us, user_id)
    return message, pos


def write_user_registered(out: BytesWriter, message: UserRegistered) -> None:
    """Append branch number 28, then the fields of UserRegistered."""
    write_long(out, 28)
    write_bytes(out, message.command_id)
    write_string(out, message.originator_id)
    write_long(out, message.originator_version)
    write_long(out, message.timestamp_us)
    write_long(out, message.user_id)
    write_bytes(out, message.login_digest)
    write_long(out, message.fee_tier)


def read_user_registered(data: bytes, pos: int) -> tuple[UserRegistered, int]:
    """The UserRegistered at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    originator_id, pos = read_string(data, pos)
    originator_version, pos = read_long(data, pos)
    timestamp_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    login_digest, pos = read_bytes(data, pos)
    fee_tier, pos = read_long(data, pos)
    message = UserRegistered(
        command_id, originator_id, originator_version, timestamp_us, user_id, login_digest, fee_tier
    )
    return message, pos


def write_withdrawals_halted(out: BytesWriter, message: WithdrawalsHalted) -> None:
    """Append branch number 64, then the fields of WithdrawalsHalted."""
    write_long(out, 64)
    write_bytes(out, message.command_id)
    write_long(out, message.asset_id)
    write_string(out, message.reason)


def read_withdrawals_halted(data: bytes, pos: int) -> tuple[WithdrawalsHalted, int]:
    """The WithdrawalsHalted at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    asset_id, pos = read_long(data, pos)
    reason, pos = read_string(data, pos)
    message = WithdrawalsHalted(command_id, asset_id, reason)
    return message, pos


def write_withdrawals_resumed(out: BytesWriter, message: WithdrawalsResumed) -> None:
    """Append branch number 65, then the fields of WithdrawalsResumed."""
    write_long(out, 65)
    write_bytes(out, message.command_id)
    write_long(out, message.asset_id)
    write_string(out, message.reason)


def read_withdrawals_resumed(data: bytes, pos: int) -> tuple[WithdrawalsResumed, int]:
    """The WithdrawalsResumed at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    asset_id, pos = read_long(data, pos)
    reason, pos = read_string(data, pos)
    message = WithdrawalsResumed(command_id, asset_id, reason)
    return message, pos


def write_fee_tier(out: BytesWriter, message: FeeTier) -> None:
    """Append the fields of FeeTier."""
    write_long(out, message.tier)
    write_long(out, message.maker_ppm)
    write_long(out, message.taker_ppm)


def read_fee_tier(data: bytes, pos: int) -> tuple[FeeTier, int]:
    """The FeeTier at `pos` and the position after it."""
    tier, pos = read_long(data, pos)
    maker_ppm, pos = read_long(data, pos)
    taker_ppm, pos = read_long(data, pos)
    message = FeeTier(tier, maker_ppm, taker_ppm)
    return message, pos


def write_account_opened(out: BytesWriter, message: AccountOpened) -> None:
    """Append branch number 41, then the fields of AccountOpened."""
    write_long(out, 41)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_long(out, message.fee_tier)


def read_account_opened(data: bytes, pos: int) -> tuple[AccountOpened, int]:
    """The AccountOpened at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    fee_tier, pos = read_long(data, pos)
    message = AccountOpened(command_id, user_id, fee_tier)
    return message, pos


def write_credit_deposit(out: BytesWriter, message: CreditDeposit) -> None:
    """Append branch number 39, then the fields of CreditDeposit."""
    write_long(out, 39)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_long(out, message.asset_id)
    write_long(out, message.amount)
    write_string(out, message.reference)


def read_credit_deposit(data: bytes, pos: int) -> tuple[CreditDeposit, int]:
    """The CreditDeposit at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    asset_id, pos = read_long(data, pos)
    amount, pos = read_long(data, pos)
    reference, pos = read_string(data, pos)
    message = CreditDeposit(command_id, deadline_us, user_id, asset_id, amount, reference)
    return message, pos


def write_debit_withdrawal(out: BytesWriter, message: DebitWithdrawal) -> None:
    """Append branch number 40, then the fields of DebitWithdrawal."""
    write_long(out, 40)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_long(out, message.asset_id)
    write_long(out, message.amount)
    write_string(out, message.reference)


def read_debit_withdrawal(data: bytes, pos: int) -> tuple[DebitWithdrawal, int]:
    """The DebitWithdrawal at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    asset_id, pos = read_long(data, pos)
    amount, pos = read_long(data, pos)
    reference, pos = read_string(data, pos)
    message = DebitWithdrawal(command_id, deadline_us, user_id, asset_id, amount, reference)
    return message, pos


def write_deposit_credited(out: BytesWriter, message: DepositCredited) -> None:
    """Append branch number 42, then the fields of DepositCredited."""
    write_long(out, 42)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_long(out, message.asset_id)
    write_long(out, message.amount)
    write_string(out, message.reference)


def read_deposit_credited(data: bytes, pos: int) -> tuple[DepositCredited, int]:
    """The DepositCredited at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    asset_id, pos = read_long(data, pos)
    amount, pos = read_long(data, pos)
    reference, pos = read_string(data, pos)
    message = DepositCredited(command_id, user_id, asset_id, amount, reference)
    return message, pos


def write_funding_rejected(out: BytesWriter, message: FundingRejected) -> None:
    """Append branch number 45, then the fields of FundingRejected."""
    write_long(out, 45)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_string(out, message.reference)
    write_long(out, message.reason)


def read_funding_rejected(data: bytes, pos: int) -> tuple[FundingRejected, int]:
    """The FundingRejected at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    reference, pos = read_string(data, pos)
    reason = _FUNDING_REASON[data[pos]]
    pos += 1
    message = FundingRejected(command_id, user_id, reference, reason)
    return message, pos


def write_funding_repeated(out: BytesWriter, message: FundingRepeated) -> None:
    """Append branch number 44, then the fields of FundingRepeated."""
    write_long(out, 44)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_string(out, message.reference)
    write_long(out, message.time_us)


def read_funding_repeated(data: bytes, pos: int) -> tuple[FundingRepeated, int]:
    """The FundingRepeated at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    reference, pos = read_string(data, pos)
    time_us, pos = read_long(data, pos)
    message = FundingRepeated(command_id, user_id, reference, time_us)
    return message, pos


def write_withdrawal_debited(out: BytesWriter, message: WithdrawalDebited) -> None:
    """Append branch number 43, then the fields of WithdrawalDebited."""
    write_long(out, 43)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_long(out, message.asset_id)
    write_long(out, message.amount)
    write_string(out, message.reference)


def read_withdrawal_debited(data: bytes, pos: int) -> tuple[WithdrawalDebited, int]:
    """The WithdrawalDebited at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    asset_id, pos = read_long(data, pos)
    amount, pos = read_long(data, pos)
    reference, pos = read_string(data, pos)
    message = WithdrawalDebited(command_id, user_id, asset_id, amount, reference)
    return message, pos


def write_limits(out: BytesWriter, message: Limits) -> None:
    """Append the fields of Limits."""
    write_long(out, message.orders_per_10s)
    write_long(out, message.orders_per_day)
    write_long(out, message.request_weight_per_minute)
    write_long(out, message.raw_requests_per_5m)


def read_limits(data: bytes, pos: int) -> tuple[Limits, int]:
    """The Limits at `pos` and the position after it."""
    orders_per_10s, pos = read_long(data, pos)
    orders_per_day, pos = read_long(data, pos)
    request_weight_per_minute, pos = read_long(data, pos)
    raw_requests_per_5m, pos = read_long(data, pos)
    message = Limits(orders_per_10s, orders_per_day, request_weight_per_minute, raw_requests_per_5m)
    return message, pos


def write_change_market_rules(out: BytesWriter, message: ChangeMarketRules) -> None:
    """Append branch number 9, then the fields of ChangeMarketRules."""
    write_long(out, 9)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.market_id)
    write_market_rules(out, message.rules)
    write_long(out, message.reference_price_ticks)


def read_change_market_rules(data: bytes, pos: int) -> tuple[ChangeMarketRules, int]:
    """The ChangeMarketRules at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    rules, pos = read_market_rules(data, pos)
    reference_price_ticks, pos = read_long(data, pos)
    message = ChangeMarketRules(command_id, deadline_us, market_id, rules, reference_price_ticks)
    return message, pos


def write_halt_market(out: BytesWriter, message: HaltMarket) -> None:
    """Append branch number 10, then the fields of HaltMarket."""
    write_long(out, 10)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.market_id)


def read_halt_market(data: bytes, pos: int) -> tuple[HaltMarket, int]:
    """The HaltMarket at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    message = HaltMarket(command_id, deadline_us, market_id)
    return message, pos


def write_list_market(out: BytesWriter, message: ListMarket) -> None:
    """Append branch number 8, then the fields of ListMarket."""
    write_long(out, 8)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_string(out, message.symbol)
    write_market_rules(out, message.rules)
    write_long(out, message.reference_price_ticks)


def read_list_market(data: bytes, pos: int) -> tuple[ListMarket, int]:
    """The ListMarket at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    symbol, pos = read_string(data, pos)
    rules, pos = read_market_rules(data, pos)
    reference_price_ticks, pos = read_long(data, pos)
    message = ListMarket(command_id, deadline_us, symbol, rules, reference_price_ticks)
    return message, pos


def write_market_command_rejected(out: BytesWriter, message: MarketCommandRejected) -> None:
    """Append branch number 16, then the fields of MarketCommandRejected."""
    write_long(out, 16)
    write_bytes(out, message.command_id)
    write_long(out, message.reason)


def read_market_command_rejected(data: bytes, pos: int) -> tuple[MarketCommandRejected, int]:
    """The MarketCommandRejected at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    reason = _MARKET_REASON[data[pos]]
    pos += 1
    message = MarketCommandRejected(command_id, reason)
    return message, pos


def write_market_halted(out: BytesWriter, message: MarketHalted) -> None:
    """Append branch number 14, then the fields of MarketHalted."""
    write_long(out, 14)
    write_bytes(out, message.command_id)
    write_long(out, message.market_id)


def read_market_halted(data: bytes, pos: int) -> tuple[MarketHalted, int]:
    """The MarketHalted at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    market_id, pos = read_long(data, pos)
    message = MarketHalted(command_id, market_id)
    return message, pos


def write_market_listed(out: BytesWriter, message: MarketListed) -> None:
    """Append branch number 12, then the fields of MarketListed."""
    write_long(out, 12)
    write_bytes(out, message.command_id)
    write_long(out, message.market_id)
    write_string(out, message.symbol)
    write_long(out, message.revision)
    write_market_rules(out, message.rules)
    write_long(out, message.reference_price_ticks)


def read_market_listed(data: bytes, pos: int) -> tuple[MarketListed, int]:
    """The MarketListed at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    market_id, pos = read_long(data, pos)
    symbol, pos = read_string(data, pos)
    revision, pos = read_long(data, pos)
    rules, pos = read_market_rules(data, pos)
    reference_price_ticks, pos = read_long(data, pos)
    message = MarketListed(command_id, market_id, symbol, revision, rules, reference_price_ticks)
    return message, pos


def write_market_resumed(out: BytesWriter, message: MarketResumed) -> None:
    """Append branch number 15, then the fields of MarketResumed."""
    write_long(out, 15)
    write_bytes(out, message.command_id)
    write_long(out, message.market_id)


def read_market_resumed(data: bytes, pos: int) -> tuple[MarketResumed, int]:
    """The MarketResumed at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    market_id, pos = read_long(data, pos)
    message = MarketResumed(command_id, market_id)
    return message, pos


def write_market_rules(out: BytesWriter, message: MarketRules) -> None:
    """Append the fields of MarketRules."""
    write_long(out, message.base_asset)
    write_long(out, message.quote_asset)
    write_long(out, message.lot)
    write_long(out, message.tick)
    write_long(out, message.min_price_ticks)
    write_long(out, message.max_price_ticks)
    write_long(out, message.min_lots)
    write_long(out, message.max_lots)
    write_long(out, message.market_min_lots)
    write_long(out, message.market_max_lots)
    write_long(out, message.min_notional)
    write_long(out, message.max_notional)
    write_long(out, message.bid_up_ppm)
    write_long(out, message.bid_down_ppm)
    write_long(out, message.ask_up_ppm)
    write_long(out, message.ask_down_ppm)
    write_long(out, message.collar_ppm)
    write_long(out, message.max_open_orders)


def read_market_rules(data: bytes, pos: int) -> tuple[MarketRules, int]:
    """The MarketRules at `pos` and the position after it."""
    base_asset, pos = read_long(data, pos)
    quote_asset, pos = read_long(data, pos)
    lot, pos = read_long(data, pos)
    tick, pos = read_long(data, pos)
    min_price_ticks, pos = read_long(data, pos)
    max_price_ticks, pos = read_long(data, pos)
    min_lots, pos = read_long(data, pos)
    max_lots, pos = read_long(data, pos)
    market_min_lots, pos = read_long(data, pos)
    market_max_lots, pos = read_long(data, pos)
    min_notional, pos = read_long(data, pos)
    max_notional, pos = read_long(data, pos)
    bid_up_ppm, pos = read_long(data, pos)
    bid_down_ppm, pos = read_long(data, pos)
    ask_up_ppm, pos = read_long(data, pos)
    ask_down_ppm, pos = read_long(data, pos)
    collar_ppm, pos = read_long(data, pos)
    max_open_orders, pos = read_long(data, pos)
    message = MarketRules(
        base_asset,
        quote_asset,
        lot,
        tick,
        min_price_ticks,
        max_price_ticks,
        min_lots,
        max_lots,
        market_min_lots,
        market_max_lots,
        min_notional,
        max_notional,
        bid_up_ppm,
        bid_down_ppm,
        ask_up_ppm,
        ask_down_ppm,
        collar_ppm,
        max_open_orders,
    )
    return message, pos


def write_market_rules_changed(out: BytesWriter, message: MarketRulesChanged) -> None:
    """Append branch number 13, then the fields of MarketRulesChanged."""
    write_long(out, 13)
    write_bytes(out, message.command_id)
    write_long(out, message.market_id)
    write_long(out, message.revision)
    write_market_rules(out, message.rules)
    write_long(out, message.reference_price_ticks)


def read_market_rules_changed(data: bytes, pos: int) -> tuple[MarketRulesChanged, int]:
    """The MarketRulesChanged at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    market_id, pos = read_long(data, pos)
    revision, pos = read_long(data, pos)
    rules, pos = read_market_rules(data, pos)
    reference_price_ticks, pos = read_long(data, pos)
    message = MarketRulesChanged(command_id, market_id, revision, rules, reference_price_ticks)
    return message, pos


def write_reference_price_changed(out: BytesWriter, message: ReferencePriceChanged) -> None:
    """Append branch number 17, then the fields of ReferencePriceChanged."""
    write_long(out, 17)
    write_long(out, message.market_id)
    write_long(out, message.price_ticks)


def read_reference_price_changed(data: bytes, pos: int) -> tuple[ReferencePriceChanged, int]:
    """The ReferencePriceChanged at `pos` and the position after it."""
    market_id, pos = read_long(data, pos)
    price_ticks, pos = read_long(data, pos)
    message = ReferencePriceChanged(market_id, price_ticks)
    return message, pos


def write_resume_market(out: BytesWriter, message: ResumeMarket) -> None:
    """Append branch number 11, then the fields of ResumeMarket."""
    write_long(out, 11)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.market_id)


def read_resume_market(data: bytes, pos: int) -> tuple[ResumeMarket, int]:
    """The ResumeMarket at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    message = ResumeMarket(command_id, deadline_us, market_id)
    return message, pos


def write_book_changed(out: BytesWriter, message: BookChanged) -> None:
    """Append branch number 57, then the fields of BookChanged."""
    write_long(out, 57)
    write_long(out, message.market_id)
    write_long(out, message.book_seq)
    write_long(out, message.side)
    write_long(out, message.price_ticks)
    write_long(out, message.lots)


def read_book_changed(data: bytes, pos: int) -> tuple[BookChanged, int]:
    """The BookChanged at `pos` and the position after it."""
    market_id, pos = read_long(data, pos)
    book_seq, pos = read_long(data, pos)
    side = _SIDE[data[pos]]
    pos += 1
    price_ticks, pos = read_long(data, pos)
    lots, pos = read_long(data, pos)
    message = BookChanged(market_id, book_seq, side, price_ticks, lots)
    return message, pos


def write_cancel_all_completed(out: BytesWriter, message: CancelAllCompleted) -> None:
    """Append branch number 61, then the fields of CancelAllCompleted."""
    write_long(out, 61)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    if message.order_ids:
        write_long(out, len(message.order_ids))
        for each in message.order_ids:
            write_long(out, each)
    write_long(out, 0)


def read_cancel_all_completed(data: bytes, pos: int) -> tuple[CancelAllCompleted, int]:
    """The CancelAllCompleted at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    order_ids: list[int] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        each, pos = read_long(data, pos)
        order_ids.append(each)
    if count:
        pos = end_array(data, pos)
    message = CancelAllCompleted(command_id, user_id, market_id, order_ids)
    return message, pos


def write_cancel_refused(out: BytesWriter, message: CancelRefused) -> None:
    """Append branch number 60, then the fields of CancelRefused."""
    write_long(out, 60)
    write_bytes(out, message.command_id)
    write_long(out, message.order_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)


def read_cancel_refused(data: bytes, pos: int) -> tuple[CancelRefused, int]:
    """The CancelRefused at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    order_id, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    message = CancelRefused(command_id, order_id, user_id, market_id)
    return message, pos


def write_order_rested(out: BytesWriter, message: OrderRested) -> None:
    """Append branch number 58, then the fields of OrderRested."""
    write_long(out, 58)
    write_bytes(out, message.command_id)
    write_long(out, message.order_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_long(out, message.side)
    write_long(out, message.price_ticks)
    write_long(out, message.lots)


def read_order_rested(data: bytes, pos: int) -> tuple[OrderRested, int]:
    """The OrderRested at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    order_id, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    side = _SIDE[data[pos]]
    pos += 1
    price_ticks, pos = read_long(data, pos)
    lots, pos = read_long(data, pos)
    message = OrderRested(command_id, order_id, user_id, market_id, side, price_ticks, lots)
    return message, pos


def write_order_terminated(out: BytesWriter, message: OrderTerminated) -> None:
    """Append branch number 59, then the fields of OrderTerminated."""
    write_long(out, 59)
    write_bytes(out, message.command_id)
    write_long(out, message.order_id)
    write_long(out, message.market_id)
    write_long(out, message.reason)
    write_long(out, message.remaining_lots)


def read_order_terminated(data: bytes, pos: int) -> tuple[OrderTerminated, int]:
    """The OrderTerminated at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    order_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    reason = _CLOSE_REASON[data[pos]]
    pos += 1
    remaining_lots, pos = read_long(data, pos)
    message = OrderTerminated(command_id, order_id, market_id, reason, remaining_lots)
    return message, pos


def write_trade_executed(out: BytesWriter, message: TradeExecuted) -> None:
    """Append branch number 56, then the fields of TradeExecuted."""
    write_long(out, 56)
    write_long(out, message.market_id)
    write_long(out, message.trade_id)
    write_long(out, message.price_ticks)
    write_long(out, message.lots)
    write_long(out, message.taker_side)
    write_long(out, message.maker_order_id)
    write_long(out, message.taker_order_id)
    write_long(out, message.maker_remaining_lots)


def read_trade_executed(data: bytes, pos: int) -> tuple[TradeExecuted, int]:
    """The TradeExecuted at `pos` and the position after it."""
    market_id, pos = read_long(data, pos)
    trade_id, pos = read_long(data, pos)
    price_ticks, pos = read_long(data, pos)
    lots, pos = read_long(data, pos)
    taker_side = _SIDE[data[pos]]
    pos += 1
    maker_order_id, pos = read_long(data, pos)
    taker_order_id, pos = read_long(data, pos)
    maker_remaining_lots, pos = read_long(data, pos)
    message = TradeExecuted(
        market_id,
        trade_id,
        price_ticks,
        lots,
        taker_side,
        maker_order_id,
        taker_order_id,
        maker_remaining_lots,
    )
    return message, pos


def write_cancel_all_orders(out: BytesWriter, message: CancelAllOrders) -> None:
    """Append branch number 48, then the fields of CancelAllOrders."""
    write_long(out, 48)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_long(out, message.market_id)


def read_cancel_all_orders(data: bytes, pos: int) -> tuple[CancelAllOrders, int]:
    """The CancelAllOrders at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    message = CancelAllOrders(command_id, deadline_us, user_id, market_id)
    return message, pos


def write_cancel_all_requested(out: BytesWriter, message: CancelAllRequested) -> None:
    """Append branch number 53, then the fields of CancelAllRequested."""
    write_long(out, 53)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    if message.order_ids:
        write_long(out, len(message.order_ids))
        for each in message.order_ids:
            write_long(out, each)
    write_long(out, 0)


def read_cancel_all_requested(data: bytes, pos: int) -> tuple[CancelAllRequested, int]:
    """The CancelAllRequested at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    order_ids: list[int] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        each, pos = read_long(data, pos)
        order_ids.append(each)
    if count:
        pos = end_array(data, pos)
    message = CancelAllRequested(command_id, user_id, market_id, order_ids)
    return message, pos


def write_cancel_order(out: BytesWriter, message: CancelOrder) -> None:
    """Append branch number 47, then the fields of CancelOrder."""
    write_long(out, 47)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_long(out, message.order_id)
    write_string(out, message.client_order_id)


def read_cancel_order(data: bytes, pos: int) -> tuple[CancelOrder, int]:
    """The CancelOrder at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    order_id, pos = read_long(data, pos)
    client_order_id, pos = read_string(data, pos)
    message = CancelOrder(command_id, deadline_us, user_id, market_id, order_id, client_order_id)
    return message, pos


def write_cancel_rejected(out: BytesWriter, message: CancelRejected) -> None:
    """Append branch number 52, then the fields of CancelRejected."""
    write_long(out, 52)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_long(out, message.order_id)
    write_string(out, message.client_order_id)
    write_long(out, message.reason)


def read_cancel_rejected(data: bytes, pos: int) -> tuple[CancelRejected, int]:
    """The CancelRejected at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    order_id, pos = read_long(data, pos)
    client_order_id, pos = read_string(data, pos)
    reason = _ORDER_REASON[data[pos]]
    pos += 1
    message = CancelRejected(command_id, user_id, market_id, order_id, client_order_id, reason)
    return message, pos


def write_cancel_requested(out: BytesWriter, message: CancelRequested) -> None:
    """Append branch number 51, then the fields of CancelRequested."""
    write_long(out, 51)
    write_bytes(out, message.command_id)
    write_long(out, message.order_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)


def read_cancel_requested(data: bytes, pos: int) -> tuple[CancelRequested, int]:
    """The CancelRequested at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    order_id, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    message = CancelRequested(command_id, order_id, user_id, market_id)
    return message, pos


def write_fill_settled(out: BytesWriter, message: FillSettled) -> None:
    """Append branch number 54, then the fields of FillSettled."""
    write_long(out, 54)
    write_bytes(out, message.command_id)
    write_long(out, message.order_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_long(out, message.trade_id)
    write_string(out, message.client_order_id)
    write_long(out, message.side)
    write_long(out, message.role)
    write_long(out, message.price_ticks)
    write_long(out, message.lots)
    write_long(out, message.paid_asset)
    write_long(out, message.paid_amount)
    write_long(out, message.received_asset)
    write_long(out, message.received_amount)
    write_long(out, message.fee_amount)
    write_long(out, message.released_amount)
    write_long(out, message.filled_lots)
    write_long(out, message.filled_quote)


def read_fill_settled(data: bytes, pos: int) -> tuple[FillSettled, int]:
    """The FillSettled at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    order_id, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    trade_id, pos = read_long(data, pos)
    client_order_id, pos = read_string(data, pos)
    side = _SIDE[data[pos]]
    pos += 1
    role = _ROLE[data[pos]]
    pos += 1
    price_ticks, pos = read_long(data, pos)
    lots, pos = read_long(data, pos)
    paid_asset, pos = read_long(data, pos)
    paid_amount, pos = read_long(data, pos)
    received_asset, pos = read_long(data, pos)
    received_amount, pos = read_long(data, pos)
    fee_amount, pos = read_long(data, pos)
    released_amount, pos = read_long(data, pos)
    filled_lots, pos = read_long(data, pos)
    filled_quote, pos = read_long(data, pos)
    message = FillSettled(
        command_id,
        order_id,
        user_id,
        market_id,
        trade_id,
        client_order_id,
        side,
        role,
        price_ticks,
        lots,
        paid_asset,
        paid_amount,
        received_asset,
        received_amount,
        fee_amount,
        released_amount,
        filled_lots,
        filled_quote,
    )
    return message, pos


def write_order_accepted(out: BytesWriter, message: OrderAccepted) -> None:
    """Append branch number 49, then the fields of OrderAccepted."""
    write_long(out, 49)
    write_bytes(out, message.command_id)
    write_long(out, message.order_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_long(out, message.market_revision)
    write_string(out, message.client_order_id)
    write_long(out, message.side)
    write_long(out, message.order_type)
    write_long(out, message.time_in_force)
    write_long(out, message.price_ticks)
    write_long(out, message.lots)
    write_long(out, message.quote_amount)
    write_long(out, message.held_asset)
    write_long(out, message.held_amount)
    write_long(out, message.order_count_10s)
    write_long(out, message.order_count_1d)


def read_order_accepted(data: bytes, pos: int) -> tuple[OrderAccepted, int]:
    """The OrderAccepted at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    order_id, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    market_revision, pos = read_long(data, pos)
    client_order_id, pos = read_string(data, pos)
    side = _SIDE[data[pos]]
    pos += 1
    order_type = _ORDER_TYPE[data[pos]]
    pos += 1
    time_in_force = _TIME_IN_FORCE[data[pos]]
    pos += 1
    price_ticks, pos = read_long(data, pos)
    lots, pos = read_long(data, pos)
    quote_amount, pos = read_long(data, pos)
    held_asset, pos = read_long(data, pos)
    held_amount, pos = read_long(data, pos)
    order_count_10s, pos = read_long(data, pos)
    order_count_1d, pos = read_long(data, pos)
    message = OrderAccepted(
        command_id,
        order_id,
        user_id,
        market_id,
        market_revision,
        client_order_id,
        side,
        order_type,
        time_in_force,
        price_ticks,
        lots,
        quote_amount,
        held_asset,
        held_amount,
        order_count_10s,
        order_count_1d,
    )
    return message, pos


def write_order_closed(out: BytesWriter, message: OrderClosed) -> None:
    """Append branch number 55, then the fields of OrderClosed."""
    write_long(out, 55)
    write_bytes(out, message.command_id)
    write_long(out, message.order_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_string(out, message.client_order_id)
    write_long(out, message.side)
    write_long(out, message.order_type)
    write_long(out, message.time_in_force)
    write_long(out, message.price_ticks)
    write_long(out, message.lots)
    write_long(out, message.quote_amount)
    write_long(out, message.filled_lots)
    write_long(out, message.filled_quote)
    write_long(out, message.reason)
    write_long(out, message.released_asset)
    write_long(out, message.released_amount)
    write_long(out, message.accepted_time_us)


def read_order_closed(data: bytes, pos: int) -> tuple[OrderClosed, int]:
    """The OrderClosed at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    order_id, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    client_order_id, pos = read_string(data, pos)
    side = _SIDE[data[pos]]
    pos += 1
    order_type = _ORDER_TYPE[data[pos]]
    pos += 1
    time_in_force = _TIME_IN_FORCE[data[pos]]
    pos += 1
    price_ticks, pos = read_long(data, pos)
    lots, pos = read_long(data, pos)
    quote_amount, pos = read_long(data, pos)
    filled_lots, pos = read_long(data, pos)
    filled_quote, pos = read_long(data, pos)
    reason = _CLOSE_REASON[data[pos]]
    pos += 1
    released_asset, pos = read_long(data, pos)
    released_amount, pos = read_long(data, pos)
    accepted_time_us, pos = read_long(data, pos)
    message = OrderClosed(
        command_id,
        order_id,
        user_id,
        market_id,
        client_order_id,
        side,
        order_type,
        time_in_force,
        price_ticks,
        lots,
        quote_amount,
        filled_lots,
        filled_quote,
        reason,
        released_asset,
        released_amount,
        accepted_time_us,
    )
    return message, pos


def write_order_rejected(out: BytesWriter, message: OrderRejected) -> None:
    """Append branch number 50, then the fields of OrderRejected."""
    write_long(out, 50)
    write_bytes(out, message.command_id)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_string(out, message.client_order_id)
    write_long(out, message.reason)


def read_order_rejected(data: bytes, pos: int) -> tuple[OrderRejected, int]:
    """The OrderRejected at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    client_order_id, pos = read_string(data, pos)
    reason = _ORDER_REASON[data[pos]]
    pos += 1
    message = OrderRejected(command_id, user_id, market_id, client_order_id, reason)
    return message, pos


def write_place_order(out: BytesWriter, message: PlaceOrder) -> None:
    """Append branch number 46, then the fields of PlaceOrder."""
    write_long(out, 46)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_long(out, message.user_id)
    write_long(out, message.market_id)
    write_long(out, message.market_revision)
    write_string(out, message.client_order_id)
    write_long(out, message.side)
    write_long(out, message.order_type)
    write_long(out, message.time_in_force)
    write_long(out, message.price_ticks)
    write_long(out, message.lots)
    write_long(out, message.quote_amount)
    write_long(out, message.stop_price_ticks)
    write_long(out, message.iceberg_lots)
    write_long(out, message.self_trade_prevention)


def read_place_order(data: bytes, pos: int) -> tuple[PlaceOrder, int]:
    """The PlaceOrder at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    user_id, pos = read_long(data, pos)
    market_id, pos = read_long(data, pos)
    market_revision, pos = read_long(data, pos)
    client_order_id, pos = read_string(data, pos)
    side = _SIDE[data[pos]]
    pos += 1
    order_type = _ORDER_TYPE[data[pos]]
    pos += 1
    time_in_force = _TIME_IN_FORCE[data[pos]]
    pos += 1
    price_ticks, pos = read_long(data, pos)
    lots, pos = read_long(data, pos)
    quote_amount, pos = read_long(data, pos)
    stop_price_ticks, pos = read_long(data, pos)
    iceberg_lots, pos = read_long(data, pos)
    self_trade_prevention = _SELF_TRADE_PREVENTION[data[pos]]
    pos += 1
    message = PlaceOrder(
        command_id,
        deadline_us,
        user_id,
        market_id,
        market_revision,
        client_order_id,
        side,
        order_type,
        time_in_force,
        price_ticks,
        lots,
        quote_amount,
        stop_price_ticks,
        iceberg_lots,
        self_trade_prevention,
    )
    return message, pos


def write_command_expired(out: BytesWriter, message: CommandExpired) -> None:
    """Append branch number 5, then the fields of CommandExpired."""
    write_long(out, 5)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)


def read_command_expired(data: bytes, pos: int) -> tuple[CommandExpired, int]:
    """The CommandExpired at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    message = CommandExpired(command_id, deadline_us)
    return message, pos


def write_command_faulted(out: BytesWriter, message: CommandFaulted) -> None:
    """Append branch number 7, then the fields of CommandFaulted."""
    write_long(out, 7)
    write_bytes(out, message.command_id)
    write_string(out, message.message_type)
    write_string(out, message.error)


def read_command_faulted(data: bytes, pos: int) -> tuple[CommandFaulted, int]:
    """The CommandFaulted at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    message_type, pos = read_string(data, pos)
    error, pos = read_string(data, pos)
    message = CommandFaulted(command_id, message_type, error)
    return message, pos


def write_command_repeated(out: BytesWriter, message: CommandRepeated) -> None:
    """Append branch number 6, then the fields of CommandRepeated."""
    write_long(out, 6)
    write_bytes(out, message.command_id)
    write_long(out, message.original_cause)


def read_command_repeated(data: bytes, pos: int) -> tuple[CommandRepeated, int]:
    """The CommandRepeated at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    original_cause, pos = read_long(data, pos)
    message = CommandRepeated(command_id, original_cause)
    return message, pos


def write_genesis(out: BytesWriter, message: Genesis) -> None:
    """Append branch number 0, then the fields of Genesis."""
    write_long(out, 0)
    write_string(out, message.exchange)
    write_string(out, message.family)
    write_long(out, message.partition)
    write_long(out, message.ledger_partitions)
    write_long(out, message.matching_partitions)
    write_long(out, message.rules_version)
    write_limits(out, message.limits)
    if message.fee_tiers:
        write_long(out, len(message.fee_tiers))
        for fee_tier in message.fee_tiers:
            write_fee_tier(out, fee_tier)
    write_long(out, 0)


def read_genesis(data: bytes, pos: int) -> tuple[Genesis, int]:
    """The Genesis at `pos` and the position after it."""
    exchange, pos = read_string(data, pos)
    family, pos = read_string(data, pos)
    partition, pos = read_long(data, pos)
    ledger_partitions, pos = read_long(data, pos)
    matching_partitions, pos = read_long(data, pos)
    rules_version, pos = read_long(data, pos)
    limits, pos = read_limits(data, pos)
    fee_tiers: list[FeeTier] = []
    count, pos = read_count(data, pos)
    for _ in range(count):
        fee_tier, pos = read_fee_tier(data, pos)
        fee_tiers.append(fee_tier)
    if count:
        pos = end_array(data, pos)
    message = Genesis(
        exchange,
        family,
        partition,
        ledger_partitions,
        matching_partitions,
        rules_version,
        limits,
        fee_tiers,
    )
    return message, pos


def write_halt_resolved(out: BytesWriter, message: HaltResolved) -> None:
    """Append branch number 4, then the fields of HaltResolved."""
    write_long(out, 4)
    write_bytes(out, message.command_id)
    write_bytes(out, message.record_hash)
    write_long(out, message.action)


def read_halt_resolved(data: bytes, pos: int) -> tuple[HaltResolved, int]:
    """The HaltResolved at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    record_hash, pos = read_bytes(data, pos)
    action = _HALT_ACTION[data[pos]]
    pos += 1
    message = HaltResolved(command_id, record_hash, action)
    return message, pos


def write_resolve_halt(out: BytesWriter, message: ResolveHalt) -> None:
    """Append branch number 3, then the fields of ResolveHalt."""
    write_long(out, 3)
    write_bytes(out, message.command_id)
    write_long(out, message.deadline_us)
    write_bytes(out, message.record_hash)
    write_long(out, message.action)


def read_resolve_halt(data: bytes, pos: int) -> tuple[ResolveHalt, int]:
    """The ResolveHalt at `pos` and the position after it."""
    command_id, pos = read_bytes(data, pos)
    deadline_us, pos = read_long(data, pos)
    record_hash, pos = read_bytes(data, pos)
    action = _HALT_ACTION[data[pos]]
    pos += 1
    message = ResolveHalt(command_id, deadline_us, record_hash, action)
    return message, pos


def write_rules_activated(out: BytesWriter, message: RulesActivated) -> None:
    """Append branch number 2, then the fields of RulesActivated."""
    write_long(out, 2)
    write_long(out, message.version)


def read_rules_activated(data: bytes, pos: int) -> tuple[RulesActivated, int]:
    """The RulesActivated at `pos` and the position after it."""
    version, pos = read_long(data, pos)
    message = RulesActivated(version)
    return message, pos


def write_tick(out: BytesWriter, message: Tick) -> None:
    """Append branch number 1, then the fields of Tick."""
    write_long(out, 1)


def read_tick(data: bytes, pos: int) -> tuple[Tick, int]:
    """The Tick at `pos` and the position after it."""
    message = Tick()
    return message, pos


WRITERS: Final[dict[type[Message], Callable[[BytesWriter, Any], None]]] = {
    Genesis: write_genesis,
    Tick: write_tick,
    RulesActivated: write_rules_activated,
    ResolveHalt: write_resolve_halt,
    HaltResolved: write_halt_resolved,
    CommandExpired: write_command_expired,
    CommandRepeated: write_command_repeated,
    CommandFaulted: write_command_faulted,
    ListMarket: write_list_market,
    ChangeMarketRules: write_change_market_rules,
    HaltMarket: write_halt_market,
    ResumeMarket: write_resume_market,
    MarketListed: write_market_listed,
    MarketRulesChanged: write_market_rules_changed,
    MarketHalted: write_market_halted,
    MarketResumed: write_market_resumed,
    MarketCommandRejected: write_market_command_rejected,
    ReferencePriceChanged: write_reference_price_changed,
    RegisterUser: write_register_user,
    EnableUser: write_enable_user,
    DisableUser: write_disable_user,
    CreateApiKey: write_create_api_key,
    RestrictApiKey: write_restrict_api_key,
    RevokeApiKey: write_revoke_api_key,
    ChangeFeeTier: write_change_fee_tier,
    ListAsset: write_list_asset,
    ChangeFees: write_change_fees,
    ChangeLimits: write_change_limits,
    UserRegistered: write_user_registered,
    UserEnabled: write_user_enabled,
    UserDisabled: write_user_disabled,
    FeeTierChanged: write_fee_tier_changed,
    ApiKeyCreated: write_api_key_created,
    ApiKeyRestricted: write_api_key_restricted,
    ApiKeyRevoked: write_api_key_revoked,
    AssetListed: write_asset_listed,
    FeesChanged: write_fees_changed,
    LimitsChanged: write_limits_changed,
    AccountsCommandRejected: write_accounts_command_rejected,
    CreditDeposit: write_credit_deposit,
    DebitWithdrawal: write_debit_withdrawal,
    AccountOpened: write_account_opened,
    DepositCredited: write_deposit_credited,
    WithdrawalDebited: write_withdrawal_debited,
    FundingRepeated: write_funding_repeated,
    FundingRejected: write_funding_rejected,
    PlaceOrder: write_place_order,
    CancelOrder: write_cancel_order,
    CancelAllOrders: write_cancel_all_orders,
    OrderAccepted: write_order_accepted,
    OrderRejected: write_order_rejected,
    CancelRequested: write_cancel_requested,
    CancelRejected: write_cancel_rejected,
    CancelAllRequested: write_cancel_all_requested,
    FillSettled: write_fill_settled,
    OrderClosed: write_order_closed,
    TradeExecuted: write_trade_executed,
    BookChanged: write_book_changed,
    OrderRested: write_order_rested,
    OrderTerminated: write_order_terminated,
    CancelRefused: write_cancel_refused,
    CancelAllCompleted: write_cancel_all_completed,
    HaltWithdrawals: write_halt_withdrawals,
    ResumeWithdrawals: write_resume_withdrawals,
    WithdrawalsHalted: write_withdrawals_halted,
    WithdrawalsResumed: write_withdrawals_resumed,
}
"""Appends a message with its branch number, by class."""

READERS: Final[list[Callable[[bytes, int], tuple[Message, int]]]] = [
    read_genesis,
    read_tick,
    read_rules_activated,
    read_resolve_halt,
    read_halt_resolved,
    read_command_expired,
    read_command_repeated,
    read_command_faulted,
    read_list_market,
    read_change_market_rules,
    read_halt_market,
    read_resume_market,
    read_market_listed,
    read_market_rules_changed,
    read_market_halted,
    read_market_resumed,
    read_market_command_rejected,
    read_reference_price_changed,
    read_register_user,
    read_enable_user,
    read_disable_user,
    read_create_api_key,
    read_restrict_api_key,
    read_revoke_api_key,
    read_change_fee_tier,
    read_list_asset,
    read_change_fees,
    read_change_limits,
    read_user_registered,
    read_user_enabled,
    read_user_disabled,
    read_fee_tier_changed,
    read_api_key_created,
    read_api_key_restricted,
    read_api_key_revoked,
    read_asset_listed,
    read_fees_changed,
    read_limits_changed,
    read_accounts_command_rejected,
    read_credit_deposit,
    read_debit_withdrawal,
    read_account_opened,
    read_deposit_credited,
    read_withdrawal_debited,
    read_funding_repeated,
    read_funding_rejected,
    read_place_order,
    read_cancel_order,
    read_cancel_all_orders,
    read_order_accepted,
    read_order_rejected,
    read_cancel_requested,
    read_cancel_rejected,
    read_cancel_all_requested,
    read_fill_settled,
    read_order_closed,
    read_trade_executed,
    read_book_changed,
    read_order_rested,
    read_order_terminated,
    read_cancel_refused,
    read_cancel_all_completed,
    read_halt_withdrawals,
    read_resume_withdrawals,
    read_withdrawals_halted,
    read_withdrawals_resumed,
]
"""Decodes a message, by branch number."""
