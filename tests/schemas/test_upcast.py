"""What former schemas wrote is read into the present classes."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import fastavro
import pytest
from hypothesis import HealthCheck, given, settings
from librt.strings import BytesWriter

from domain.accounts.messages import HaltWithdrawals
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS
from domain.orders.messages import (
    CancelAllRequested,
    OrderAccepted,
    OrderType,
    PlaceOrder,
    Side,
    TimeInForce,
)
from domain.protocol import Genesis
from schemas import catalogue, upcast
from schemas.codec import HEADER, WRITERS
from schemas.primitives import write_long
from schemas.record import (
    Record,
    UndecodableRecord,
    chain_hash,
    content_hash,
    decode_record,
    encode_message,
    outside_record,
)
from tests.examples import examples
from tests.schemas.data import any_datum, datum_of, types_in, written_by_fastavro

GOLDEN = Path(__file__).parent / "golden"
FORMER = [fingerprint for fingerprint, _ in upcast.STEPS]
FIRST = FORMER[0]


def golden(fingerprint: str) -> bytes:
    return bytes.fromhex((GOLDEN / f"{fingerprint}.hex").read_text(encoding="ascii"))


def archived(fingerprint: str) -> Any:
    path = catalogue.HISTORY / f"{fingerprint}.avsc"
    return json.loads(path.read_text(encoding="utf-8"))


def test_every_former_schema_has_a_golden_record():
    assert sorted(path.stem for path in GOLDEN.iterdir()) == sorted(FORMER)


def test_a_machine_without_memory_is_no_fault_of_the_record(monkeypatch):
    """One that was set aside for that would be missing here, and nowhere else."""

    def exhausted(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(fastavro, "schemaless_reader", exhausted)
    with pytest.raises(MemoryError):
        decode_record(golden(FIRST))


def test_record_from_before_counts_and_fees():
    assert decode_record(golden(FIRST)) == Record(
        prev=bytes(range(16)),
        cause_offset=4711,
        src="L1",
        cseq=7,
        cause=1234,
        time_us=1_790_000_000_123_456,
        input_hash=b"",
        messages=[
            Genesis("Börse", "L", 1, 2, 2, 1, DEFAULT_LIMITS, [FeeTier(0, 0, 0)]),
            OrderAccepted(
                command_id=bytes(range(16, 32)),
                order_id=300_001,
                user_id=17,
                market_id=2,
                market_revision=1,
                client_order_id="grid-0042",
                side=Side.SELL,
                order_type=OrderType.LIMIT,
                time_in_force=TimeInForce.IOC,
                price_ticks=6_001_000,
                lots=250,
                quote_amount=0,
                held_asset=1,
                held_amount=2_500_000,
                order_count_10s=0,
                order_count_1d=0,
            ),
            CancelAllRequested(bytes(16), 17, 2, [300_001, 299_999]),
        ],
    )


def test_an_order_from_before_it_said_in_which_rules_it_is_counted():
    (order,) = decode_record(golden("3ef0f1b516523126")).messages
    assert isinstance(order, PlaceOrder)
    assert (order.client_order_id, order.price_ticks, order.lots) == ("mine-1", 60_000, 12)
    assert order.market_revision == 0


def test_chain_hash_of_a_former_record_is_that_of_its_own_bytes():
    assert chain_hash(golden(FIRST)).hex() == "7e3c3fe42602c349c25ab509a73811ad"


@pytest.mark.parametrize("fingerprint", FORMER)
def test_any_record_of_a_former_schema_is_read(fingerprint):
    schema = archived(fingerprint)
    types = types_in(schema)

    @settings(
        max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(any_datum(catalogue.RECORD, types))
    def check(datum):
        record = decode_record(written_by_fastavro(schema, datum))
        assert all(type(message) in WRITERS for message in record.messages)
        present = datum_of(record)
        assert present | {"messages": []} == datum | {"messages": []}
        for (name, old), (present_name, new) in zip(
            datum["messages"], present["messages"], strict=True
        ):
            assert (name, old) == (present_name, {field: new[field] for field in old})

    check()


@pytest.mark.parametrize("fingerprint", FORMER[1:])
def test_same_bytes_are_read_as_the_same_messages(fingerprint):
    """So that a record may be compared with what its shard writes today."""
    schema = archived(fingerprint)
    changed = upcast.changed_since(fingerprint)
    assert changed is not None

    @settings(
        max_examples=examples(60), deadline=None, suppress_health_check=[HealthCheck.too_slow]
    )
    @given(any_datum(catalogue.RECORD, types_in(schema)))
    def check(datum):
        value = written_by_fastavro(schema, datum)
        today = HEADER + value[len(HEADER) :]
        if any(name in changed for name, _ in datum["messages"]):
            assert content_hash(value) != content_hash(today)
            return
        assert decode_record(value) == decode_record(today)
        assert content_hash(value) == content_hash(today)

    check()


def test_under_a_schema_that_did_not_write_it_a_record_is_another():
    bodies = golden(FIRST)[len(HEADER) :]
    assert upcast.changed_since(FIRST) is None
    assert content_hash(golden(FIRST)) != content_hash(HEADER + bodies)
    newer = HaltWithdrawals(b"c" * 16, 1, 1, "so")
    body = outside_record("operator", 1, [encode_message(newer)])[len(HEADER) :]
    former = bytes.fromhex("c30162b16e693c0db562")
    assert content_hash(former + body) != content_hash(HEADER + body)


@pytest.mark.parametrize("length", range(len(golden(FIRST))))
def test_truncated_former_record_is_undecodable(length):
    with pytest.raises(UndecodableRecord):
        decode_record(golden(FIRST)[:length])


def test_trailing_bytes_after_a_former_record_are_undecodable():
    with pytest.raises(UndecodableRecord, match="would have written other bytes"):
        decode_record(golden(FIRST) + b"\x00")


def test_array_that_tells_its_bytes_is_legal_avro_but_undecodable():
    value = golden(FIRST)
    count_at = value.index(b"\x06\x00\x0cB")
    items = value[count_at + 1 : -1]
    size = BytesWriter()
    write_long(size, len(items))
    told = b"".join([value[:count_at], b"\x05", size.getvalue(), items, b"\x00"])
    schema = fastavro.parse_schema(archived(FIRST))
    read: Any = fastavro.schemaless_reader(BytesIO(told[10:]), schema, None)
    assert len(read["messages"]) == 3
    with pytest.raises(UndecodableRecord, match="would have written other bytes"):
        decode_record(told)


def test_fastavro_can_read_every_record_with_the_archived_schema_alone():
    schema = fastavro.parse_schema(archived(FIRST))
    record: Any = fastavro.schemaless_reader(BytesIO(golden(FIRST)[10:]), schema, None)
    assert record["src"] == "L1"
