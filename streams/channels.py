"""Channels between shards: gapless numbering and hash chains, on both ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from schemas.record import chain_hash, encode_record
from streams.halts import Halt, HaltReason

GENESIS_CHAIN: Final = bytes(16)
MAX_OUTPUT_BYTES: Final = 512 * 1024


@dataclass(slots=True)
class Channel:
    """One end of a channel: the last sequence number and the chain hash after it."""

    cseq: int
    chain: bytes


@dataclass(slots=True)
class Output:
    """A record to append to a topic partition."""

    topic: str
    partition: int
    value: bytes


def is_next(channel: Channel, cseq: int, prev: bytes, value: bytes) -> bool:
    """Whether the record continues the channel; False for a duplicate.

    Raises `Halt`: GAP if records are missing before it, DIVERGENCE if it was computed from
    another history than the one received so far.
    """
    if cseq > channel.cseq + 1:
        raise Halt(HaltReason.GAP, f"cseq {channel.cseq + 1} wanted, was {cseq}")
    if cseq == channel.cseq + 1:
        if prev != channel.chain:
            raise Halt(
                HaltReason.DIVERGENCE,
                f"prev {channel.chain.hex()} wanted at cseq {cseq}, was {prev.hex()}",
            )
        return True
    if cseq == channel.cseq and chain_hash(value) != channel.chain:
        raise Halt(HaltReason.DIVERGENCE, f"cseq {cseq} came a second time with other content")
    return False


def advance(channel: Channel, cseq: int, value: bytes) -> None:
    """Note that the record was received."""
    channel.cseq = cseq
    channel.chain = chain_hash(value)


@dataclass(slots=True)
class Origin:
    """What all records that one accepted input causes have in common."""

    src: str
    cause: int
    cause_offset: int
    time_us: int


def seal(
    channel: Channel, origin: Origin, input_hash: bytes, messages: Sequence[bytes]
) -> list[bytes]:
    """The next records of a channel for these encoded messages, advancing the channel.

    One record, or several of one cause where it would exceed `MAX_OUTPUT_BYTES`.
    """
    values = []
    for chunk in _chunks(messages):
        value = encode_record(
            prev=channel.chain,
            cause_offset=origin.cause_offset,
            src=origin.src,
            cseq=channel.cseq + 1,
            cause=origin.cause,
            time_us=origin.time_us,
            input_hash=input_hash,
            messages=chunk,
        )
        advance(channel, channel.cseq + 1, value)
        values.append(value)
    return values


def _chunks(messages: Sequence[bytes]) -> list[Sequence[bytes]]:
    if sum(map(len, messages)) <= MAX_OUTPUT_BYTES:
        return [messages]
    chunks: list[Sequence[bytes]] = []
    chunk: list[bytes] = []
    room = MAX_OUTPUT_BYTES
    for message in messages:
        if chunk and len(message) > room:
            chunks.append(chunk)
            chunk, room = [], MAX_OUTPUT_BYTES
        chunk.append(message)
        room -= len(message)
    chunks.append(chunk)
    return chunks
