"""What is read out of a fault's traces: records that stand twice, and what a halt must name."""

import pytest

from infra.log import LogRecord
from schemas.record import encode_record
from tests.faults.evidence import Repeats, repeats_in
from tests.faults.rows_losses import POSITION

MILLISECOND_US = 1_000


def outbox_of(*cseqs: int) -> list[LogRecord]:
    """An outbox with these numbers; the log time of each is as many milliseconds."""
    return [
        LogRecord("matching.ev", 0, offset, 0, record_of(cseq)) for offset, cseq in enumerate(cseqs)
    ]


def record_of(cseq: int) -> bytes:
    return encode_record(
        prev=bytes(16),
        cause_offset=0,
        src="M0",
        cseq=cseq,
        cause=cseq,
        time_us=cseq * MILLISECOND_US,
        input_hash=bytes(16),
        messages=[],
    )


@pytest.mark.parametrize(
    ("cseqs", "found"),
    [
        ((), Repeats()),
        ((4, 5, 6), Repeats()),
        ((4, 5, 6, 5, 6, 7), Repeats(2, 0.001)),
        ((4, 5, 5, 6, 6, 7, 7), Repeats(3, 0.002)),
        ((9, 2, 3, 4, 10), Repeats(3, 0.002)),
    ],
)
def test_what_stands_twice_is_counted_with_the_time_that_it_spans(cseqs, found):
    assert repeats_in(outbox_of(*cseqs)) == found


def test_a_halt_names_shard_offset_and_reason():
    words = (
        'shards HALTED and stays down, last said "shard L0 halted at offset 3369: ACKED_LOSS: the '
        'committed mark is at 3369, the log ends at 17; see docs/runbook.md#halts"'
    )
    found = POSITION.search(words)
    assert found is not None
    assert found.groups() == ("L0", "3369", "ACKED_LOSS")
