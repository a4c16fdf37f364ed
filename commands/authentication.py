"""Signed requests: key, time window and signature, checked as Binance's documentation says."""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Callable

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from commands.credentials import Credential, Credentials
from domain.accounts.messages import KeyKind
from infra.http import errors
from infra.http.parameters import FIRST_MICROSECONDS, Parameters
from infra.http.principal import Principal
from infra.keys import VOUCHED, Vouch, same_secret

DEFAULT_RECV_WINDOW_US = 5_000_000
MAX_RECV_WINDOW_US = 60_000_000
AHEAD_US = 1_000_000

_API_KEY = re.compile(r"[A-Za-z0-9_-]{16,128}\Z")
_RECV_WINDOW = r"^[0-9]{1,19}(\.[0-9]{1,3})?$"
_MAX_TIMESTAMP = 10**18

OpenSecret = Callable[[Credential], bytes]
"""The HMAC secret of a credential, unsealed for this one use."""


class KeyAuthenticator:
    """Authenticates requests against the keys that `accounts.ev` tells of.

    With `vouch`, a gateway that has authenticated the sender may sign in its place.
    """

    def __init__(
        self, credentials: Credentials, open_secret: OpenSecret, vouch: Vouch | None = None
    ) -> None:
        self._credentials = credentials
        self._open_secret = open_secret
        self._vouch = vouch

    def knows(self, api_key: str) -> bool:
        """Whether there is such a key; limits are counted by it then."""
        return self._credentials.find(api_key) is not None

    def authenticate(
        self, api_key: str, parameters: Parameters, *, client_ip: str, now_us: int
    ) -> Principal:
        """The sender; see `Authenticator`. What the scopes allow is the caller's to judge."""
        credential = self._admitted(api_key, client_ip, now_us)
        signature = parameters.text("signature")
        deadline_us = check_time(parameters, now_us)
        # In the loop on purpose: HMAC takes 2 us and Ed25519 110 us, of which a thread would cost
        # 25 us again, and requests of one connection could pass each other there.
        if not self._is_signed(credential, parameters.signed_payload, signature):
            raise errors.invalid_signature()
        return Principal(credential.user_id, api_key, credential.scopes, deadline_us)

    def resume(
        self, api_key: str, parameters: Parameters, *, client_ip: str, now_us: int
    ) -> Principal:
        """The sender on a session, if the key still opens something; see `SessionAuthenticator`."""
        credential = self._admitted(api_key, client_ip, now_us)
        deadline_us = check_time(parameters, now_us)
        return Principal(credential.user_id, api_key, credential.scopes, deadline_us)

    def _admitted(self, api_key: str, client_ip: str, now_us: int) -> Credential:
        if not _API_KEY.match(api_key):
            raise errors.api_key_malformed()
        credential = self._credentials.find(api_key)
        if credential is None or not credential.admits(client_ip, now_us):
            raise errors.api_key_refused()
        return credential

    def _is_signed(self, credential: Credential, payload: bytes, signature: str) -> bool:
        if self._vouch is not None and signature.startswith(VOUCHED):
            return same_secret(signature, self._vouch(credential.api_key, payload))
        if credential.kind is KeyKind.HMAC:
            return _is_hmac(self._open_secret(credential), payload, signature)
        return _is_ed25519(credential.public_key, payload, signature)


def check_time(parameters: Parameters, now_us: int) -> int:
    """The request's deadline, timestamp + recvWindow, in microseconds since the epoch.

    Accepted if timestamp < now + 1 s and now - timestamp <= recvWindow (Binance, "Timing
    security"); otherwise -1021. A recvWindow above a minute is -1131.
    """
    timestamp = parameters.integer("timestamp", high=_MAX_TIMESTAMP)
    timestamp_us = timestamp if timestamp >= FIRST_MICROSECONDS else timestamp * 1_000
    recv_window_us = _recv_window_us(parameters)
    if timestamp_us >= now_us + AHEAD_US:
        raise errors.ahead_of_server()
    if now_us - timestamp_us > recv_window_us:
        raise errors.outside_recv_window()
    return timestamp_us + recv_window_us


def signed_command_id(api_key: str, payload: bytes) -> bytes:
    """The 16-byte identity of a signed request: the same bytes have one effect."""
    return hashlib.blake2b(api_key.encode() + b"\0" + payload, digest_size=16).digest()


def keyed_command_id(user_id: int, key: str) -> bytes:
    """The 16-byte identity of what an account sends with an Idempotency-Key, however signed."""
    # No API key has a blank, so that this is no signed request's identity.
    return signed_command_id(f"user {user_id}", key.encode())


def _recv_window_us(parameters: Parameters) -> int:
    """recvWindow is in milliseconds, with up to three decimals."""
    text = parameters.matching("recvWindow", _RECV_WINDOW)
    if text is None:
        return DEFAULT_RECV_WINDOW_US
    whole, _, decimals = text.partition(".")
    window_us = int(whole) * 1_000 + int(decimals.ljust(3, "0"))
    if window_us > MAX_RECV_WINDOW_US:
        raise errors.recv_window_too_long()
    return window_us


def _is_hmac(secret: bytes, payload: bytes, signature: str) -> bool:
    expected = hmac.digest(secret, payload, "sha256").hex()
    return hmac.compare_digest(expected.encode(), signature.lower().encode())


def _is_ed25519(public_key: bytes, payload: bytes, signature: str) -> bool:
    # A client that forgot to percent-encode "+" meant no space: base64 has none.
    try:
        raw = base64.b64decode(signature.replace(" ", "+"), validate=True)
        Ed25519PublicKey.from_public_bytes(public_key).verify(raw, payload)
    except (InvalidSignature, binascii.Error, ValueError):
        return False
    return True
