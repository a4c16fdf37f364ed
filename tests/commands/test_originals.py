"""Original outcomes in outboxes that restarts, splits and late leaders have left their marks on."""

import pytest

from commands.originals import OriginalRecords
from infra.log import LogRecord
from schemas.record import decode_envelope, encode_record

LAST = 1_400

CLEAN = list(range(1, LAST + 1))
RESTARTED = [*range(1, 901), *range(301, 901), *range(301, LAST + 1)]
BETWEEN = [
    *range(1, 101),
    *(cseq for n in range(20) for cseq in (101 + n, 51 + n)),
    *range(121, LAST + 1),
]
"""A leader that woke delivers what it had begun, between its successor's records."""

IN_ONE_PIECE = [*range(1, 1_201), *range(51, 751), *range(1_201, LAST + 1)]
TWICE = [*range(1, 601), *range(51, 71), *range(601, 1_001), *range(41, 61), *range(1_001, 1_401)]
AT_THE_END = [*range(1, LAST + 1), *range(51, 71)]


def split(cseq: int) -> int:
    """The cause of a record where every input has three records."""
    return (cseq + 2) // 3


def whole(cseq: int) -> int:
    """The cause of a record where every input has one."""
    return cseq


class Outbox:
    """Records of these sequences in this order, and the one that asks for an original."""

    def __init__(self, sequences, cause_of):
        self.asked = 0
        self.records = [
            LogRecord("ledger.ev", 0, offset, -1, encoded(cseq, cause_of(cseq)))
            for offset, cseq in enumerate([*sequences, LAST + 1])
        ]

    async def scan(self, _topic, _partition, start, stop):
        self.asked += 1
        return self.records[start:stop]


def encoded(cseq: int, cause: int) -> bytes:
    return encode_record(
        src="L0",
        cseq=cseq,
        prev=bytes(16),
        cause=cause,
        cause_offset=0,
        time_us=cseq,
        input_hash=bytes(16),
        messages=[],
    )


async def read(outbox: Outbox, cause: int) -> list[int]:
    before = len(outbox.records) - 1
    found = OriginalRecords(outbox.scan).read("L0", cause, before)
    return [decode_envelope(stored.value).cseq async for stored in found]


@pytest.mark.parametrize("cause_of", [whole, split])
@pytest.mark.parametrize("sequences", [CLEAN, RESTARTED, BETWEEN, IN_ONE_PIECE, TWICE, AT_THE_END])
async def test_all_records_from_the_cause_on_come_once_and_in_order(sequences, cause_of):
    outbox = Outbox(sequences, cause_of)
    for cause in [*range(1, 131), *range(250, cause_of(LAST), 37), cause_of(LAST)]:
        wanted = [cseq for cseq in CLEAN if cause_of(cseq) >= cause]
        assert await read(outbox, cause) == wanted, f"cause {cause}"


@pytest.mark.parametrize("sequences", [CLEAN, RESTARTED, IN_ONE_PIECE, TWICE])
@pytest.mark.parametrize("cause_of", [whole, split])
async def test_what_was_asked_for_a_moment_ago_is_found_at_once(sequences, cause_of):
    """However often leaders were replaced before: a storm of them must not make answers late."""
    outbox = Outbox(sequences, cause_of)
    await read(outbox, cause_of(LAST) - 30)
    assert outbox.asked == 3


async def test_an_outbox_that_lacks_records_is_told_from_a_late_leader():
    outbox = Outbox([*range(1, 701), *range(703, LAST + 1)], whole)
    with pytest.raises(AssertionError, match=r"ledger\.ev\.0"):
        await read(outbox, 650)
