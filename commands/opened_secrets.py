"""The HMAC secrets of keys in use, unsealed once each and remembered in memory alone."""

from commands.credentials import Credential
from infra.keys import SealingKeys

MAX_REMEMBERED = 10_000


class OpenedSecrets:
    """Opens a credential's secret; the second time for nothing.

    Remembered by the sealed bytes, which are never the same for two keys: whoever makes a key anew
    is not met with an old secret, and a revoked key has no credential to ask with.
    """

    def __init__(self, keys: SealingKeys) -> None:
        self._keys = keys
        self._opened: dict[tuple[str, bytes], bytes] = {}

    def __call__(self, credential: Credential) -> bytes:
        """The secret. Raises `KeyRefused` if it was sealed with another key file."""
        place = (credential.api_key, credential.sealed_secret)
        secret = self._opened.get(place)
        if secret is None:
            secret = self._keys.unseal(credential.sealed_secret, credential.api_key.encode())
            if len(self._opened) >= MAX_REMEMBERED:
                del self._opened[next(iter(self._opened))]
            self._opened[place] = secret
        return secret
