"""Changes that are built upon what stands: none undoes another, and what is not named stays."""

import asyncio

from tests.commands.world import trading_world


def notionals(world) -> tuple[int, int]:
    """Least and greatest, in whole quote units, as matching has them."""
    (market,) = [
        market
        for name in ("M0", "M1")
        for market in world.exchange.shards[name].state.markets.values()
    ]
    return market.rules.min_notional // 10**8, market.rules.max_notional // 10**8


async def test_two_changes_of_rules_at_once_both_stand(world):
    world.exchange.held = []
    change = {"symbol": "BTCUSDT"}
    first = asyncio.create_task(world.operate("change-market-rules", **change, minNotional="6000"))
    await world.until_held(1)
    second = asyncio.create_task(world.operate("change-market-rules", **change, maxNotional="7000"))
    await asyncio.sleep(0.1)
    world.exchange.release()
    await first
    await second
    assert notionals(world) == (6_000, 7_000)


async def test_no_rules_change_while_the_shard_is_down_that_tells_them(tmp_path):
    async with trading_world(tmp_path, timeout_s=0.2) as world:
        step, kept = world.exchange._step, []

        def without_accounts(name, *rest):
            if name == "A0":
                kept.append((name, *rest))
            else:
                step(name, *rest)

        world.exchange._step = without_accounts
        change = {"symbol": "BTCUSDT"}
        await world.operate("change-market-rules", 503, **change, minNotional="6000")
        world.exchange.clock.us += 4_000_000
        world.exchange.tick()
        await world.until_missing(["A0 lags"])
        before = len(world.exchange.records_in)
        answer = await world.operate("change-market-rules", 503, **change, maxNotional="7000")
        assert answer["code"] == -1008
        assert "A0" in answer["msg"]
        assert len(world.exchange.records_in) == before
        world.exchange._step = step
        for each in kept:
            step(*each)
        world.exchange.tick()
        await world.until_missing([])
        await world.operate("change-market-rules", **change, maxNotional="7000")
        assert notionals(world) == (6_000, 7_000)


async def test_a_change_that_is_refused_keeps_no_other_waiting(world):
    change = {"symbol": "BTCUSDT"}
    await world.operate("change-market-rules", 400, **change, minNotional="many")
    await world.operate("change-market-rules", 400, **change, minNotional="99999999")
    await world.operate("change-market-rules", **change, minNotional="6000")
    assert notionals(world) == (6_000, 9_000_000)
