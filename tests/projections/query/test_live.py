"""The reader of Redis against a real server: same answers as the fake's, atomic with positions."""

import asyncio

import pytest

from infra.http.errors import ApiError
from infra.redis import async_redis_client
from projections import layout
from projections.layout import Position, redis_key
from projections.query.freshness import Target
from projections.query.live import LiveViews
from tests.projections.query.world import E8

LEDGER_0, LEDGER_1 = ("ledger.ev", 0), ("ledger.ev", 1)

pytestmark = pytest.mark.integration


@pytest.fixture
async def redis(redis_server):
    client = async_redis_client(redis_server.redis_url)
    await client.flushall()
    yield client
    await client.flushall()
    await client.aclose()


async def stand(redis, build, partition, position):
    cells = {name: str(value) for name, value in position._asdict().items()}
    await redis.hset(redis_key(build, layout.position_key(*partition)), mapping=cells)


def in_s(seconds):
    return asyncio.get_running_loop().time() + seconds


async def test_data_and_positions_come_together(redis):
    views = LiveViews(redis, lambda: [LEDGER_0, LEDGER_1])
    await stand(redis, "1", LEDGER_0, Position(5, 9, 7))
    await redis.hset(redis_key("1", layout.bids_key(2)), mapping={str(7 * E8): "3"})

    positions, (bids, nothing, cell) = await views.read(
        {LEDGER_0: Target(cseq=5)},
        [
            ("HGETALL", layout.bids_key(2)),
            ("HGETALL", layout.asks_key(2)),
            ("HGET", layout.bids_key(2), str(7 * E8)),
        ],
        in_s(2),
    )

    assert positions == {LEDGER_0: Position(5, 9, 7)}
    assert (bids, nothing, cell) == ({str(7 * E8).encode(): b"3"}, {}, b"3")
    assert await views.positions() == {LEDGER_0: Position(5, 9, 7), LEDGER_1: layout.NOWHERE}


async def test_a_flip_in_between_is_noticed(redis):
    views = LiveViews(redis, lambda: [LEDGER_0])
    await stand(redis, "1", LEDGER_0, Position(5, 9, 7))
    await stand(redis, "2", LEDGER_0, Position(6, 10, 8))
    assert (await views.positions())[LEDGER_0].cseq == 5
    await redis.set(layout.BUILD_KEY, "2")
    assert (await views.positions())[LEDGER_0].cseq == 6


async def test_all_who_read_at_once_notice_a_flip(redis):
    views = LiveViews(redis, lambda: [LEDGER_0])
    await stand(redis, "1", LEDGER_0, Position(5, 9, 7))
    await stand(redis, "2", LEDGER_0, Position(6, 10, 8))
    await redis.set(layout.BUILD_KEY, "2")
    found = await asyncio.gather(*(views.positions() for _ in range(4)))
    assert [positions[LEDGER_0].cseq for positions in found] == [6, 6, 6, 6]


async def test_a_thousand_waiters_are_served_by_one_watch(redis):
    views = LiveViews(redis, lambda: [LEDGER_0])
    await stand(redis, "1", LEDGER_0, Position(5, 9, 7))
    waiting = [
        asyncio.create_task(views.read({LEDGER_0: Target(offset=10)}, [], in_s(5)))
        for _ in range(1_000)
    ]
    # Each looks once by itself when it comes, which takes a busy machine a while.
    await asyncio.sleep(2.0)
    before = (await redis.info("stats"))["total_commands_processed"]
    await asyncio.sleep(0.2)
    after = (await redis.info("stats"))["total_commands_processed"]
    assert after - before < 400, "looks are shared: at most one in four milliseconds"
    await stand(redis, "1", LEDGER_0, Position(6, 10, 8))
    found = await asyncio.gather(*waiting)
    assert {positions[LEDGER_0].cseq for positions, _ in found} == {6}
    await views.stop()


async def test_a_redis_that_is_not_there_is_503():
    client = async_redis_client("redis://127.0.0.1:1/0")
    with pytest.raises(ApiError) as refused:
        await LiveViews(client, lambda: [LEDGER_0]).positions()
    assert (refused.value.status, refused.value.code) == (503, -1008)
    await client.aclose()
