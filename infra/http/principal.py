"""Who sends a request: the principal, and what an application asks to find out."""

from dataclasses import dataclass
from typing import Protocol

from domain.accounts.messages import Scope
from infra.http.parameters import Parameters


@dataclass(slots=True, frozen=True)
class Principal:
    """An authenticated sender. `deadline_us` is when the signed request ends: time + recvWindow."""

    user_id: int
    api_key: str
    scopes: frozenset[Scope]
    deadline_us: int


class Authenticator(Protocol):
    """Knows the API keys of `accounts.ev`."""

    def knows(self, api_key: str) -> bool:
        """Whether this is a key that may be used, so that limits can be counted by it."""

    def authenticate(
        self, api_key: str, parameters: Parameters, *, client_ip: str, now_us: int
    ) -> Principal:
        """The sender of a signed request.

        Raises ApiError -2014 or -2015 for the key, -1021, -1102, -1131 for the time, -1022 for
        the signature.
        """


class SessionAuthenticator(Authenticator, Protocol):
    """Knows also whether who has signed once on a connection may still ask on it."""

    def resume(
        self, api_key: str, parameters: Parameters, *, client_ip: str, now_us: int
    ) -> Principal:
        """The sender of a request on a session: as `authenticate`, but for the signature."""
