"""Secrets that live outside the log: the key that seals what is in it, and the operator's token."""

import contextlib
import hashlib
import hmac
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from infra.refusal import Refusal

KEY_BYTES = 32
NONCE_BYTES = 12
KEY_ID_BYTES = 8
VOUCHED = "vouched-"
"""How a voucher begins: no signature of a client does."""

Vouch = Callable[[str, bytes], str]
"""`SealingKeys.voucher`: of an API key and a payload, what vouches for their sender."""


class KeyRefused(Refusal):
    """A key file or a sealed text cannot be used; the text is one sentence without the secret."""


@dataclass(slots=True, frozen=True, repr=False)
class SealingKeys:
    """The keys derived from one key file: to seal, to make digests of logins, and to vouch."""

    key_id: bytes
    _sealing: bytes
    _digesting: bytes
    _vouching: bytes

    def seal(self, plain: bytes, associated: bytes) -> bytes:
        """AES-256-GCM: key id (8) ‖ nonce (12) ‖ ciphertext and tag, bound to `associated`."""
        nonce = os.urandom(NONCE_BYTES)
        cipher = AESGCM(self._sealing).encrypt(nonce, plain, self.key_id + associated)
        return self.key_id + nonce + cipher

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        """What was sealed with this key for `associated`. Raises `KeyRefused` for anything else."""
        key_id, rest = sealed[:KEY_ID_BYTES], sealed[KEY_ID_BYTES:]
        if key_id != self.key_id:
            wanted, found = self.key_id.hex(), key_id.hex()
            raise KeyRefused(f"the sealing key must be {wanted}, was {found}")
        nonce, cipher = rest[:NONCE_BYTES], rest[NONCE_BYTES:]
        try:
            return AESGCM(self._sealing).decrypt(nonce, cipher, self.key_id + associated)
        except (InvalidTag, ValueError) as error:
            raise KeyRefused("a sealed text must be whole and in its place, was not") from error

    def voucher(self, api_key: str, payload: bytes) -> str:
        """What one process of this exchange shows another for a sender whom it has authenticated.

        HMAC-SHA256 over key and payload, in hex after `VOUCHED`.
        """
        signed = api_key.encode() + b"\0" + payload
        return VOUCHED + hmac.digest(self._vouching, signed, "sha256").hex()

    def login_digest(self, login: str) -> bytes:
        """HMAC-SHA256 (32 bytes) of a login: equal logins are told apart by no one else."""
        return hmac.digest(self._digesting, login.encode(), "sha256")


def open_keys(path: Path) -> SealingKeys:
    """The keys of this file, which is made with mode 0600 if it is missing.

    Raises `KeyRefused` if others may read the file or it does not hold 64 hex digits.
    """
    text = _private_text(path, secrets.token_hex(KEY_BYTES))
    try:
        root = bytes.fromhex(text)
    except ValueError:
        root = b""
    if len(root) != KEY_BYTES:
        raise KeyRefused(f"{path} must hold {2 * KEY_BYTES} hex digits, did not")
    key_id = hashlib.blake2b(root, digest_size=KEY_ID_BYTES, person=b"key id").digest()
    purposes = (b"seal", b"login digest", b"voucher")
    return SealingKeys(key_id, *(_derived(root, purpose) for purpose in purposes))


def open_admin_token(path: Path) -> str:
    """The operator's bearer token in this file, made with mode 0600 if it is missing.

    Raises `KeyRefused` if others may read the file or the token has under 32 characters.
    """
    token = _private_text(path, secrets.token_urlsafe(KEY_BYTES))
    if len(token) < 32:
        raise KeyRefused(f"{path} must hold a token of 32 or more characters, did not")
    return token


def same_secret(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in a time that does not tell how far they agree."""
    # What a header may hold that is not UTF-8 arrives as halves of characters.
    return hmac.compare_digest(given.encode(errors="surrogateescape"), expected.encode())


def _derived(root: bytes, purpose: bytes) -> bytes:
    return HKDF(SHA256(), KEY_BYTES, salt=None, info=b"logbourse " + purpose).derive(root)


def _private_text(path: Path, fresh: str) -> str:
    if not path.exists():
        _write_private(path, fresh)
    mode = path.stat().st_mode & 0o777
    if mode & 0o077:
        raise KeyRefused(f"{path} must have mode 0600, was {mode:04o}")
    return path.read_text().strip()


def _write_private(path: Path, text: str) -> None:
    """Whole or not at all, and never over a file that another process made meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "w") as stream:
        stream.write(text + "\n")
        stream.flush()
        os.fsync(handle)
    with contextlib.suppress(FileExistsError):
        os.link(draft, path)
    draft.unlink()
