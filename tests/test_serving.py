"""What the query process knows of the log when it answers its first request."""

import asyncio

from infra.log import LogFailure, LogRecord
from schemas.record import encode_record
from serving import AccountsView, learn_ends

PLACE = ("accounts.ev", 0)


def stored(offset: int, cseq: int) -> LogRecord:
    value = encode_record(
        prev=b"",
        cause_offset=0,
        src="A0",
        cseq=cseq,
        cause=cseq,
        time_us=7,
        input_hash=b"",
        messages=[],
    )
    return LogRecord(*PLACE, offset, -1, value)


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


async def test_a_partition_that_does_not_tell_its_end_delays_no_other(monkeypatch):
    monkeypatch.setattr("serving.ASK_AGAIN_S", 0.01)
    ends: dict[tuple[str, int], int] = {}
    leaderless = {("ledger.ev", 0)}

    async def end_of_log(topic, partition):
        if (topic, partition) in leaderless:
            raise LogFailure("nobody leads it")
        return 7

    places = [("ledger.ev", 0), ("matching.ev", 0)]
    learning = asyncio.create_task(learn_ends(end_of_log, places, ends))
    await asyncio.sleep(0.05)
    assert ends == {("matching.ev", 0): 7}
    leaderless.clear()
    await learning
    assert ends == dict.fromkeys(places, 7)
