"""A log that was tampered with is told from one that was not, and the place is named."""

import functools
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.matching.messages import TradeExecuted
from domain.orders.messages import OrderAccepted, PlaceOrder, Side
from domain.protocol import Tick
from infra.log import Mark, Partition
from schemas.record import (
    chain_hash,
    decode_record,
    encode_message,
    encode_record,
    outside_record,
)
from schemas.topics import inbox
from streams.audit import inspect
from streams.audit.archive import Archive, position_name
from streams.audit.findings import Kind
from streams.recovery import plan
from tests.examples import examples
from tests.simulation.processes import START_US
from tests.simulation.world import World
from tests.streams.audited_log import (
    Partitions,
    archived,
    partitions_of,
    renumbered,
    replayed,
    told,
    traded,
    with_ends_of,
)

LEDGER_INBOX = ("ledger.in", 0)


@functools.cache
def world() -> World:
    return traded(1)


def judged(partitions: Partitions) -> str:
    """What a replay says of a tampered copy, as a copy with its own ends."""
    return told(replayed(archived(world(), partitions)).findings)


def changed(place: Partition, offset: int, value: bytes) -> Partitions:
    partitions = partitions_of(world())
    partitions[place][offset] = (offset, value)
    return partitions


def offsets_of(place: Partition, *, outside: bool) -> list[int]:
    """The offsets of the readable records that came from outside, or from shards."""
    return [
        offset
        for offset, value in partitions_of(world())[place]
        if len(value) > 16 and (decode_record(value).cseq == 0) == outside
    ]


def test_an_untouched_log_is_equal():
    assert judged(partitions_of(world())) == ""


@settings(max_examples=examples(120), deadline=None)
@given(data=st.data())
def test_a_changed_byte_is_found_wherever_it_is(data):
    partitions = partitions_of(world())
    place = data.draw(st.sampled_from(sorted(partitions)))
    offset, value = data.draw(st.sampled_from(partitions[place]))
    last = len(value) - 1
    if place[0] == "dlq":
        last = value.index(b'"why"') - 2
    at = data.draw(st.integers(0, last))
    spoiled = bytearray(value)
    spoiled[at] ^= data.draw(st.integers(1, 255))
    partitions[place][offset] = (offset, bytes(spoiled))
    assert position_name(place, offset) in judged(partitions)


@pytest.mark.parametrize("place", [("ledger.in", 0), ("matching.in", 1), ("accounts.in", 0)])
def test_each_byte_of_an_outside_record_is_attested(place):
    offset = offsets_of(place, outside=True)[1]
    value = partitions_of(world())[place][offset][1]
    for at in range(0, len(value), 5):
        spoiled = value[:at] + bytes([value[at] ^ 1]) + value[at + 1 :]
        assert position_name(place, offset) in judged(changed(place, offset, spoiled)), at


def test_a_changed_input_is_named_and_what_follows_from_it_is_not():
    offset, place = _an_order()
    record = decode_record(partitions_of(world())[place][offset][1])
    for message in record.messages:
        if isinstance(message, PlaceOrder):
            message.lots += 1
    messages = [encode_message(message) for message in record.messages]
    forged = outside_record(record.src, record.time_us, messages)
    verdict = replayed(archived(world(), changed(place, offset, forged)))
    roots = verdict.findings.roots()
    assert [(finding.kind, finding.position) for finding in roots] == [
        (Kind.INPUT_CHANGED, position_name(place, offset))
    ]
    assert f"input {position_name(place, offset)} is not what L" in roots[0].words
    assert roots[0].expected is not None
    assert roots[0].found is not None
    assert roots[0].expected["input_hash"] != roots[0].found["input_hash"]


def _an_order() -> tuple[int, Partition]:
    """An order that reached the book, by where its record stands."""
    for place in (("ledger.in", 0), ("ledger.in", 1)):
        for offset in offsets_of(place, outside=True):
            record = decode_record(partitions_of(world())[place][offset][1])
            if any(isinstance(message, PlaceOrder) for message in record.messages):
                return offset, place
    raise AssertionError("nobody placed an order")


@pytest.mark.parametrize("topic", ["ledger.in", "ledger.ev", "matching.in", "matching.ev"])
@pytest.mark.parametrize("careful", [False, True])
def test_a_missing_record_is_found(topic, careful):
    place = (topic, 0)
    original = archived(world())
    for gone in range(1, original.end(place) - 1):
        partitions = partitions_of(world())
        del partitions[place][gone]
        if careful:
            partitions[place] = renumbered(partitions[place])
        said = told(replayed(with_ends_of(archived(world(), partitions), original)).findings)
        assert position_name(place, gone) in said or (careful and place[0] in said), gone
        if not careful:
            assert f"MISSING {position_name(place, gone)}" in said


@pytest.mark.parametrize("topic", ["ledger.in", "ledger.ev", "matching.in", "matching.ev"])
def test_a_lost_end_is_found(topic):
    place = (topic, 1)
    original = archived(world())
    partitions = partitions_of(world())
    del partitions[place][-2:]
    copy = archived(world(), partitions)
    under_old = told(replayed(with_ends_of(copy, original)).findings)
    assert f"MISSING {position_name(place, original.end(place) - 2)}" in under_old
    assert f"MISSING {position_name(place, original.end(place) - 2)}" in told(
        replayed(copy).findings
    )


@pytest.mark.parametrize("topic", ["ledger.in", "ledger.ev", "matching.in", "matching.ev", "dlq"])
def test_what_a_copy_has_beyond_its_manifest_is_found(topic):
    place = (topic, 0)
    original = archived(world())
    partitions = partitions_of(world())
    end = original.end(place)
    partitions[place].append((end, partitions[place][-1][1]))
    said = told(replayed(with_ends_of(archived(world(), partitions), original)).findings)
    assert f"FORGED {position_name(place, end)}: the manifest says" in said


@pytest.mark.parametrize("topic", ["ledger.in", "ledger.ev", "matching.in", "matching.ev"])
def test_a_swapped_pair_is_found(topic):
    place = (topic, 0)
    values = partitions_of(world())[place]
    for first in range(len(values) - 1):
        partitions = partitions_of(world())
        swapped = partitions[place]
        swapped[first] = (first, values[first + 1][1])
        swapped[first + 1] = (first + 1, values[first][1])
        said = judged(partitions)
        named = (position_name(place, first), position_name(place, first + 1))
        assert any(position in said for position in named), first


def test_a_forged_fill_is_found():
    """Right number, right chain, an order that is open: only its source says it never was."""
    partitions = partitions_of(world())
    values = partitions[LEDGER_INBOX]
    order, last = _open_order(), _last_from("M0", LEDGER_INBOX)
    trade = TradeExecuted(
        market_id=order.market_id,
        trade_id=999,
        price_ticks=order.price_ticks,
        lots=order.lots,
        taker_side=Side.SELL if order.side == Side.BUY else Side.BUY,
        maker_order_id=order.order_id,
        taker_order_id=order.order_id + 1,
        maker_remaining_lots=0,
    )
    after = decode_record(last)
    forged = encode_record(
        prev=chain_hash(last),
        cause_offset=after.cause_offset + 1,
        src="M0",
        cseq=after.cseq + 1,
        cause=after.cause + 1,
        time_us=after.time_us,
        input_hash=b"",
        messages=[encode_message(trade)],
    )
    values.append((len(values), forged))
    assert f"FORGED {position_name(LEDGER_INBOX, len(values) - 1)}: M0 → " in judged(partitions)


def _open_order() -> OrderAccepted:
    host = world().hosts()["L0"]
    ids = list(host.shard.state.orders)
    for _, value in partitions_of(world())[("ledger.ev", 0)]:
        for event in decode_record(value).messages:
            if isinstance(event, OrderAccepted) and event.order_id in ids:
                return event
    raise AssertionError("no order is open")


def _last_from(src: str, place: Partition) -> bytes:
    return [
        value
        for _, value in partitions_of(world())[place]
        if len(value) > 16 and decode_record(value).src == src
    ][-1]


@pytest.mark.parametrize("marked", [False, True])
def test_a_forged_outside_order_is_found(marked):
    """Slipped in among the others, or appended and claimed to be done with."""
    partitions = partitions_of(world())
    offset, place = _an_order()
    values = partitions[place]
    forged = outside_record("gw", START_US + 10**9, [encode_message(Tick())])
    if not marked:
        partitions[place] = renumbered([*values[:offset], (0, forged), *values[offset:]])
        assert position_name(place, offset) in judged(partitions)
        return
    end = len(values)
    values.append((end, forged))
    archive = archived(world(), partitions)
    marks = dict(archive.manifest.marks)
    marks[place] = Mark(end + 1, marks[place].metadata)
    said = told(replayed(_with_marks(archive, marks)).findings)
    assert position_name(place, end + 1) in said or position_name(place, end) in said


def _with_marks(archive: Archive, marks: dict[Partition, Mark]) -> Archive:
    manifest = archive.manifest
    return Archive(
        archive.source,
        type(manifest)(
            manifest.ledger_partitions, manifest.matching_partitions, manifest.bounds, marks
        ),
    )


@pytest.mark.parametrize("metadata", ["1 " + "00" * 16, "", "what?"])
def test_a_mark_that_tells_of_another_input_is_found(metadata):
    archive = archived(world())
    place = inbox("M0")
    marks = dict(archive.manifest.marks)
    marks[place] = Mark(marks[place].offset, metadata)
    said = told(replayed(_with_marks(archive, marks)).findings)
    assert f"INPUT_CHANGED {position_name(place, marks[place].offset)}" in said


def test_a_foreign_record_in_an_outbox_is_found():
    partitions = partitions_of(world())
    values = partitions[("ledger.ev", 0)]
    values.append((len(values), outside_record("gw", START_US, [])))
    values.append((len(values), partitions[("ledger.ev", 1)][-1][1]))
    said = judged(partitions)
    assert f"FORGED {position_name(('ledger.ev', 0), len(values) - 2)}" in said
    assert f"FORGED {position_name(('ledger.ev', 0), len(values) - 1)}" in said


@pytest.mark.parametrize(
    ("place", "at", "mask"), [(("accounts.in", 0), 42, 98), (("ledger.in", 1), 21, 67)]
)
def test_a_changed_genesis_is_found(place, at, mask):
    """It named a partition that does not exist; it passed for a repetition of nobody's record."""
    spoiled = bytearray(partitions_of(world())[place][0][1])
    spoiled[at] ^= mask
    assert position_name(place, 0) in judged(changed(place, 0, bytes(spoiled)))


@pytest.mark.parametrize(
    ("old", "new"), [(b'"partition": 0', b'"partition": 7'), (b": ", b":\n"), (b'"why"', b'"who"')]
)
def test_a_notice_that_no_host_would_write_is_found(old, new):
    offset, value = partitions_of(world())[("dlq", 0)][-1]
    notice = value.replace(old, new)
    assert f"dlq.0@{offset}" in judged(changed(("dlq", 0), offset, notice))


@pytest.mark.parametrize(
    "value", [b"[" * 100_000, b'{"topic": "ledger.in", "partition": 1e999, "offset": 0}', b"\xff"]
)
def test_what_is_no_notice_at_all_is_found_and_shown(value):
    offset, _ = partitions_of(world())[("dlq", 0)][-1]
    archive = changed(("dlq", 0), offset, value)
    assert f"dlq.0@{offset}" in judged(archive)
    (record,) = archived(world(), archive).records(("dlq", 0), offset, offset + 1)
    assert inspect.shown(record)["position"] == f"dlq.0@{offset}"
    assert plan._noticed(value) == (("", 0), 0)


def test_a_quarantine_notice_of_nothing_is_found():
    partitions = partitions_of(world())
    place = ("dlq", 0)
    notice = json.loads(partitions[place][0][1])
    notice["offset"] -= 1
    partitions[place].append((len(partitions[place]), json.dumps(notice).encode()))
    assert f"FORGED {position_name(place, len(partitions[place]) - 1)}" in judged(partitions)
