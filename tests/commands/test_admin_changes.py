"""Changes that are built upon what stands: none undoes another, and what is not named stays."""

import asyncio
from dataclasses import replace

import pytest

from domain.markets import MarketRules
from tests.commands.world import trading_world


def rules_of(world) -> MarketRules:
    """The market's rules, as matching has them."""
    (market,) = [
        market
        for name in ("M0", "M1")
        for market in world.exchange.shards[name].state.markets.values()
    ]
    return market.rules


def notionals(world) -> tuple[int, int]:
    """Least and greatest, in whole quote units, as matching has them."""
    rules = rules_of(world)
    return rules.min_notional // 10**8, rules.max_notional // 10**8


async def operate_at_once(world, name: str, first: dict[str, str], second: dict[str, str]) -> None:
    """The second is sent before the first is answered."""
    world.exchange.held = []
    one = asyncio.create_task(world.operate(name, **first))
    await world.until_held(1)
    other = asyncio.create_task(world.operate(name, **second))
    await asyncio.sleep(0.1)
    world.exchange.release()
    await one
    await other


async def test_two_changes_of_rules_at_once_both_stand(world):
    change = {"symbol": "BTCUSDT"}
    one, other = change | {"minNotional": "6000"}, change | {"maxNotional": "7000"}
    await operate_at_once(world, "change-market-rules", one, other)
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


STEPS = {"symbol": "BTCUSDT", "quantityStep": "0.00001", "priceStep": "0.01"}


async def test_the_present_steps_change_nothing_else(world):
    before = rules_of(world)
    await world.operate("change-market-rules", **STEPS, maxNotional="1000")
    assert rules_of(world) == replace(before, max_notional=1_000 * 10**8)


async def test_other_steps_keep_what_can_be_said_in_them(world):
    """The recipe of docs/operating.md, as typed: halt, change, resume."""
    before = rules_of(world)
    await world.operate("change-market-rules", symbol="BTCUSDT", marketMaxQuantity="7")
    await world.operate("halt-market", symbol="BTCUSDT")
    steps = STEPS | {"quantityStep": "0.000001", "referencePrice": "60001"}
    await world.operate("change-market-rules", **steps)
    await world.operate("resume-market", symbol="BTCUSDT")
    assert rules_of(world) == replace(
        before,
        lot=before.lot // 10,
        tick=before.tick // 10,
        min_lots=before.min_lots * 10,
        max_lots=before.max_lots * 10,
        market_min_lots=before.market_min_lots * 10,
        market_max_lots=7_000_000,
    )
    alice = await world.add_user("alice", USDT="1000000")
    order = await alice.limit("BUY", "59000.01", "0.100001")
    assert (order["price"], order["origQty"]) == ("59000.01000000", "0.10000100")


async def test_what_other_steps_cannot_say_is_asked_for(world):
    await world.operate("halt-market", symbol="BTCUSDT")
    steps = STEPS | {"quantityStep": "0.001", "priceStep": "0.1"}
    answer = await world.operate("change-market-rules", 400, **steps)
    assert answer == {
        "code": -1102,
        "msg": "Other steps need these fields anew: referencePrice, minPrice, minQuantity.",
    }
    given = {"referencePrice": "60000", "minPrice": "0.1", "minQuantity": "0.001"}
    before = rules_of(world)
    await world.operate("change-market-rules", **steps, **given)
    assert rules_of(world) == replace(
        before,
        lot=100_000,
        tick=10_000,
        min_price_ticks=1,
        max_price_ticks=10_000_000,
        min_lots=1,
        max_lots=100_000,
        market_min_lots=1,
        market_max_lots=100_000,
    )


async def test_a_bound_of_market_orders_alone_is_asked_for(world):
    await world.operate("change-market-rules", symbol="BTCUSDT", marketMinQuantity="0.00003")
    steps = STEPS | {"quantityStep": "0.00002", "referencePrice": "60000"}
    answer = await world.operate("change-market-rules", 400, **steps, minQuantity="0.00002")
    assert answer["msg"] == "Other steps need these fields anew: marketMinQuantity."
    rest = {"minQuantity": "0.00002", "marketMinQuantity": "0.00004"}
    answer = await world.operate("change-market-rules", 400, **steps, **rest)
    assert answer["msg"] == "Refused: MARKET_NOT_HALTED."


async def test_a_bound_that_is_too_large_in_other_steps_is_asked_for(world):
    """2^62 lots at most: `maxQuantity` was the greatest there can be."""
    await world.operate("change-market-rules", symbol="BTCUSDT", maxQuantity="46000000000000")
    await world.operate("halt-market", symbol="BTCUSDT")
    steps = STEPS | {"quantityStep": "0.000001", "referencePrice": "60000"}
    answer = await world.operate("change-market-rules", 400, **steps)
    assert answer["msg"] == "Other steps need these fields anew: maxQuantity."
    await world.operate("change-market-rules", **steps, maxQuantity="100")


def access(world, user) -> tuple[set[str], list[str], int]:
    """Scopes, addresses and end (in ms) of the user's key, as the log has them."""
    key = world.exchange.shards[f"A{user.user_id % 2}"].state.keys[user.api_key]
    return {scope.name for scope in key.scopes}, list(key.ip_allowlist), key.expires_us // 1_000


async def test_what_is_not_named_of_a_key_stays(world):
    alice = await world.add_user("alice")
    key = {"userId": alice.user_id, "apiKey": alice.api_key}
    end, later = world.now_ms + 60_000, world.now_ms + 90_000
    await world.operate("restrict-api-key", **key, scopes="READ")
    assert access(world, alice) == ({"READ"}, [], 0)
    await world.operate("restrict-api-key", **key, ipAllowlist="10.0.0.0/8,::1/128")
    assert access(world, alice) == ({"READ"}, ["10.0.0.0/8", "::1/128"], 0)
    await world.operate("restrict-api-key", **key, expiresMs=end)
    assert access(world, alice) == ({"READ"}, ["10.0.0.0/8", "::1/128"], end)
    await world.operate("restrict-api-key", **key, expiresMs=later, scopes=["TRADE"])
    assert access(world, alice) == ({"TRADE"}, ["10.0.0.0/8", "::1/128"], later)
    await world.operate("restrict-api-key", **key)
    assert access(world, alice) == ({"TRADE"}, ["10.0.0.0/8", "::1/128"], later)


@pytest.mark.parametrize("anywhere", ["", []])
async def test_a_key_is_widened_by_a_word(world, anywhere):
    alice = await world.add_user("alice")
    key = {"userId": alice.user_id, "apiKey": alice.api_key}
    end = world.now_ms + 60_000
    await world.operate("restrict-api-key", **key, ipAllowlist=["10.0.0.0/8"], expiresMs=end)
    await world.operate("restrict-api-key", **key, ipAllowlist=anywhere)
    assert access(world, alice) == ({"READ", "TRADE"}, [], end)
    await world.operate("restrict-api-key", **key, expiresMs=0)
    assert access(world, alice) == ({"READ", "TRADE"}, [], 0)
    await world.operate("restrict-api-key", 400, **key, scopes=anywhere)


async def test_two_restrictions_of_a_key_at_once_both_stand(world):
    alice = await world.add_user("alice")
    key = {"userId": alice.user_id, "apiKey": alice.api_key}
    one, other = key | {"scopes": "READ"}, key | {"ipAllowlist": "::1/128"}
    await operate_at_once(world, "restrict-api-key", one, other)
    assert access(world, alice) == ({"READ"}, ["::1/128"], 0)


async def test_no_key_is_restricted_while_its_shard_is_down(world):
    alice = await world.add_user("alice")
    shard = f"A{alice.user_id % 2}"
    world.exchange.clock.us += 4_000_000
    world.exchange.tick(down=[shard])
    await world.until_missing([f"{shard} lags"])
    key = {"userId": alice.user_id, "apiKey": alice.api_key}
    answer = await world.operate("restrict-api-key", 503, **key, scopes="READ")
    assert answer["code"] == -1008
    assert shard in answer["msg"]


async def test_a_key_that_opens_nothing_is_not_restricted(world):
    alice, bob = await world.add_user("alice"), await world.add_user("bob")
    revoked = {"userId": alice.user_id, "apiKey": alice.api_key}
    await world.operate("revoke-api-key", **revoked)
    cases = [
        (revoked, "KEY_REVOKED"),
        ({"userId": bob.user_id, "apiKey": "none"}, "UNKNOWN_KEY"),
        ({"userId": alice.user_id, "apiKey": bob.api_key}, "UNKNOWN_KEY"),
        ({"userId": 9_998, "apiKey": bob.api_key}, "UNKNOWN_USER"),
    ]
    for key, reason in cases:
        for given in ({}, {"scopes": "READ"}):
            answer = await world.operate("restrict-api-key", 400, **key, **given)
            assert answer["msg"] == f"Refused: {reason}."
    assert access(world, bob) == ({"READ", "TRADE"}, [], 0)
