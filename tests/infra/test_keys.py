"""The key file: made once, private, and what it seals opens nowhere else."""

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.keys import KeyRefused, open_admin_token, open_keys, same_secret


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return open_keys(tmp_path_factory.mktemp("keys") / "encryption.key")


def test_the_first_start_makes_a_private_file_and_later_ones_reuse_it(tmp_path):
    path = tmp_path / "deep" / "encryption.key"
    first, second = open_keys(path), open_keys(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert second.unseal(first.seal(b"secret", b"key-1"), b"key-1") == b"secret"
    assert os.listdir(path.parent) == ["encryption.key"]


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path, mode):
    path = tmp_path / "encryption.key"
    open_keys(path)
    path.chmod(mode)
    with pytest.raises(KeyRefused, match=f"must have mode 0600, was {mode:04o}"):
        open_keys(path)


@pytest.mark.parametrize("text", ["", "00" * 31, "zz" * 32, "00" * 33])
def test_a_file_without_a_key_is_refused_and_not_shown(tmp_path, text):
    path = tmp_path / "encryption.key"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeyRefused, match="must hold 64 hex digits") as refusal:
        open_keys(path)
    assert not text or text not in str(refusal.value)


@given(plain=st.binary(max_size=200), associated=st.binary(max_size=40))
def test_what_is_sealed_opens_in_its_place(keys, plain, associated):
    assert keys.unseal(keys.seal(plain, associated), associated) == plain


@given(data=st.data(), plain=st.binary(min_size=1, max_size=64))
def test_one_changed_bit_anywhere_is_refused(keys, data, plain):
    sealed = bytearray(keys.seal(plain, b"key-1"))
    bit = data.draw(st.integers(0, 8 * len(sealed) - 1))
    sealed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(KeyRefused):
        keys.unseal(bytes(sealed), b"key-1")


def test_a_secret_moved_to_another_key_is_refused(keys):
    with pytest.raises(KeyRefused, match="in its place"):
        keys.unseal(keys.seal(b"secret", b"key-1"), b"key-2")


@pytest.mark.parametrize("length", range(40))
def test_a_sealed_text_cut_short_is_refused(keys, length):
    sealed = keys.seal(b"secret of some length", b"")
    with pytest.raises(KeyRefused):
        keys.unseal(sealed[:length], b"")


def test_another_file_is_another_key_and_says_which(tmp_path, keys):
    other = open_keys(tmp_path / "other.key")
    with pytest.raises(KeyRefused, match=f"must be {other.key_id.hex()}, was {keys.key_id.hex()}"):
        other.unseal(keys.seal(b"secret", b""), b"")


def test_login_digests_are_stable_and_keyed(tmp_path, keys):
    other = open_keys(tmp_path / "other.key")
    assert len(keys.login_digest("ann@example.org")) == 32
    assert keys.login_digest("ann@example.org") == keys.login_digest("ann@example.org")
    assert keys.login_digest("ann@example.org") != keys.login_digest("bob@example.org")
    assert keys.login_digest("ann@example.org") != other.login_digest("ann@example.org")


def test_keys_do_not_show_themselves(keys):
    assert keys._sealing.hex() not in repr(keys)
    assert repr(keys._sealing) not in repr(keys)


def test_the_admin_token_is_private_and_kept(tmp_path):
    path = tmp_path / "admin.token"
    token = open_admin_token(path)
    assert open_admin_token(path) == token
    assert path.stat().st_mode & 0o777 == 0o600
    assert same_secret(token, token)
    assert not same_secret(token[:-1], token)
    assert not same_secret("é", token)


def test_a_short_admin_token_is_refused(tmp_path):
    path = tmp_path / "admin.token"
    path.write_text("letmein")
    path.chmod(0o600)
    with pytest.raises(KeyRefused, match="32 or more"):
        open_admin_token(path)
