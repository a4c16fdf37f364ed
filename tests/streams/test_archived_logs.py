"""What former builds wrote replays to the same hashes: new code has changed no one's money."""

import json
from contextlib import suppress

import pytest

from domain.accounts.messages import ApiKeyRevoked, FeesChanged, UserDisabled, UserRegistered
from domain.ledger.messages import (
    DepositCredited,
    FundingRejected,
    FundingRepeated,
    WithdrawalDebited,
)
from domain.markets import MarketHalted, MarketResumed, MarketRulesChanged
from domain.matching.messages import (
    CancelAllCompleted,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.orders.messages import (
    CancelRejected,
    CancelRequested,
    FillSettled,
    OrderAccepted,
    OrderClosed,
)
from domain.protocol import Genesis, HaltResolved, Tick
from schemas.codec import HEADER
from schemas.record import UndecodableRecord, decode_record
from streams.audit import audit
from streams.audit.exported import open_export
from tests.archived.kept import Kept, all_kept
from tests.streams.audited_log import Nobody, replayed, told

KEPT = all_kept()
OF_A_DAY = {
    *(Genesis, Tick, HaltResolved, UserRegistered, ApiKeyRevoked, FeesChanged, UserDisabled),
    *(MarketHalted, MarketRulesChanged, MarketResumed, DepositCredited, WithdrawalDebited),
    *(FundingRejected, FundingRepeated, OrderAccepted, OrderRested, TradeExecuted, FillSettled),
    *(OrderTerminated, OrderClosed, CancelRequested, CancelRejected, CancelAllCompleted),
}


@pytest.fixture(scope="module", params=KEPT, ids=lambda kept: kept.name)
def kept(request):
    return request.param


@pytest.fixture(scope="module")
def archive(kept):
    with kept.unpacked() as directory:
        yield open_export(directory)


@pytest.fixture(scope="module")
def verdict(archive):
    return replayed(archive)


def test_every_record_follows_from_its_inputs(kept, verdict):
    assert told(verdict.findings) == ""
    assert verdict.findings.compared == kept.compared > 1_000


def test_every_shard_ends_in_the_same_state(kept, verdict):
    assert set(verdict.runs) == set(kept.shards)
    for shard, run in verdict.runs.items():
        was = kept.shards[shard]
        assert kept.state_hash(shard, run.dumped) == was["state_hash"], shard
        assert (run.records, run.commands, run.trades) == tuple(
            was[name] for name in ("records", "commands", "trades")
        ), shard
        resolved = {name.hex(): action.name for name, action in run.resolved.items()}
        assert (run.duplicates, len(run.set_aside), resolved) == tuple(
            was[name] for name in ("duplicates", "set_aside", "resolved")
        ), shard


def test_the_books_are_sound(archive):
    """The audit's own formulas hold for what was settled by former rules of a market, too."""
    result = audit.audit(archive, Nobody(), processes=1)
    assert result.checks.words == []
    assert result.checks.counts["E5"] > 100


def test_the_day_has_something_of_everything(archive, kept):
    kinds = set()
    for place in archive.manifest.bounds:
        for record in archive.everything(place):
            with suppress(UndecodableRecord):
                kinds |= {type(message) for message in decode_record(record.value).messages}
    assert kinds >= OF_A_DAY
    for name in ("trades", "duplicates", "set_aside"):
        assert sum(run[name] for run in kept.shards.values()) > 0, name
    assert any(run["resolved"] for run in kept.shards.values())


def test_one_archive_is_of_a_former_schema_and_one_of_the_present():
    headers = set()
    for kept in KEPT:
        with kept.unpacked() as directory:
            record = next(open_export(directory).everything(("ledger.ev", 0)))
            headers.add((record.value or b"")[: len(HEADER)])
    assert HEADER in headers
    assert len(headers) > 1


@pytest.mark.parametrize("change", ["another value", "a member that came later holds something"])
def test_another_state_is_found(change):
    dump = {"shard": "L0", "state": [1, [2, 3], []]}
    kept = Kept("made up", 1, {}, {"L": [["state", -1]]})
    former = json.dumps({"shard": "L0", "state": [1, [2, 3]]}, separators=(",", ":"))
    plain = Kept("made up", 1, {}, {})

    def hashed(dumped: object) -> str:
        return kept.state_hash("L0", json.dumps(dumped).encode())

    assert hashed(dump) == plain.state_hash("L0", former.encode())
    if change == "another value":
        assert hashed({"shard": "L0", "state": [1, [2, 4], []]}) != hashed(dump)
    else:
        with pytest.raises(AssertionError, match="must have nothing"):
            hashed({"shard": "L0", "state": [1, [2, 3], [4]]})
