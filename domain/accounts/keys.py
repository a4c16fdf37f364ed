"""The API key: an immutable aggregate, the events that make its life, and what a valid key is.

A key's secret is here only sealed, as it came; nothing in `domain/` can open it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from ipaddress import ip_network
from typing import assert_never

from domain.accounts.messages import (
    ApiKeyCreated,
    ApiKeyRestricted,
    ApiKeyRevoked,
    CreateApiKey,
    KeyKind,
    RestrictApiKey,
    Scope,
)
from domain.accounts.versions import check_first, check_next

KEY_LENGTH_MAX = 64
LABEL_LENGTH_MAX = 100
ADDRESSES_MAX = 30
SEALED_SECRET_LENGTH_MAX = 1024
PUBLIC_KEY_LENGTH = 32
"""Bytes of an Ed25519 public key (RFC 8032, section 5.1.5)."""

_KEY_CHARACTERS = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_")

ApiKeyEvent = ApiKeyCreated | ApiKeyRestricted | ApiKeyRevoked


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as of `version` events; `expires_us` 0 means it has no end, `revoked` is for ever."""

    id: str
    version: int
    created_us: int
    modified_us: int
    user_id: int
    api_key: str
    kind: KeyKind
    sealed_secret: bytes
    public_key: bytes
    scopes: tuple[Scope, ...]
    ip_allowlist: tuple[str, ...]
    expires_us: int
    label: str
    revoked: bool


def key_originator(api_key: str) -> str:
    """The aggregate id of an API key."""
    return f"key-{api_key}"


def created(command: CreateApiKey, time_us: int) -> ApiKeyCreated:
    """The first event of the key that `command` asks for."""
    return ApiKeyCreated(
        command_id=command.command_id,
        originator_id=key_originator(command.api_key),
        originator_version=1,
        timestamp_us=time_us,
        user_id=command.user_id,
        api_key=command.api_key,
        kind=command.kind,
        sealed_secret=command.sealed_secret,
        public_key=command.public_key,
        scopes=command.scopes,
        ip_allowlist=command.ip_allowlist,
        expires_us=command.expires_us,
        label=command.label,
    )


def restricted(key: ApiKey, command: RestrictApiKey, time_us: int) -> ApiKeyRestricted:
    """The next event of a key whose scopes, addresses and end are replaced."""
    return ApiKeyRestricted(
        command_id=command.command_id,
        originator_id=key.id,
        originator_version=key.version + 1,
        timestamp_us=time_us,
        user_id=key.user_id,
        api_key=key.api_key,
        scopes=command.scopes,
        ip_allowlist=command.ip_allowlist,
        expires_us=command.expires_us,
    )


def revoked(key: ApiKey, command_id: bytes, time_us: int) -> ApiKeyRevoked:
    """The last event of a key."""
    return ApiKeyRevoked(command_id, key.id, key.version + 1, time_us, key.user_id, key.api_key)


def mutate_api_key(event: ApiKeyEvent, key: ApiKey | None) -> ApiKey:
    """The key after `event`; `key` is None before the first.

    Raises `OriginatorIDError` or `OriginatorVersionError` for an event out of its sequence.
    """
    if isinstance(event, ApiKeyCreated):
        check_first(event, key)
        return _created_key(event)
    assert key is not None, f"{event.originator_id} must be created before it is changed"
    check_next(event, key)
    assert not key.revoked, f"{key.id} is revoked for ever"
    key = replace(key, version=event.originator_version, modified_us=event.timestamp_us)
    match event:
        case ApiKeyRestricted():
            return replace(
                key,
                scopes=tuple(event.scopes),
                ip_allowlist=tuple(event.ip_allowlist),
                expires_us=event.expires_us,
            )
        case ApiKeyRevoked():
            return replace(key, revoked=True)
        case _:
            assert_never(event)


def is_well_formed(command: CreateApiKey) -> bool:
    """Whether the key's name and label may be, and it has what its kind needs and no more.

    HMAC needs a sealed secret, ED25519 a public key; never both.
    """
    if not 1 <= len(command.api_key) <= KEY_LENGTH_MAX:
        return False
    if not _KEY_CHARACTERS.issuperset(command.api_key) or len(command.label) > LABEL_LENGTH_MAX:
        return False
    match command.kind:
        case KeyKind.HMAC:
            secret_length = len(command.sealed_secret)
            return 1 <= secret_length <= SEALED_SECRET_LENGTH_MAX and not command.public_key
        case KeyKind.ED25519:
            return len(command.public_key) == PUBLIC_KEY_LENGTH and not command.sealed_secret
        case _:
            assert_never(command.kind)


def are_scopes(scopes: Sequence[Scope]) -> bool:
    """Whether there is a scope, and none twice."""
    return 0 < len(scopes) == len(set(scopes))


def are_addresses(ip_allowlist: Sequence[str]) -> bool:
    """Whether each entry is an IPv4 or IPv6 address or network; an empty list allows any."""
    return len(ip_allowlist) <= ADDRESSES_MAX and all(map(_is_network, ip_allowlist))


def _is_network(text: str) -> bool:
    """Whether `text` is an address, or a network in CIDR notation without host bits."""
    _, slash, length = text.partition("/")
    if "%" in text or not text.isascii() or (slash and not length.isdigit()):
        return False
    try:
        ip_network(text)
    except ValueError:
        return False
    return True


def _created_key(event: ApiKeyCreated) -> ApiKey:
    return ApiKey(
        id=event.originator_id,
        version=event.originator_version,
        created_us=event.timestamp_us,
        modified_us=event.timestamp_us,
        user_id=event.user_id,
        api_key=event.api_key,
        kind=event.kind,
        sealed_secret=event.sealed_secret,
        public_key=event.public_key,
        scopes=tuple(event.scopes),
        ip_allowlist=tuple(event.ip_allowlist),
        expires_us=event.expires_us,
        label=event.label,
        revoked=False,
    )
