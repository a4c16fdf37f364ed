"""The notice of what was set aside: one form, and nothing else is taken for one."""

import pytest

from streams.quarantine import Notice, decode_notice, encode_notice

NOTICE = Notice("ledger.in", 1, 7, -1, "a record was wanted", "ab" * 16)
SAID = (
    b'{"topic": "ledger.in", "partition": 1, "offset": 7, "message_index": -1, '
    b'"why": "a record was wanted", "record_hash": "' + b"ab" * 16 + b'"}'
)


def test_a_notice_has_the_form_that_it_had_since_the_first_host():
    assert encode_notice(NOTICE) == SAID
    assert decode_notice(SAID) == NOTICE


@pytest.mark.parametrize(
    "value",
    [None, b"", b"\xff", b"7", b"[]", b"{}", SAID[:-1], SAID.replace(b"7", b'"x"'), b"[" + SAID],
)
def test_what_is_no_notice_is_none(value):
    assert decode_notice(value) is None


def test_a_notice_in_other_bytes_says_the_same_and_is_not_what_a_host_says():
    other = SAID.replace(b": ", b":")
    assert decode_notice(other) == NOTICE
    assert encode_notice(NOTICE) != other
