"""What the query process knows of the log when it answers its first request."""

from typing import cast

import pytest

from infra.log import Log, LogFailure, LogRecord, Partition
from projections.query.freshness import last_sequence
from serving import AccountsView, learn_told
from tests.streams.records import from_shard

PLACE = ("accounts.ev", 0)


def stored(offset: int, cseq: int) -> LogRecord:
    return LogRecord(*PLACE, offset, -1, from_shard(cseq, src="A0", time_us=7))


def test_it_knows_the_log_once_all_that_stood_there_is_folded():
    accounts = AccountsView()
    assert not accounts.knows_log(), "nobody has asked the log for its end yet"
    accounts.targets = {PLACE: 3}
    accounts.take([stored(0, 1), stored(1, 2)])
    assert not accounts.knows_log()
    # A record that a restart repeated is folded once, and still is one that stood there.
    accounts.take([stored(2, 2)])
    assert accounts.knows_log()
    assert accounts.positions[PLACE].cseq == 2


def test_a_record_far_ahead_does_not_hide_those_that_follow():
    accounts = AccountsView()
    accounts.take([stored(0, 1), stored(1, 900), stored(2, 2)])
    assert accounts.positions[PLACE].cseq == 2


class Ended:
    """A log whose partitions end as told; a leaderless one is read once it was asked often."""

    def __init__(self, values: dict[str, list[int]], asked_before: dict[str, int]) -> None:
        self.values = values
        self.asked_before = asked_before

    def ends(self, topic: str, partition: int) -> tuple[int, int]:
        self.asked_before[topic] = self.asked_before.get(topic, 0) - 1
        if self.asked_before[topic] >= 0:
            raise LogFailure("nobody leads it")
        return 0, len(self.values[topic])

    def scan(self, topic: str, partition: int, start: int, stop: int) -> list[LogRecord]:
        return [stored(n, self.values[topic][n]) for n in range(start, stop)]

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("cseqs", "last"),
    [
        ([], 0),
        ([1, 2, 3], 3),
        # A restart has written the last ones once more.
        ([1, 2, 3, 4, 2, 3], 4),
        ([1, 2, 3, 900], 3),
        ([900, 1, 2, 901, 3, 4], 4),
    ],
)
def test_what_was_told_at_the_start_is_what_a_view_can_reach(cseqs, last):
    assert last_sequence(cast(Log, Ended({"ledger.ev": cseqs}, {})), "ledger.ev", 0) == last


def test_of_a_long_outbox_only_the_end_is_read(monkeypatch):
    monkeypatch.setattr("projections.query.freshness.LAST_RECORDS", 3)
    log = Ended({"ledger.ev": [1, 2, 3, 4, 5, 3, 4]}, {})
    assert last_sequence(cast(Log, log), "ledger.ev", 0) == 5


def test_a_partition_that_nobody_leads_is_asked_again_after_the_others(monkeypatch):
    told: dict[Partition, int] = {}
    known: list[dict[Partition, int]] = []
    monkeypatch.setattr("serving.sleep", lambda _: known.append(dict(told)))
    log = Ended({"ledger.ev": [1, 2], "matching.ev": [1]}, {"ledger.ev": 2})
    failures: list[Exception] = []
    places = [("ledger.ev", 0), ("matching.ev", 0)]
    learn_told(lambda: cast(Log, log), places, told, failures.append)
    assert known == [{("matching.ev", 0): 1}, {("matching.ev", 0): 1}]
    assert told == {("ledger.ev", 0): 2, ("matching.ev", 0): 1}
    assert not failures


def test_what_nobody_expects_ends_the_process():
    failures: list[Exception] = []
    learn_told(lambda: cast(Log, None), [("ledger.ev", 0)], {}, failures.append)
    assert len(failures) == 1
