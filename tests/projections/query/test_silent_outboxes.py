"""Private reads while a shard is halted whose outbox ends with copies of its last records.

A view drops copies, so that it never stands at their offsets.
"""

import asyncio

import pytest

from infra.log import LogFailure
from projections.layout import Position
from projections.query import outbox_ends
from tests.projections.query.world import ALICE, T0_US, signed

LEDGER_0 = ("ledger.ev", ALICE % 2)
FROM_REDIS = "/api/v3/openOrders"
FROM_HISTORY = "/api/v3/myTrades?symbol=BTCUSDT"


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    """A read gives up after 0.6 s, and an outbox that has not grown for 0.1 s is silent."""
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", 0.6)
    monkeypatch.setattr("projections.query.outbox_ends.SILENT_S", 0.1)


async def status(api, path=FROM_REDIS):
    return (await api.get(path, headers=signed(ALICE))).status


async def after_silence(api, path=FROM_REDIS):
    """The status of the second read; the first one finds the outbox's end, and waits in vain."""
    assert await status(api, path) == 503
    return await status(api, path)


@pytest.mark.parametrize("path", [FROM_REDIS, FROM_HISTORY])
async def test_a_view_that_has_all_but_copies_is_read(world, api, path):
    world.write(LEDGER_0, [*range(1, 101), 97, 98, 99, 100])
    assert await after_silence(api, path) == 200


@pytest.mark.parametrize(
    "behind",
    [
        pytest.param([101], id="a record that it can take"),
        pytest.param([98, 99, 100, 101], id="one behind copies"),
        pytest.param([102], id="one that the log cannot lead to"),
        pytest.param([0], id="one that cannot be decoded"),
    ],
)
async def test_a_view_that_lacks_what_stands_there_is_not(world, api, behind):
    world.write(LEDGER_0, [*range(1, 101), *behind])
    assert await after_silence(api) == 503


async def test_a_view_that_is_built_again_is_not_read_before_it_has_all(world, api):
    world.write(LEDGER_0, [*range(1, 101), 99, 100])
    await world.advance(LEDGER_0, Position(60, 59, T0_US))
    assert await after_silence(api) == 503
    await world.advance(LEDGER_0, Position(100, 99, T0_US))
    assert await status(api) == 200


async def test_an_outbox_that_grows_is_never_scanned(world, api):
    for more in range(4):
        world.write(LEDGER_0, [*range(1, 101), *[100] * (1 + more)])
        assert await status(api) == 503
    assert world.outboxes.scans == []


async def test_each_end_is_scanned_once(world, api):
    world.write(LEDGER_0, [*range(1, 101), 99, 100])
    await status(api)
    assert set(await asyncio.gather(*(status(api) for _ in range(20)))) == {200}
    assert world.outboxes.scans == [(99, 102)], "from where the view stands"
    world.write(LEDGER_0, [*range(1, 101), 99, 100, 101])
    assert await after_silence(api) == 503
    assert world.outboxes.scans == [(99, 102), (99, 103)]


async def test_many_copies_are_scanned_piece_by_piece(world, api, monkeypatch):
    """So that other questions to the log come in between."""
    monkeypatch.setattr(outbox_ends, "SCANNED_AT_ONCE", 50)
    world.write(LEDGER_0, [*range(1, 101), *range(31, 101)])
    assert await after_silence(api) == 200
    assert world.outboxes.scans == [(99, 149), (149, 170)]


async def test_a_view_that_is_far_behind_is_not_worth_a_scan(world, api, monkeypatch):
    monkeypatch.setattr(outbox_ends, "MOST_SCANNED", 50)
    world.write(LEDGER_0, [*range(1, 101), *range(31, 101)])
    assert await after_silence(api) == 503
    assert world.outboxes.scans == []


async def test_a_position_of_another_log_tells_nothing(world, api):
    world.write(LEDGER_0, [*range(1, 91), *range(81, 101)])
    await world.advance(LEDGER_0, Position(100, 99, T0_US))
    assert await after_silence(api) == 503


async def test_a_log_that_was_away_is_scanned_later(world, api):
    world.write(LEDGER_0, [*range(1, 101), 99, 100])
    await status(api)
    world.outboxes.failure = LogFailure("no broker answers")
    assert await status(api) == 503
    world.outboxes.failure = None
    assert await status(api) == 200


async def test_a_log_that_hangs_holds_up_no_view_that_stands_at_the_end(world, api):
    world.write(LEDGER_0, range(1, 101))
    assert await status(api) == 200
    world.outboxes.hangs = True
    await asyncio.sleep(0.2)
    assert await status(api) == 200
    assert world.outboxes.scans == [(99, 100)]
