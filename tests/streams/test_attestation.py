"""What an outbox says of inputs that are gone, or are others now, in the order of the file."""

import random

import pytest

from schemas.record import encode_record
from streams.attestation import STEP_BACK, Attestation
from streams.halts import Halt, HaltReason
from tests.simulation.faults import Faults
from tests.simulation.log import LogWorld, SimLog

OUTBOX = ("ledger.ev", 0)


def hash_after(ordinal: int) -> bytes:
    return ordinal.to_bytes(16)


def told_of(ordinal: int, input_hash: bytes = b"", src: str = "L0") -> bytes:
    return encode_record(
        prev=bytes(16),
        cause_offset=ordinal,
        src=src,
        cseq=ordinal,
        cause=ordinal,
        time_us=1,
        input_hash=input_hash or hash_after(ordinal),
        messages=[],
    )


def log_of(*values: bytes) -> SimLog:
    log = SimLog(LogWorld(Faults(random.Random(0), crashes_left=0, duplicate_rate=0.0)))
    log.world.partitions[OUTBOX] = list(values)
    return log


def records(*ordinals: int) -> list[bytes]:
    return [told_of(ordinal) for ordinal in ordinals]


def test_an_outbox_that_tells_of_the_inputs_that_are_read_is_met_and_done_with():
    attestation = Attestation(log_of(*records(*range(1, 8))), "L0", 4)
    attestation.expect_told(mark=7, snapshot=7)
    for ordinal in range(5, 8):
        attestation.meet(ordinal, hash_after(ordinal))
        assert not attestation.finished
    attestation.expect_met(7)
    assert attestation.finished


def test_an_outbox_that_ends_before_the_mark_has_lost_its_end():
    attestation = Attestation(log_of(*records(1, 2, 3)), "L0", 4)
    with pytest.raises(Halt, match=r"input 4 was committed, .* ends with input 3") as halt:
        attestation.expect_told(mark=4, snapshot=0)
    assert halt.value.reason is HaltReason.ACKED_LOSS


def test_an_outbox_that_ends_before_the_snapshot_has_lost_its_end():
    attestation = Attestation(log_of(*records(1, 2, 3)), "L0", 4)
    with pytest.raises(Halt, match=r"input 4 is in the snapshot, .* ends with input 3") as halt:
        attestation.expect_told(mark=2, snapshot=4)
    assert halt.value.reason is HaltReason.ACKED_LOSS


def test_an_inbox_that_ends_before_the_outbox_has_lost_its_end():
    attestation = Attestation(log_of(*records(1, 2, 3)), "L0", 1)
    attestation.meet(2, hash_after(2))
    with pytest.raises(Halt, match="tells of input 3, the log ends with input 2") as halt:
        attestation.expect_met(2)
    assert halt.value.reason is HaltReason.ACKED_LOSS


def test_an_inbox_that_grew_again_with_other_records_is_noticed_at_the_first():
    attestation = Attestation(log_of(*records(1, 2, 3)), "L0", 1)
    with pytest.raises(Halt, match=r"input 2 .* stands in") as halt:
        attestation.meet(2, b"another" + bytes(9))
    assert halt.value.reason is HaltReason.INPUT_CHANGED


def test_an_empty_outbox_says_nothing():
    attestation = Attestation(log_of(), "L0", 0)
    attestation.expect_told(mark=0, snapshot=0)
    attestation.meet(1, hash_after(1))
    assert attestation.finished


def test_repetitions_foreign_records_and_junk_do_not_mislead():
    values = [
        *records(1, 2, 3, 4),
        told_of(9, src="L1"),
        b"no record",
        *records(2, 3, 4, 5),
        *records(3),
    ]
    attestation = Attestation(log_of(*values), "L0", 2)
    assert attestation.highest == 5
    for ordinal in (3, 4):
        attestation.meet(ordinal, hash_after(ordinal))
    with pytest.raises(Halt):
        attestation.meet(5, bytes(16))


def test_a_record_in_several_parts_is_met_once():
    attestation = Attestation(log_of(*records(1, 2, 2, 2, 3)), "L0", 1)
    attestation.meet(2, hash_after(2))
    with pytest.raises(Halt):
        attestation.meet(3, bytes(16))


@pytest.mark.parametrize("known", [0, 1, STEP_BACK, 3 * STEP_BACK + 7])
def test_however_far_back_the_mark_lies_the_first_input_behind_it_is_compared(known):
    log = log_of(*records(*range(1, 3 * STEP_BACK + 20)))
    with pytest.raises(Halt):
        Attestation(log, "L0", known).meet(known + 1, bytes(16))
