"""Genesis: record 0 of every inbox, written once whatever happens."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from commands.genesis import write_genesis
from domain.fees import FeeTier
from domain.limits import DEFAULT_LIMITS
from domain.protocol import Genesis, Tick
from infra.log import LogRecord, Partition
from infra.refusal import Refusal
from schemas.record import decode_record, encode_message, outside_record

FEE_TIERS = [FeeTier(0, 1, 2)]


class Inboxes:
    """An in-memory log of inboxes."""

    def __init__(self, *, replicates: bool = True) -> None:
        self.values: dict[Partition, list[bytes]] = {}
        self.replicates = replicates

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        return 0, len(self.values.get((topic, partition), ()))

    def scan(self, topic: str, partition: int, start: int, stop: int) -> Iterator[LogRecord]:
        for offset, value in enumerate(self.values[(topic, partition)][start:stop], start):
            yield LogRecord(topic, partition, offset, -1, value)

    def produce(self, topic, partition, value, *, time_us=None, acked=None) -> None:
        assert time_us == 5
        self.values.setdefault((topic, partition), []).append(value)

    def flush(self, timeout_s: float) -> bool:
        return self.replicates


def write(log, *, limits=DEFAULT_LIMITS, fee_tiers=FEE_TIERS) -> list[str]:
    return write_genesis(
        log,
        exchange="test",
        ledger_partitions=2,
        matching_partitions=3,
        limits=limits,
        fee_tiers=fee_tiers,
        now_us=5,
    )


def test_every_inbox_begins_with_its_own_genesis():
    log = Inboxes()
    assert write(log) == ["A0", "A1", "L0", "L1", "M0", "M1", "M2"]
    record = decode_record(log.values[("matching.in", 2)][0])
    (genesis,) = record.messages
    assert isinstance(genesis, Genesis)
    assert (record.src, record.cseq, record.time_us) == ("operator", 0, 5)
    assert (genesis.family, genesis.partition) == ("M", 2)
    assert (genesis.ledger_partitions, genesis.matching_partitions) == (2, 3)


def test_what_was_written_before_stays():
    log = Inboxes()
    write(log)
    del log.values[("ledger.in", 1)]
    assert write(log) == ["L1"]
    assert write(log) == []
    assert {len(values) for values in log.values.values()} == {1}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        (outside_record("clock", 5, [encode_message(Tick())]), "Tick from clock"),
        (outside_record("gw", 5, []), "nothing from gw"),
        (b"nonsense", "unreadable"),
    ],
    ids=["tick", "empty", "nonsense"],
)
def test_an_inbox_that_begins_with_something_else_is_refused(value, found):
    """Its shard has halted, or will: that is not to be called an exchange."""
    log = Inboxes()
    log.values[("ledger.in", 1)] = [value]
    with pytest.raises(Refusal, match=rf"ledger\.in\.1 must be Genesis, was {found}"):
        write(log)
    assert list(log.values) == [("ledger.in", 1)], "nothing is written beside it"


def test_limits_and_fees_that_nobody_could_set_later_are_refused():
    log = Inboxes()
    with pytest.raises(Refusal, match="every limit must be positive"):
        write(log, limits=replace(DEFAULT_LIMITS, orders_per_10s=0))
    with pytest.raises(Refusal, match="with tier 0"):
        write(log, fee_tiers=[FeeTier(1, 0, 0)])
    with pytest.raises(Refusal, match="with tier 0"):
        write(log, fee_tiers=[])
    assert log.values == {}


def test_a_log_that_does_not_take_it_is_a_refusal():
    with pytest.raises(Refusal, match="the log must take Genesis within 15 s, did not"):
        write(Inboxes(replicates=False))
