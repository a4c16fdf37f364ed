"""What an accounts shard knows, and the canonical form in which snapshots and hashes see it."""

from dataclasses import astuple, dataclass
from typing import Any

from domain.accounts.keys import ApiKey, key_originator
from domain.accounts.messages import KeyKind, Scope
from domain.accounts.users import User, user_originator
from domain.decider import State
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS, Limits
from domain.reference import Asset


@dataclass(slots=True)
class AccountsState(State):
    """Users and API keys of one partition; assets at partition 0 alone; fees and limits at all.

    `ledger_partitions` is 0 until `Genesis`. Users, keys, assets and fee tiers are never removed.
    """

    exchange: str
    partition: int
    ledger_partitions: int
    matching_partitions: int
    rules_version: int
    limits: Limits
    fee_tiers: dict[int, FeeTier]
    assets: dict[str, Asset]
    users: dict[int, User]
    user_ids: dict[bytes, int]
    keys: dict[str, ApiKey]
    halted_withdrawals: dict[int, str]
    """Asset id → why nothing of it may leave; at partition 0 alone."""

    def next_user_id(self) -> int:
        """The id of the next user: users are counted from 1, and id mod P is the partition."""
        return (len(self.users) + 1) * self.ledger_partitions + self.partition

    def next_asset_id(self) -> int:
        """The id of the next asset: 1, 2, … in the order of listing."""
        return len(self.assets) + 1


def initial() -> AccountsState:
    """The state before `Genesis`."""
    return AccountsState(
        time_us=0,
        exchange="",
        partition=0,
        ledger_partitions=0,
        matching_partitions=0,
        rules_version=0,
        limits=DEFAULT_LIMITS,
        fee_tiers={},
        assets={},
        users={},
        user_ids={},
        keys={},
        halted_withdrawals={},
    )


def dump(state: AccountsState) -> list[Any]:
    """The state as nested lists, sorted by id; bytes as hexadecimal text."""
    return [
        state.time_us,
        state.exchange,
        state.partition,
        state.ledger_partitions,
        state.matching_partitions,
        state.rules_version,
        list(astuple(state.limits)),
        [list(astuple(tier)) for _, tier in sorted(state.fee_tiers.items())],
        [list(astuple(asset)) for asset in sorted(state.assets.values(), key=_asset_id)],
        [_dump_user(state.users[user_id]) for user_id in sorted(state.users)],
        [_dump_key(state.keys[api_key]) for api_key in sorted(state.keys)],
        [list(item) for item in sorted(state.halted_withdrawals.items())],
    ]


def load(data: list[Any]) -> AccountsState:
    """The state that `dump` described."""
    time_us, exchange, partition, ledgers, matchings, version, limits, *collections = data
    fee_tiers, assets, users, keys, halted_withdrawals = collections
    state = AccountsState(
        time_us=time_us,
        exchange=exchange,
        partition=partition,
        ledger_partitions=ledgers,
        matching_partitions=matchings,
        rules_version=version,
        limits=Limits(*limits),
        fee_tiers={tier[0]: FeeTier(*tier) for tier in fee_tiers},
        assets={asset[1]: Asset(*asset) for asset in assets},
        users={},
        user_ids={},
        keys={},
        halted_withdrawals=dict(halted_withdrawals),
    )
    for item in users:
        user = _load_user(item)
        state.users[user.user_id] = user
        state.user_ids[user.login_digest] = user.user_id
    for item in keys:
        key = _load_key(item)
        state.keys[key.api_key] = key
    return state


def _asset_id(asset: Asset) -> int:
    return asset.asset_id


def _dump_user(user: User) -> list[Any]:
    return [
        user.user_id,
        user.version,
        user.created_us,
        user.modified_us,
        user.login_digest.hex(),
        user.fee_tier,
        user.enabled,
    ]


def _load_user(item: list[Any]) -> User:
    user_id, version, created_us, modified_us, login_digest, fee_tier, enabled = item
    return User(
        id=user_originator(user_id),
        version=version,
        created_us=created_us,
        modified_us=modified_us,
        user_id=user_id,
        login_digest=bytes.fromhex(login_digest),
        fee_tier=fee_tier,
        enabled=enabled,
    )


def _dump_key(key: ApiKey) -> list[Any]:
    return [
        key.api_key,
        key.version,
        key.created_us,
        key.modified_us,
        key.user_id,
        int(key.kind),
        key.sealed_secret.hex(),
        key.public_key.hex(),
        [int(scope) for scope in key.scopes],
        list(key.ip_allowlist),
        key.expires_us,
        key.label,
        key.revoked,
    ]


def _load_key(item: list[Any]) -> ApiKey:
    api_key, version, created_us, modified_us, user_id, kind, secret, public, *rest = item
    scopes, ip_allowlist, expires_us, label, revoked = rest
    return ApiKey(
        id=key_originator(api_key),
        version=version,
        created_us=created_us,
        modified_us=modified_us,
        user_id=user_id,
        api_key=api_key,
        kind=KeyKind(kind),
        sealed_secret=bytes.fromhex(secret),
        public_key=bytes.fromhex(public),
        scopes=tuple(Scope(scope) for scope in scopes),
        ip_allowlist=tuple(ip_allowlist),
        expires_us=expires_us,
        label=label,
        revoked=revoked,
    )
