"""The generated codec against fastavro: every message, both directions, extremes included."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.matching.messages import BookChanged, OrderTerminated
from domain.orders.messages import CancelAllRequested, CloseReason, Side
from schemas import catalogue
from schemas.record import decode_record, encode_message, encode_record
from tests.examples import examples
from tests.schemas.data import (
    EXTREMES,
    INT64_MAX,
    INT64_MIN,
    any_datum,
    datum_of,
    extreme,
    written_by_fastavro,
)
from tests.streams.records import encoded

TYPES = catalogue.named_types()
SCHEMA = catalogue.writer_schema()
MESSAGES = catalogue.message_names(TYPES)
RECORD = any_datum(catalogue.RECORD, TYPES)


def envelope(*messages: tuple[str, Any]) -> dict[str, Any]:
    return {
        "prev": bytes(16),
        "cause_offset": 4711,
        "src": "L1",
        "cseq": 9,
        "cause": 1234,
        "time_us": 1_790_000_000_123_456,
        "input_hash": b"",
        "messages": list(messages),
    }


def check_both_directions(datum: dict[str, Any]) -> None:
    value = written_by_fastavro(SCHEMA, datum)
    record = decode_record(value)
    assert datum_of(record) == datum
    again = encoded(record)
    assert again == value


@pytest.mark.parametrize("choice", sorted(EXTREMES))
@pytest.mark.parametrize("name", MESSAGES)
def test_message_of_extremes(name, choice):
    message = extreme(name, TYPES, EXTREMES[choice])
    check_both_directions(envelope((name, message), (name, message)))


@pytest.mark.parametrize("name", MESSAGES)
def test_any_message(name):
    @settings(
        max_examples=examples(15), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(any_datum(name, TYPES))
    def check(message):
        check_both_directions(envelope((name, message)))

    check()


@settings(max_examples=examples(100), deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(RECORD)
def test_any_record(datum):
    check_both_directions(datum)


@pytest.mark.parametrize("choice", sorted(EXTREMES))
def test_envelope_of_extremes(choice):
    fields = TYPES[catalogue.RECORD]["fields"][:-1]
    datum = {field["name"]: EXTREMES[choice](field["type"]) for field in fields}
    check_both_directions(datum | {"messages": []})


@given(st.integers(INT64_MIN, INT64_MAX))
def test_any_long(price_ticks):
    level = ("logbourse.matching.BookChanged", {"market_id": 1, "book_seq": 2, "side": "SELL"})
    check_both_directions(envelope((level[0], level[1] | {"price_ticks": price_ticks, "lots": 0})))


def test_longs_at_every_length_border():
    borders = [
        sign * (1 << bits) + step for bits in range(63) for sign in (1, -1) for step in (-1, 0)
    ]
    decoded = decode_record(
        encode_record(
            prev=b"",
            cause_offset=0,
            src="M0",
            cseq=1,
            cause=1,
            time_us=0,
            input_hash=b"",
            messages=[encode_message(CancelAllRequested(b"", 1, 1, borders))],
        )
    )
    assert decoded.messages == [CancelAllRequested(b"", 1, 1, borders)]


@pytest.mark.parametrize("beyond", [INT64_MIN - 1, INT64_MAX + 1, 1 << 200])
def test_int_beyond_64_bits_is_not_encoded(beyond):
    with pytest.raises(OverflowError, match="a long must fit in 64 bits"):
        encode_message(BookChanged(1, 1, Side.BUY, beyond, 1))
    with pytest.raises(OverflowError):
        encode_message(CancelAllRequested(b"", 1, 1, [beyond]))
    with pytest.raises(OverflowError):
        encode_record(
            prev=b"",
            cause_offset=0,
            src="",
            cseq=beyond,
            cause=0,
            time_us=0,
            input_hash=b"",
            messages=[],
        )


def test_decoded_parts_have_the_very_types_of_the_class():
    filled = OrderTerminated(b"", 5, 1, CloseReason.FILLED, 0)
    value = written_by_fastavro(
        SCHEMA,
        envelope(
            (
                "logbourse.matching.OrderTerminated",
                {
                    "command_id": b"",
                    "order_id": 5,
                    "market_id": 1,
                    "reason": "FILLED",
                    "remaining_lots": 0,
                },
            )
        ),
    )
    (message,) = decode_record(value).messages
    assert message == filled
    assert isinstance(message, OrderTerminated)
    assert type(message.reason) is CloseReason
    assert type(message.command_id) is bytes
