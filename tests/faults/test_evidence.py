"""What is read out of a fault's traces: records that stand twice, numbers, the place of a halt."""

import json
from typing import Any

import pytest

from infra.log import LogRecord
from projections.layout import FED_TABLES
from schemas.record import encode_record
from tests.faults.evidence import (
    PREFIX,
    Halt,
    Repeats,
    duplicates_in,
    halts_in,
    promotions,
    repeats_in,
    starts_in,
    tables_reach,
)
from tests.faults.stack import FaultStack
from tests.integration.running_stack import prefixed, read_metrics

MILLISECOND_US = 1_000
TOLD = """\
# HELP logbourse_shard_position Next input offset
logbourse_shard_position{shard="L0"} 1.2345678e+07
logbourse_shard_position{shard="M0"} 70.0
logbourse_shard_records_total{shard="L0"} 78.0
logbourse_shard_records_total{shard="M0"} 0.0
logbourse_shard_duplicates_total{shard="L0",source="M0"} 2.0
logbourse_shard_duplicates_total{shard="M0",source="L1"} 3.0
logbourse_shard_duplicates_created{shard="M0",source="L1"} 1.7e+09
logbourse_gateway_ready{role="gateway"} 1.0
"""


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
    other = 'shards HALTED and stays down, last said "shard M0 halted at offset 7: FAULT: applying'
    assert halts_in(f"{words}\nquery ended\n{other}") == [
        Halt("L0", 3_369, "ACKED_LOSS", "the committed mark is at 3369, the log ends at 17"),
        Halt("M0", 7, "FAULT", "applying"),
    ]


def test_where_a_host_started_is_its_position_less_what_it_took():
    told = prefixed(read_metrics(TOLD), PREFIX)
    assert starts_in(told) == {"L0": 12_345_600, "M0": 70}
    assert duplicates_in(told) == 5


def test_history_is_filled_once_each_table_has_come_there():
    """Redis and reference data, which readiness looks at, stand elsewhere."""
    wanted = {("ledger.ev", 0): 7, ("matching.ev", 1): 9}
    tables = [(table, *place) for place in wanted for table in FED_TABLES[place[0]]]
    told: list[dict[str, Any]] = [
        {"view": view, "topic": topic, "partition": partition, "sequence": wanted[topic, partition]}
        for view, topic, partition in (*tables, *(("redis", *place) for place in wanted))
    ]
    assert tables_reach(told, wanted)
    for number in range(len(tables)):
        behind = {**told[number], "sequence": told[number]["sequence"] - 1}
        assert not tables_reach([*told[:number], behind, *told[number + 1 :]], wanted)
        assert not tables_reach([*told[:number], *told[number + 1 :]], wanted)


def test_promotions_are_counted_by_shard_over_all_hosts(tmp_path):
    stack = FaultStack(tmp_path / "data")
    for name in ("shards", "shards-standby", "gateway"):
        for folder, suffix in (("run", "pid"), ("logs", "log")):
            (stack.data_dir / folder).mkdir(parents=True, exist_ok=True)
            (stack.data_dir / folder / f"{name}.{suffix}").touch()
    lines = [{"event": "promoted", "shard": shard} for shard in ("L0", "M0", "L0")]
    for name, told in (("shards", lines[:1]), ("shards-standby", lines[1:])):
        told.append({"event": "started", "shard": "M0"})
        log = stack.data_dir / "logs" / f"{name}.log"
        log.write_text("".join(f"{json.dumps(line)}\n" for line in told))
    assert promotions(stack) == {"L0": 2, "M0": 1}
