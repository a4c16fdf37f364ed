"""Records that a test puts into a log, genuine or forged, and a reader of what came out."""

from collections.abc import Sequence

from domain.decider import Message
from domain.ledger.messages import CreditDeposit
from domain.limits import DEFAULT_LIMITS
from domain.protocol import Genesis
from schemas.record import (
    Record,
    chain_hash,
    decode_record,
    encode_message,
    encode_record,
    outside_record,
)
from streams.shard import Step

NOW_US = 1_700_000_000_000_000
DEADLINE_US = NOW_US + 5_000_000
GENESIS = outside_record(
    "operator",
    NOW_US,
    [encode_message(Genesis("test", "L", 0, 2, 1, 1, DEFAULT_LIMITS, []))],
)


def deposit(amount: int, number: int = 0, deadline_us: int = DEADLINE_US) -> CreditDeposit:
    """A deposit command whose id is `number`, or the amount."""
    command_id = (number or amount).to_bytes(16)
    return CreditDeposit(command_id, deadline_us, 2, 1, amount, f"r{amount}")


def from_outside(*messages: Message, source: str = "operator", time_us: int = NOW_US) -> bytes:
    """A record of an outside source."""
    return outside_record(source, time_us, [encode_message(message) for message in messages])


def from_shard(
    cseq: int, *messages: Message, prev: bytes = bytes(16), src: str = "L1", time_us: int = NOW_US
) -> bytes:
    """A record of another shard's channel."""
    return encode_record(
        prev=prev,
        cause_offset=0,
        src=src,
        cseq=cseq,
        cause=cseq,
        time_us=time_us,
        input_hash=b"",
        messages=[encode_message(message) for message in messages],
    )


def channel(*batches: Sequence[Message], src: str = "L1") -> list[bytes]:
    """Consecutive records of another shard's channel, from its first on."""
    values: list[bytes] = []
    for cseq, messages in enumerate(batches, start=1):
        prev = chain_hash(values[-1]) if values else bytes(16)
        values.append(from_shard(cseq, *messages, prev=prev, src=src))
    return values


def encoded(record: Record) -> bytes:
    """The bytes of a record, whatever its fields say."""
    return encode_record(
        prev=record.prev,
        cause_offset=record.cause_offset,
        src=record.src,
        cseq=record.cseq,
        cause=record.cause,
        time_us=record.time_us,
        input_hash=record.input_hash,
        messages=[encode_message(message) for message in record.messages],
    )


def forged(value: bytes | None, **changes: object) -> bytes:
    """The record with other fields, as somebody would write it who may write to the topic."""
    record = decode_record(value)
    for name, change in changes.items():
        setattr(record, name, change)
    return encoded(record)


def events_of(step: Step) -> list[Message]:
    """What the shard wrote into its own outbox."""
    return [
        message
        for output in step.outputs
        if output.topic.endswith(".ev")
        for message in decode_record(output.value).messages
    ]
