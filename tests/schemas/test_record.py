"""The record's envelope, its hashes, its readable form, and what hostile bytes do."""

from hashlib import blake2b

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounts.messages import ApiKeyRestricted, Scope
from domain.decider import Command, Message
from domain.limits import DEFAULT_LIMITS
from domain.matching.messages import BookChanged, OrderTerminated
from domain.orders.messages import CancelAllRequested, CloseReason, Side
from domain.protocol import Genesis, Tick
from schemas import upcast
from schemas.codec import HEADER
from schemas.record import (
    Record,
    UndecodableRecord,
    chain_hash,
    decode_head,
    decode_record,
    encode_message,
    input_part,
    outside_record,
    record_hash,
    to_dict,
)
from tests.examples import examples
from tests.streams.records import encoded

FILLED = OrderTerminated(b"", 300_001, 2, CloseReason.FILLED, 0)
LEVEL = BookChanged(2, 17, Side.SELL, 6_001_000, 250)
ALL = CancelAllRequested(bytes(range(16)), 5, 2, [300_001, 300_003])
RESTRICTED = ApiKeyRestricted(
    bytes(16), "key", 2, 1_000, 5, "abc", [Scope.READ, Scope.TRADE], ["10.0.0.0/8"], 0
)
FOUNDED = Genesis("Börse", "L", 0, 2, 2, 1, DEFAULT_LIMITS, [])

ENVELOPE = HEADER + b"\x00\x00\x04M0\x02\x04\x06\x00"
"""All before the messages: no prev, offset 0, source M0, cseq 1, cause 2, time 3, no hash."""


def sample(*, cause_offset: int = 4711, src: str = "M0", prev: bytes = bytes(16)) -> Record:
    messages: list[Message] = [FILLED, LEVEL, Tick(), ALL, RESTRICTED, FOUNDED]
    return Record(prev, cause_offset, src, 9, 1_234, 1_790_000_000_123_456, b"h" * 16, messages)


def chain_of(record: Record) -> str:
    return chain_hash(encoded(record)).hex()


def test_record_survives_the_bytes():
    assert decode_record(encoded(sample())) == sample()


def test_envelope_is_what_the_schema_says_byte_for_byte():
    written = Record(b"", 0, "M0", 1, 2, 3, b"", [])
    assert encoded(written) == ENVELOPE + b"\x00"


def test_outside_record_is_in_no_chain():
    value = outside_record("gw", 77, [encode_message(ALL)])
    assert decode_record(value) == Record(b"", 0, "gw", 0, 0, 77, b"", [ALL])


def test_chain_is_the_hash_of_prev_and_the_suffix_from_src_on():
    value = encoded(sample())
    suffix = value[value.index(b"\x04M0") :]
    assert input_part(value) == bytes(16) + suffix
    assert chain_hash(value) == blake2b(bytes(16) + suffix, digest_size=16).digest()


def test_chain_depends_on_everything_but_the_offset():
    chain = chain_of(sample())
    assert chain_of(sample(cause_offset=4712)) == chain
    assert chain_of(sample(cause_offset=-(2**63))) == chain
    assert chain_of(sample(src="M1")) != chain
    assert chain_of(sample(prev=b"\x01" * 16)) != chain
    for field, other in [("cseq", 10), ("cause", 0), ("time_us", 1), ("input_hash", b"")]:
        changed = sample()
        setattr(changed, field, other)
        assert chain_of(changed) != chain, field
    fewer = sample()
    fewer.messages.pop()
    assert chain_of(fewer) != chain


def test_record_hash_covers_every_byte():
    value = encoded(sample())
    assert record_hash(value) == blake2b(value, digest_size=16).digest()
    assert record_hash(encoded(sample(cause_offset=4712))) != record_hash(value)


def test_readable_form():
    shown = to_dict(
        Record(b"\xab" * 16, 1, "M0", 2, 3, 4, b"", [LEVEL, RESTRICTED, FOUNDED, Tick()])
    )
    assert shown["prev"] == "ab" * 16
    assert shown["input_hash"] == ""
    level, restricted, founded, tick = shown["messages"]
    assert level == {
        "type": "BookChanged",
        "market_id": 2,
        "book_seq": 17,
        "side": "SELL",
        "price_ticks": 6_001_000,
        "lots": 250,
    }
    assert restricted["scopes"] == ["READ", "TRADE"]
    assert restricted["command_id"] == "00" * 16
    assert founded["limits"]["orders_per_10s"] == DEFAULT_LIMITS.orders_per_10s
    assert tick == {"type": "Tick"}


def test_class_outside_the_catalogue_is_not_encoded():
    with pytest.raises(TypeError, match="a message of the catalogue was wanted, was Command"):
        encode_message(Command(bytes(16), 1))


def test_tombstone_is_undecodable():
    with pytest.raises(UndecodableRecord, match="tombstone"):
        decode_record(None)


def test_a_head_is_read_whatever_stands_behind_it_and_in_its_header():
    value = encoded(sample())
    head = ("M0", sample().cseq, sample().cause_offset, len(sample().messages))
    for other in (value, bytes(10) + value[10:], value[:-1]):
        assert decode_head(other) == head
    for bad in (None, b"", HEADER, ENVELOPE, value[:10] + b"\x01"):
        with pytest.raises(UndecodableRecord):
            decode_head(bad)


@pytest.mark.parametrize("length", range(len(encoded(sample()))))
def test_truncated_record_is_undecodable(length):
    with pytest.raises(UndecodableRecord):
        decode_record(encoded(sample())[:length])


LONG_ONE_TOO_LONG = bytes([0x82, 0x00])
TEN_BYTES_TOO_MUCH = b"\xff" * 9 + b"\x02"
BOOK = encode_message(LEVEL)[:1]


@pytest.mark.parametrize(
    ("tail", "complaint"),
    [
        (b"", "end early"),
        (b"\x00\x00", "ends at byte"),
        (b"\x01", "count was -1"),
        (b"\x01\x04" + encode_message(Tick()) + b"\x00", "count was -1"),
        (
            b"\x04" + encode_message(Tick()) * 2 + b"\x02" + encode_message(Tick()) + b"\x00",
            "block",
        ),
        (b"\x02" + encode_message(Tick()), "end early"),
        (b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01", "count was"),
        (b"\x02\x01\x00", "must not be negative"),
        (b"\x02\xfe\x01\x00", "mean nothing"),
        (b"\x02" + BOOK + b"\x02\x02\x04\x02\x02\x00", "mean nothing"),
        (b"\x02" + BOOK + b"\x02\x02\x01\x02\x02\x00", "mean nothing"),
        (b"\x02" + BOOK + LONG_ONE_TOO_LONG + b"\x02\x00\x02\x02\x00", "as short as it can"),
        (b"\x02" + BOOK + TEN_BYTES_TOO_MUCH + b"\x02\x00\x02\x02\x00", "64 bits"),
        (b"\x02" + BOOK + b"\xff" * 100_000, "64 bits"),
    ],
)
def test_bad_messages_are_undecodable(tail, complaint):
    with pytest.raises(UndecodableRecord, match=complaint):
        decode_record(ENVELOPE + tail)


def test_bad_text_and_bad_lengths_are_undecodable():
    good = ENVELOPE + b"\x00"
    assert decode_record(good).src == "M0"
    for bad in (b"\x04\xff\xfe", b"\x04\xed\xa0", b"\x03M0", b"\xfe\xff\xff\xff\x0fM0"):
        with pytest.raises(UndecodableRecord):
            decode_record(good.replace(b"\x04M0", bad))


def test_unknown_schema_is_undecodable():
    value = b"\xc3\x01" + bytes(8) + encoded(sample())[10:]
    with pytest.raises(UndecodableRecord, match="known schema was wanted, began c3010000"):
        decode_record(value)


@pytest.mark.parametrize("value", [b"", b"\xc3\x01", HEADER, HEADER + b"\x20", HEADER + b"\x01"])
def test_hashed_part_of_too_few_bytes_is_undecodable(value):
    with pytest.raises(UndecodableRecord):
        input_part(value)


HEADERS = [HEADER, b"", *(b"\xc3\x01" + bytes.fromhex(known) for known, _ in upcast.STEPS)]


def decodes_canonically_or_not_at_all(value: bytes) -> None:
    try:
        record = decode_record(value)
    except UndecodableRecord:
        return
    if value.startswith(HEADER):
        assert encoded(record) == value


@settings(max_examples=examples(200), deadline=None)
@given(st.sampled_from(HEADERS), st.binary(max_size=200))
def test_any_bytes(header, tail):
    decodes_canonically_or_not_at_all(header + tail)


@settings(max_examples=examples(400), deadline=None)
@given(
    st.sampled_from(HEADERS),
    st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255), st.integers(0, 2))),
)
def test_any_damage(header, damages):
    body = bytearray(encoded(sample())[10:])
    for place, byte, kind in damages:
        at = place % len(body)
        body[at : at + (kind < 2)] = b"" if kind == 1 and len(body) > 1 else bytes([byte])
    decodes_canonically_or_not_at_all(header + bytes(body))
