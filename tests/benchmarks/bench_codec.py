"""Messages per second of the generated codec, beside fastavro on the same records."""

from collections.abc import Callable
from io import BytesIO

import fastavro

from schemas import catalogue
from schemas.codec import HEADER
from schemas.record import decode_record, encode_message, encode_record
from schemas.topics import inbox, outbox
from tests.benchmarks.exchange import MemoryExchange
from tests.benchmarks.mix import BLOCK, LEDGERS, MIX, draw
from tests.benchmarks.report import Effort, Figure, median_of, rates, when_compiled
from tests.schemas.data import datum_of

COMMANDS = 20_000
FLOOR = 6.0


def measure(effort: Effort) -> list[Figure]:
    """Decoding and encoding, by the codec and by fastavro."""
    count = effort.count(COMMANDS, least=BLOCK * LEDGERS)
    exchange = MemoryExchange()
    exchange.play(draw(count))
    places = (inbox("L0"), inbox("M0"), outbox("L0"), outbox("M0"))
    values = [value for place in places for value in exchange.partitions[place]]
    messages = sum(len(decode_record(value).messages) for value in values)
    size = sum(map(len, values))
    method = (
        f"codec: {messages:,} messages in {len(values):,} records, {size / messages:.0f} bytes a "
        f"message, as a ledger and a matching shard read and write them ({MIX}); "
        "to and from the classes of domain/, by fastavro to and from dicts; per second of processor"
    )
    works: dict[str, Callable[[], None]] = {
        "codec, decode": _decoding(values),
        "codec, encode": _encoding(values),
        "fastavro, decode": _fastavro_decoding(values),
        "fastavro, encode": _fastavro_encoding(values),
    }
    figures = [
        median_of(name, "messages/s", rates(effort, messages, _always(work)), method)
        for name, work in works.items()
    ]
    return [*figures, _times(figures[0], figures[2]), _times(figures[1], figures[3])]


def _times(ours: Figure, theirs: Figure) -> Figure:
    runs = [one / other for one, other in zip(ours.runs, theirs.runs, strict=True)]
    name = f"{ours.name}, times fastavro"
    return median_of(name, "x", runs, ours.method, floor=when_compiled(FLOOR))


def _always(work: Callable[[], None]) -> Callable[[], Callable[[], None]]:
    return lambda: work


def _decoding(values: list[bytes]) -> Callable[[], None]:
    def decode() -> None:
        for value in values:
            decode_record(value)

    return decode


def _encoding(values: list[bytes]) -> Callable[[], None]:
    records = [decode_record(value) for value in values]

    def encode() -> None:
        for record in records:
            encode_record(
                prev=record.prev,
                cause_offset=record.cause_offset,
                src=record.src,
                cseq=record.cseq,
                cause=record.cause,
                time_us=record.time_us,
                input_hash=record.input_hash,
                messages=[encode_message(message) for message in record.messages],
            )

    return encode


def _fastavro_decoding(values: list[bytes]) -> Callable[[], None]:
    schema = fastavro.parse_schema(catalogue.writer_schema())
    bodies = [value[len(HEADER) :] for value in values]

    def decode() -> None:
        for body in bodies:
            fastavro.schemaless_reader(BytesIO(body), schema, None)

    return decode


def _fastavro_encoding(values: list[bytes]) -> Callable[[], None]:
    schema = fastavro.parse_schema(catalogue.writer_schema())
    data = [datum_of(decode_record(value)) for value in values]

    def encode() -> None:
        for datum in data:
            fastavro.schemaless_writer(BytesIO(), schema, datum)

    return encode
