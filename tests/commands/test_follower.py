"""The fold of the outboxes: duplicates dropped, positions known, damage never passed over."""

from dataclasses import replace

import pytest

from commands.follower import AHEAD_US, STALE_US, Follower
from commands.outcomes import Awaited, Outcomes
from domain.accounts.messages import AssetListed
from domain.decider import Message
from infra.log import LogRecord
from schemas.record import UndecodableRecord, encode_message, encode_record
from tests.commands.fake_exchange import START_US, FakeClock


def stored(topic: str, offset: int, cseq: int, *messages: Message) -> LogRecord:
    value = encode_record(
        prev=b"",
        cause_offset=0,
        src="A0",
        cseq=cseq,
        cause=cseq,
        time_us=START_US,
        input_hash=b"",
        messages=[encode_message(message) for message in messages],
    )
    return LogRecord(topic, 0, offset, -1, value)


@pytest.fixture
def outcomes() -> Outcomes:
    return Outcomes(lambda shard, cause, before: pytest.fail("nothing was repeated"))


@pytest.fixture
def follower(outcomes) -> Follower:
    return Follower(outcomes, FakeClock(), {"A0": 2, "L0": 1, "M0": 0})


def with_a_bad_end(record: LogRecord) -> LogRecord:
    assert record.value is not None
    return replace(record, value=record.value[:-1] + b"\7")


def listed(asset_id: int, code: str) -> AssetListed:
    return AssetListed(b"c" * 16, asset_id, code, code, 8)


def test_records_that_a_restart_repeated_are_dropped(follower):
    follower.take([stored("accounts.ev", 0, 1, listed(1, "BTC"))])
    follower.take([stored("accounts.ev", 1, 1, listed(1, "XXX"))])
    assert follower.reference.assets[1].code == "BTC"


def test_a_record_far_ahead_does_not_hide_those_that_follow(follower):
    follower.take([stored("accounts.ev", 0, 1, listed(1, "BTC"))])
    follower.take([stored("accounts.ev", 1, 900, listed(9, "XXX"))])
    follower.take([stored("accounts.ev", 2, 901, listed(8, "YYY"))])
    follower.take([stored("accounts.ev", 3, 2, listed(2, "ETH"))])
    assert [asset.code for asset in follower.reference.assets.values()] == ["BTC", "ETH"]


@pytest.mark.parametrize(
    ("cseqs", "taken"),
    [
        ((7, 8, 900, 9, 901, 10), [7, 8, 9, 10]),
        ((3, 12, 13, 14), [3, 12, 13, 14]),
        ((3, 4, 5, 12, 4, 13), [3, 4, 5, 12, 13]),
        ((7, 7, 6, 8), [7, 8]),
    ],
)
def test_a_ledger_is_followed_from_anywhere(follower, cseqs, taken):
    """Also from old records that were written again; what is far ahead alone is nobody's."""
    seen: list[int] = []
    with follower.watched(lambda _, record: seen.append(record.cseq)):
        follower.take([stored("ledger.ev", n, cseq) for n, cseq in enumerate(cseqs)])
    assert seen == taken


def test_caught_up_means_every_outbox_was_read_to_its_end(follower):
    assert not follower.is_caught_up()
    follower.take([stored("accounts.ev", 0, 1), stored("accounts.ev", 1, 2)])
    assert not follower.is_caught_up()
    follower.take([stored("ledger.ev", 0, 7)])
    assert follower.is_caught_up()
    assert follower.position() == "ledger.ev.0@7"


def test_a_shard_is_stale_until_its_log_time_is_near_the_clock(outcomes):
    clock = FakeClock()
    follower = Follower(outcomes, clock, {"A0": 0, "L0": 0, "M0": 0})
    assert follower.stale_shards() == ["A0", "L0"]
    follower.take([stored("accounts.ev", 0, 1), stored("ledger.ev", 0, 1)])
    assert follower.stale_shards() == []
    assert [follower.lags(shard) for shard in follower.shards()] == [False, False, True]
    clock.us += STALE_US + 1
    assert follower.stale_shards() == ["A0", "L0"]


def test_a_log_time_ahead_of_the_clock_is_told_beyond_a_small_bound(outcomes):
    """As after a clock that ran ahead was set back: what a shard has seen does not go back."""
    clock = FakeClock()
    follower = Follower(outcomes, clock, {"A0": 0, "L0": 0, "M0": 0})
    follower.take([stored("accounts.ev", 0, 1), stored("matching.ev", 0, 1)])
    clock.us -= AHEAD_US
    assert follower.shards_ahead_us() == {}
    clock.us -= 1_000_000
    assert follower.shards_ahead_us() == {"A0": 6_000_000, "M0": 6_000_000}


async def test_messages_of_ledgers_are_decoded_only_for_somebody_who_waits(follower, outcomes):
    follower.take([with_a_bad_end(stored("ledger.ev", 0, 1, listed(1, "BTC")))])
    outcomes.expect(b"c" * 16, Awaited({"L0": (AssetListed,)}), lambda _: None)
    with pytest.raises(UndecodableRecord):
        follower.take([with_a_bad_end(stored("ledger.ev", 1, 2, listed(1, "BTC")))])
    assert follower.position() == "ledger.ev.0@2"


@pytest.mark.parametrize("value", [b"", b"damaged", None])
def test_what_no_shard_writes_ends_the_fold(follower, value):
    with pytest.raises(UndecodableRecord):
        follower.take([LogRecord("ledger.ev", 0, 0, -1, value)])
