"""Secrets in memory: opened once, never one for another's, and not without end."""

from dataclasses import replace

import pytest

import commands.opened_secrets as module
from commands.credentials import Credential
from commands.opened_secrets import OpenedSecrets
from domain.accounts.messages import KeyKind
from infra.keys import KeyRefused, SealingKeys, open_keys

NAME = "k" * 16


class CountingKeys:
    """Real keys that count how often they open something."""

    def __init__(self, keys: SealingKeys) -> None:
        self.keys = keys
        self.opened = 0

    def unseal(self, sealed: bytes, associated: bytes) -> bytes:
        self.opened += 1
        return self.keys.unseal(sealed, associated)


def credential(keys: SealingKeys, secret: bytes, name: str = NAME) -> Credential:
    sealed = keys.seal(secret, name.encode())
    return Credential(name, 1, KeyKind.HMAC, sealed, b"", frozenset(), (), 0)


@pytest.fixture
def keys(tmp_path):
    return CountingKeys(open_keys(tmp_path / "key"))


def test_a_secret_is_opened_once(keys):
    secrets = OpenedSecrets(keys)
    one = credential(keys.keys, b"one")
    assert [secrets(one), secrets(one), keys.opened] == [b"one", b"one", 1]


def test_a_key_made_anew_has_its_new_secret(keys):
    secrets = OpenedSecrets(keys)
    assert secrets(credential(keys.keys, b"old")) == b"old"
    assert secrets(credential(keys.keys, b"new")) == b"new"


def test_a_secret_moved_to_another_key_is_refused_however_often_it_was_opened(keys):
    secrets = OpenedSecrets(keys)
    one = credential(keys.keys, b"one")
    secrets(one)
    with pytest.raises(KeyRefused):
        secrets(replace(one, api_key="x" * 16))


def test_the_oldest_of_too_many_is_forgotten(keys, monkeypatch):
    monkeypatch.setattr(module, "MAX_REMEMBERED", 2)
    secrets = OpenedSecrets(keys)
    some = [credential(keys.keys, b"%d" % n, f"key-{n:012}") for n in range(3)]
    for each in (*some, some[2], some[0]):
        assert secrets(each) == b"%d" % int(each.api_key[4:])
    assert keys.opened == 4
