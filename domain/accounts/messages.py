"""Messages of the accounts family: users, API keys, and the exchange's assets, fees and limits."""

from dataclasses import dataclass
from enum import IntEnum

from domain.decider import Command, Outcome
from domain.fees import FeeTier
from domain.limits import Limits


class KeyKind(IntEnum):
    """How requests of an API key are signed."""

    HMAC = 0
    ED25519 = 1


class Scope(IntEnum):
    """What an API key may do."""

    READ = 0
    TRADE = 1
    WITHDRAW = 2


class AccountsReason(IntEnum):
    """Why an accounts command was refused, the first that applies."""

    UNKNOWN_USER = 0
    LOGIN_TAKEN = 1
    USER_DISABLED = 2
    ALREADY_ENABLED = 3
    ALREADY_DISABLED = 4
    UNKNOWN_KEY = 5
    KEY_TAKEN = 6
    KEY_REVOKED = 7
    INVALID_KEY = 8
    INVALID_SCOPES = 9
    INVALID_ADDRESSES = 10
    INVALID_EXPIRY = 11
    UNKNOWN_FEE_TIER = 12
    INVALID_FEES = 13
    INVALID_LIMITS = 14
    INVALID_ASSET = 15
    ASSET_TAKEN = 16
    UNKNOWN_ASSET = 17
    ALREADY_HALTED = 18
    NOT_HALTED = 19
    INVALID_REASON = 20


@dataclass(slots=True)
class RegisterUser(Command):
    """Make a user. Only a keyed digest of the login (32 bytes) is told to the log.

    The digest's first 8 bytes, big-endian, mod P are the partition of the user.
    """

    login_digest: bytes
    fee_tier: int


@dataclass(slots=True)
class EnableUser(Command):
    """Let a disabled user trade again."""

    user_id: int


@dataclass(slots=True)
class DisableUser(Command):
    """Refuse the user's new orders and withdrawals; cancels stay possible."""

    user_id: int


@dataclass(slots=True)
class CreateApiKey(Command):
    """Give a user an API key: a sealed HMAC secret or an Ed25519 public key, never both."""

    user_id: int
    api_key: str
    kind: KeyKind
    sealed_secret: bytes
    public_key: bytes
    scopes: list[Scope]
    ip_allowlist: list[str]
    expires_us: int
    label: str


@dataclass(slots=True)
class RestrictApiKey(Command):
    """Replace what a key may do, from where, and until when (0: no end)."""

    user_id: int
    api_key: str
    scopes: list[Scope]
    ip_allowlist: list[str]
    expires_us: int


@dataclass(slots=True)
class RevokeApiKey(Command):
    """End a key for ever."""

    user_id: int
    api_key: str


@dataclass(slots=True)
class ChangeFeeTier(Command):
    """Put a user into another fee tier."""

    user_id: int
    fee_tier: int


@dataclass(slots=True)
class ListAsset(Command):
    """Make an asset known to the exchange, with its number of decimals."""

    code: str
    name: str
    decimals: int


@dataclass(slots=True)
class ChangeFees(Command):
    """Replace the fee schedule."""

    fee_tiers: list[FeeTier]


@dataclass(slots=True)
class ChangeLimits(Command):
    """Replace the limits."""

    limits: Limits


@dataclass(slots=True)
class HaltWithdrawals(Command):
    """Let nothing of an asset leave the exchange; `reason` says why, in a few words."""

    asset_id: int
    reason: str


@dataclass(slots=True)
class ResumeWithdrawals(Command):
    """Let the asset leave again; `reason` says why, in a few words."""

    asset_id: int
    reason: str


@dataclass(slots=True)
class AggregateEvent(Outcome):
    """An event of a user or key aggregate: its id, its version after this event, its log time."""

    originator_id: str
    originator_version: int
    timestamp_us: int


@dataclass(slots=True)
class UserRegistered(AggregateEvent):
    """A user exists; `user_id` mod P is the partition of the user's shards."""

    user_id: int
    login_digest: bytes
    fee_tier: int


@dataclass(slots=True)
class UserEnabled(AggregateEvent):
    """The user may trade again."""

    user_id: int


@dataclass(slots=True)
class UserDisabled(AggregateEvent):
    """The user may only cancel."""

    user_id: int


@dataclass(slots=True)
class FeeTierChanged(AggregateEvent):
    """The user pays the rates of another tier."""

    user_id: int
    fee_tier: int


@dataclass(slots=True)
class ApiKeyCreated(AggregateEvent):
    """A key exists; `expires_us` 0 means it has no end."""

    user_id: int
    api_key: str
    kind: KeyKind
    sealed_secret: bytes
    public_key: bytes
    scopes: list[Scope]
    ip_allowlist: list[str]
    expires_us: int
    label: str


@dataclass(slots=True)
class ApiKeyRestricted(AggregateEvent):
    """The key has other scopes, addresses or end."""

    user_id: int
    api_key: str
    scopes: list[Scope]
    ip_allowlist: list[str]
    expires_us: int


@dataclass(slots=True)
class ApiKeyRevoked(AggregateEvent):
    """The key opens nothing any more."""

    user_id: int
    api_key: str


@dataclass(slots=True)
class AssetListed(Outcome):
    """An asset exists; its amounts are counted in units of 10^-decimals."""

    asset_id: int
    code: str
    name: str
    decimals: int


@dataclass(slots=True)
class FeesChanged(Outcome):
    """The fee schedule is now this."""

    fee_tiers: list[FeeTier]


@dataclass(slots=True)
class LimitsChanged(Outcome):
    """The limits are now these."""

    limits: Limits


@dataclass(slots=True)
class WithdrawalsHalted(Outcome):
    """Withdrawals of the asset are refused from here on."""

    asset_id: int
    reason: str


@dataclass(slots=True)
class WithdrawalsResumed(Outcome):
    """Withdrawals of the asset are judged as usual again."""

    asset_id: int
    reason: str


@dataclass(slots=True)
class AccountsCommandRejected(Outcome):
    """An accounts command had no effect, and why."""

    reason: AccountsReason
