"""API keys as `accounts.ev` tells them, in memory: the gateway's only knowledge of who may ask."""

import ipaddress
from dataclasses import dataclass

from domain.accounts.messages import (
    ApiKeyCreated,
    ApiKeyRestricted,
    ApiKeyRevoked,
    KeyKind,
    Scope,
)
from domain.decider import Message

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(slots=True)
class Credential:
    """One key that is not revoked. `networks` empty: from anywhere; `expires_us` 0: no end."""

    api_key: str
    user_id: int
    kind: KeyKind
    sealed_secret: bytes
    public_key: bytes
    scopes: frozenset[Scope]
    networks: tuple[Network, ...]
    expires_us: int

    def admits(self, client_ip: str, now_us: int) -> bool:
        """Whether the key may be used now and from this address."""
        if self.expires_us and now_us >= self.expires_us:
            return False
        if not self.networks:
            return True
        try:
            address = ipaddress.ip_address(client_ip)
        except ValueError:
            return False
        return any(address in network for network in self.networks)


class Credentials:
    """All keys that open something, by key."""

    def __init__(self) -> None:
        self._by_key: dict[str, Credential] = {}

    def find(self, api_key: str) -> Credential | None:
        """The key's credential, None if there is no such key or it was revoked."""
        return self._by_key.get(api_key)

    def apply(self, event: Message) -> None:
        """Fold one event of `accounts.ev`; what concerns no key is ignored."""
        match event:
            case ApiKeyCreated():
                self._by_key[event.api_key] = _credential(event)
            case ApiKeyRestricted():
                credential = self._by_key[event.api_key]
                credential.scopes = frozenset(event.scopes)
                credential.networks = _networks(event.ip_allowlist)
                credential.expires_us = event.expires_us
            case ApiKeyRevoked():
                self._by_key.pop(event.api_key, None)
            case _:
                pass


def _credential(event: ApiKeyCreated) -> Credential:
    return Credential(
        api_key=event.api_key,
        user_id=event.user_id,
        kind=event.kind,
        sealed_secret=event.sealed_secret,
        public_key=event.public_key,
        scopes=frozenset(event.scopes),
        networks=_networks(event.ip_allowlist),
        expires_us=event.expires_us,
    )


def _networks(allowlist: list[str]) -> tuple[Network, ...]:
    return tuple(ipaddress.ip_network(entry, strict=False) for entry in allowlist)
