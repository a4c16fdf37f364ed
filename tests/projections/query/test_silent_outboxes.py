"""Private reads while a shard is halted whose outbox ends with copies of its last records.

A view drops copies, so that it never stands at their offsets.
"""

import asyncio
import time

import pytest

from infra.log import LogFailure
from projections.layout import Position
from projections.query import outbox_ends
from tests.projections.query.patience import impatient
from tests.projections.query.world import ALICE, BOB, T0_US, signed

LEDGER_0 = ("ledger.ev", ALICE % 2)
FROM_REDIS = "/api/v3/openOrders"
FROM_HISTORY = "/api/v3/myTrades?symbol=BTCUSDT"


@pytest.fixture(autouse=True)
def short_times(monkeypatch):
    """An outbox that has not grown for 0.1 s is silent."""
    monkeypatch.setattr("projections.query.outbox_ends.SILENT_S", 0.1)


async def status(api, path=FROM_REDIS):
    return (await api.get(path, headers=signed(ALICE))).status


async def status_soon(api, path=FROM_REDIS):
    """Of a read that does not wait for long."""
    with impatient():
        return await status(api, path)


async def after_silence(api):
    """The status of the second read; the first one finds the outbox's end, and waits in vain."""
    assert await status_soon(api) == 503
    return await status_soon(api)


@pytest.mark.parametrize("path", [FROM_REDIS, FROM_HISTORY])
async def test_a_view_that_has_all_but_copies_is_read(world, api, path):
    world.write(LEDGER_0, [*range(1, 101), 97, 98, 99, 100])
    assert await status_soon(api, path) == 503, "it finds the outbox's end"
    assert await status(api, path) == 200


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
        assert await status_soon(api) == 503
    assert world.outboxes.scans == []


async def test_each_end_is_scanned_once(world, api):
    world.write(LEDGER_0, [*range(1, 101), 99, 100])
    assert await status_soon(api) == 503
    assert set(await asyncio.gather(*(status(api) for _ in range(20)))) == {200}
    assert world.outboxes.scans == [(99, 102)], "from where the view stands"
    world.write(LEDGER_0, [*range(1, 101), 99, 100, 101])
    assert await after_silence(api) == 503
    assert world.outboxes.scans == [(99, 102), (99, 103)]


async def test_what_a_view_lacks_is_looked_for_once(world, api):
    """Clients that ask again and again must not keep the log busy."""
    world.write(LEDGER_0, [*range(1, 101), 102])
    assert await status_soon(api) == 503
    assert {await status_soon(api) for _ in range(3)} == {503}
    assert world.outboxes.scans == [(99, 101)]
    await world.advance(LEDGER_0, Position(100, 98, T0_US))
    assert await status_soon(api) == 503
    assert world.outboxes.scans == [(99, 101), (98, 101)], "the view stands elsewhere"
    assert world.outboxes.opened == 0


async def test_an_outbox_without_copies_is_never_scanned(world, api):
    world.write(LEDGER_0, range(1, 101))
    assert await status(api) == 200
    await asyncio.sleep(0.2)
    assert {await status(api) for _ in range(3)} == {200}
    assert world.outboxes.scans == []


async def test_large_records_are_not_worth_a_scan(world, api, monkeypatch):
    monkeypatch.setattr(outbox_ends, "MOST_BYTES", 100)
    world.write(LEDGER_0, [*range(1, 101), *range(31, 101)])
    assert await after_silence(api) == 503
    assert world.outboxes.opened == 0


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
    assert await status_soon(api) == 503
    world.outboxes.failure = LogFailure("no broker answers")
    assert await status_soon(api) == 503
    world.outboxes.failure = None
    assert await status(api) == 200


@pytest.fixture
def hanging(world):
    """A log that answers no scan until the test is over."""
    world.outboxes.answers.clear()
    yield
    world.outboxes.answers.set()


async def test_a_log_that_hangs_holds_up_nobody_else(world, api, hanging, monkeypatch):
    """The bounds are far beyond what a slow machine needs, and far below the look's own."""
    monkeypatch.setattr("projections.query.sources.PATIENCE_S", 1.5)
    monkeypatch.setattr(outbox_ends, "LOOK_S", 60.0)
    world.write(LEDGER_0, [*range(1, 101), 99, 100])
    assert await status_soon(api) == 503
    began_s = time.monotonic()
    waiting = asyncio.create_task(status(api))
    assert (await api.get(FROM_REDIS, headers=signed(BOB))).status == 200
    assert time.monotonic() - began_s < 5.0
    assert await waiting == 503
    assert time.monotonic() - began_s < 10.0, "a read does not wait for the look"


async def test_a_look_that_takes_too_long_is_given_up(world, api, hanging, monkeypatch):
    monkeypatch.setattr(outbox_ends, "LOOK_S", 0.3)
    world.write(LEDGER_0, [*range(1, 101), 99, 100])
    assert await after_silence(api) == 503
    world.outboxes.answers.set()
    assert await status(api) == 200
    assert world.outboxes.scans == [(99, 102)] * 2
