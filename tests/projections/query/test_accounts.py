"""Balances, fees, deposits, withdrawals, risk, health and positions."""

import asyncio
import time
from dataclasses import replace

import pytest

from domain.accounts.messages import UserRegistered, WithdrawalsHalted, WithdrawalsResumed
from infra.log import LogFailure
from projections import layout
from projections.layout import Balance, MarketRisk, Position, UserRisk
from tests.projections.query.world import (
    ALICE,
    BOB,
    BTC,
    BTCUSDT,
    E8,
    ETHBTC,
    T0_US,
    TOKEN,
    USDT,
    entry,
    signed,
    trade,
)

LEDGER_0 = ("ledger.ev", 0)


async def get(api, path, user=ALICE, **parameters):
    response = await api.get(path, params=parameters, headers=signed(user))
    return response.status, await response.json()


async def test_an_account_lists_every_asset(world, api):
    await world.put(layout.balances_key(ALICE), BTC, Balance(E8, E8 // 2))
    await world.put(layout.account_key(ALICE), "updated_us", T0_US - 5_000)

    status, account = await get(api, "/api/v3/account")

    assert status == 200
    assert account["balances"] == [
        {"asset": "BTC", "free": "1.00000000", "locked": "0.50000000"},
        {"asset": "USDT", "free": "0.00000000", "locked": "0.00000000"},
        {"asset": "ETH", "free": "0.00000000", "locked": "0.00000000"},
    ]
    assert (account["makerCommission"], account["takerCommission"]) == (7, 10)
    assert account["commissionRates"]["maker"] == "0.00075000"
    assert (account["uid"], account["updateTime"]) == (ALICE, T0_US // 1_000 - 5)
    assert account["canTrade"] is True
    _, account = await get(api, "/api/v3/account", omitZeroBalances="true")
    assert [row["asset"] for row in account["balances"]] == ["BTC"]


async def test_a_disabled_user_cannot_trade(world, api):
    world.reference.users[ALICE].enabled = False
    _, account = await get(api, "/api/v3/account")
    assert (account["canTrade"], account["canWithdraw"]) == (False, False)


async def test_fees(api):
    _, commission = await get(api, "/api/v3/account/commission", symbol="BTCUSDT")
    assert commission["standardCommission"] == {
        "maker": "0.00075000",
        "taker": "0.00100000",
        "buyer": "0.00000000",
        "seller": "0.00000000",
    }
    row = {
        "symbol": "BTCUSDT",
        "makerCommission": "0.00075000",
        "takerCommission": "0.00100000",
    }
    assert await get(api, "/sapi/v1/asset/tradeFee", symbol="BTCUSDT") == (200, [row])
    _, rows = await get(api, "/sapi/v1/asset/tradeFee")
    assert rows == [row, row | {"symbol": "ETHBTC"}]


async def test_deposits_and_withdrawals(world, api):
    world.store.insert(
        "ledger_entries",
        [
            entry(3, "DepositCredited", BTC, 2 * E8, "first"),
            entry(5, "DepositCredited", USDT, E8, "second"),
            entry(7, "WithdrawalDebited", BTC, E8, "third"),
        ],
    )
    _, rows = await get(api, "/sapi/v1/capital/deposit/hisrec")
    assert [(row["coin"], row["amount"], row["txId"]) for row in rows] == [
        ("USDT", "1.00000000", "second"),
        ("BTC", "2.00000000", "first"),
    ]
    assert rows[0]["successTime"] == rows[0]["insertTime"] == T0_US // 1_000 + 5_000
    _, rows = await get(api, "/sapi/v1/capital/deposit/hisrec", coin="BTC")
    assert [row["txId"] for row in rows] == ["first"]
    _, rows = await get(api, "/sapi/v1/capital/deposit/hisrec", limit=1, offset=1)
    assert [row["txId"] for row in rows] == ["first"]
    assert await get(api, "/sapi/v1/capital/deposit/hisrec", coin="DOGE") == (200, [])
    assert await get(api, "/sapi/v1/capital/deposit/hisrec", user=BOB) == (200, [])
    _, rows = await get(api, "/sapi/v1/capital/withdraw/history")
    assert [(row["withdrawOrderId"], row["amount"], row["applyTime"]) for row in rows] == [
        ("third", "1.00000000", "2026-01-01 00:00:07")
    ]


async def test_all_assets(world, api):
    await world.put(layout.balances_key(ALICE), BTC, Balance(E8, 0))
    _, rows = await get(api, "/sapi/v1/capital/config/getall")
    assert [(row["coin"], row["free"]) for row in rows][:2] == [
        ("BTC", "1.00000000"),
        ("USDT", "0.00000000"),
    ]
    assert rows[0]["networkList"][0]["withdrawIntegerMultiple"] == "0.00000001"


async def test_everybody_is_told_of_what_may_not_leave_and_why(world, api):
    world.reference.apply(WithdrawalsHalted(b"", BTC, "L2 before ledger.in.0@7"))
    _, rows = await get(api, "/sapi/v1/capital/config/getall")
    told = {row["coin"]: row["networkList"][0]["withdrawDesc"] for row in rows}
    assert told == {"BTC": "L2 before ledger.in.0@7", "USDT": "", "ETH": ""}
    answer = await (await api.get("/x/v1/assets")).json()
    assert answer[0] == {
        "asset": "BTC",
        "name": "Bitcoin",
        "decimals": 8,
        "withdrawalsHalted": True,
        "reason": "L2 before ledger.in.0@7",
    }
    world.reference.apply(WithdrawalsResumed(b"", BTC, "found"))
    answer = await (await api.get("/x/v1/assets")).json()
    assert not any(each["withdrawalsHalted"] for each in answer)


@pytest.fixture
async def risky(world):
    """Alice holds 1 BTC and 500 USDT; BTCUSDT last traded at 60,000."""
    await world.trade(BTCUSDT, [trade(1, T0_US, price=60_000 * E8)])
    risk = UserRisk(
        time_us=T0_US,
        exposure={str(USDT): 500 * E8, str(BTC): E8},
        open_notional={str(USDT): 30_000 * E8},
        minute=T0_US // 60_000_000,
        orders_this_minute=4,
        cancels_this_minute=3,
        orders_last_minute=2,
        cancels_last_minute=1,
        volume_24h={str(USDT): 6_000 * E8},
    )
    await world.put(layout.account_key(ALICE), "risk", risk)


async def test_the_risk_of_a_user_joins_positions_and_prices(risky, api):
    status, risk = await get(api, f"/x/v1/risk/users/{ALICE}")
    assert status == 200
    assert risk["equity"] == {"asset": "USDT", "amount": "60500.00000000"}
    assert risk["exposure"] == [
        {"asset": "BTC", "amount": "1.00000000", "value": "60000.00000000"},
        {"asset": "USDT", "amount": "500.00000000", "value": "500.00000000"},
    ]
    assert risk["openOrderNotional"] == [{"asset": "USDT", "amount": "30000.00000000"}]
    assert (risk["ordersThisMinute"], risk["cancelsThisMinute"]) == (4, 3)
    assert risk["meta"] == {
        "position": "ledger.ev.0@100;matching.ev.0@100;matching.ev.1@100",
        "logTime": T0_US // 1_000,
    }
    _, risk = await get(api, f"/x/v1/risk/users/{ALICE}", asset="ETH")
    assert [row["value"] for row in risk["exposure"]] == [None, None], "ETHBTC never traded"


async def test_equity_leaves_out_halted_markets_where_another_way_leads(risky, world, api):
    await world.trade(ETHBTC, [trade(1, T0_US, price=E8 // 20)])
    old = world.reference.market("ETHBTC")
    new = replace(old, market_id=4, symbol="ETHBTC2")
    world.reference.markets[new.market_id] = new
    await world.trade(new.market_id, [trade(1, T0_US, price=E8 // 10)])
    old.halted = True

    _, risk = await get(api, f"/x/v1/risk/users/{ALICE}", asset="ETH")

    assert risk["exposure"][0]["value"] == "10.00000000", "1 BTC at the new market's price"


async def test_a_users_risk_is_for_the_user_and_the_operator(risky, api):
    status, answer = await get(api, f"/x/v1/risk/users/{ALICE}", user=BOB)
    assert (status, answer["code"]) == (401, -2015)
    for token, expected in ((TOKEN, 200), ("wrong", 401)):
        headers = {"Authorization": f"Bearer {token}"}
        response = await api.get(f"/x/v1/risk/users/{ALICE}", headers=headers)
        assert response.status == expected
    status, answer = await get(api, "/x/v1/risk/users/%D9%A1")
    assert (status, answer["code"]) == (400, -1100)
    status, answer = await get(api, f"/x/v1/risk/users/{ALICE}", asset="DOGE")
    assert (status, answer["code"]) == (400, -1130)


async def test_a_user_who_does_not_exist_has_no_risk(risky, api):
    operator = {"Authorization": f"Bearer {TOKEN}"}
    for user in (0, 1, BOB + 1, 10**16 - 1):
        response = await api.get(f"/x/v1/risk/users/{user}", headers=operator)
        assert (response.status, (await response.json())["code"]) == (400, -1130), user
    response = await api.get(f"/x/v1/risk/users/{BOB}", headers=operator)
    assert (response.status, (await response.json())["exposure"]) == (200, [])


async def test_a_user_made_a_moment_ago_is_waited_for(world, api):
    """The operator was told of the user by another process, which had read on further."""
    world.ends["accounts.ev", 1] = 32
    operator = {"Authorization": f"Bearer {TOKEN}"}
    asked = asyncio.create_task(api.get(f"/x/v1/risk/users/{BOB + 2}", headers=operator))
    await asyncio.sleep(0.05)
    assert not asked.done()
    made = UserRegistered(b"", "new", 1, T0_US, BOB + 2, bytes(32), 0)
    world.reference.apply(made, 1)
    world.reference_at["accounts.ev", 1] = Position(31, 31, T0_US)
    assert (await asked).status == 200


async def test_the_risk_of_a_market(world, api):
    risk = MarketRisk(T0_US, 5_000 * E8, 7_000 * E8, 120, 80, 60_000 * E8)
    await world.put(layout.market_key(BTCUSDT), "risk", risk)
    status, answer = await get(api, "/x/v1/risk/markets/BTCUSDT")
    assert status == 200
    assert (answer["bidNotional"], answer["askNotional"]) == ("5000.00000000", "7000.00000000")
    assert (answer["volatility1mPpm"], answer["meta"]["position"]) == (120, "matching.ev.0@100")
    status, answer = await get(api, "/x/v1/risk/markets/NOPE")
    assert (status, answer["code"]) == (400, -1121)


async def test_positions_tell_every_view_and_its_lag(world, api):
    world.ends[LEDGER_0] = 105
    world.clock.time_us = T0_US + 250_000
    _, answer = await get(api, "/x/v1/positions")
    rows = {(row["view"], row["topic"], row["partition"]): row for row in answer["positions"]}
    assert rows["redis", *LEDGER_0] == {
        "view": "redis",
        "topic": "ledger.ev",
        "partition": 0,
        "sequence": 100,
        "logTime": T0_US // 1_000,
        "lagRecords": 5,
        "lagMs": 250,
    }
    assert rows["orders", *LEDGER_0]["sequence"] == 100
    assert rows["reference", "accounts.ev", 0]["sequence"] == 40
    assert ("trades", *LEDGER_0) not in rows


async def test_ready_means_that_no_view_lags(world, api):
    assert await get(api, "/health/live") == (200, {"status": "live"})
    assert await get(api, "/health/ready") == (200, {"status": "ready"})
    world.clock.time_us = T0_US + 4_000_000
    for partition in list(world.positions)[1:]:
        await world.advance(partition, Position(104, 103, T0_US + 4_000_000))
    world.reference_at["accounts.ev", 1] = Position(34, 34, T0_US + 4_000_000)
    status, answer = await get(api, "/health/ready")
    assert status == 503
    assert answer["behind"] == ["redis ledger.ev.0", "reference accounts.ev.0"]


async def test_a_store_that_does_not_answer_is_503_and_nothing_worse(world, api):
    world.redis_server.connected = False
    started_s = time.monotonic()
    for path in ("/api/v3/account", "/api/v3/ticker/price", "/x/v1/positions"):
        status, answer = await get(api, path)
        assert (status, answer["code"]) == (503, -1008)
    status, answer = await get(api, "/health/ready")
    assert (status, answer["behind"]) == (503, ["redis"])
    assert time.monotonic() - started_s < 3
    assert (await get(api, "/api/v3/time"))[0] == 200


async def test_a_user_without_anything_is_told_so(api):
    assert (await get(api, f"/x/v1/risk/users/{BOB}", user=BOB))[1]["exposure"] == []
    assert await get(api, "/api/v3/openOrders", user=BOB) == (200, [])
    assert await get(api, "/api/v3/allOrders", user=BOB, symbol="ETHBTC") == (200, [])


async def test_a_log_that_does_not_answer_is_503(world, api):
    world.log_failure = LogFailure("the brokers are away")
    status, answer = await get(api, "/api/v3/account")
    assert (status, answer["code"]) == (503, -1008)
    at = signed(ALICE) | {"X-Log-Min-Position": "ledger.ev.0@100"}
    response = await api.get("/api/v3/account", headers=at)
    assert response.status == 200, "who names a position does not need the end of the log"


async def test_before_genesis_everything_but_time_is_503(world, api):
    world.reference.ledger_partitions = world.reference.matching_partitions = 0
    world.reference_at.clear()
    for path in ("/api/v3/account", "/api/v3/ticker/price"):
        assert (await get(api, path))[0] == 503
    assert await get(api, "/health/ready") == (503, {"status": "behind", "behind": ["reference"]})
    assert (await get(api, "/api/v3/ping")) == (200, {})


async def test_not_ready_before_all_reference_data_are_folded(world, api):
    del world.reference_at["accounts.ev", 1]
    status, answer = await get(api, "/health/ready")
    assert (status, answer["behind"]) == (503, ["reference accounts.ev.1"])


async def test_a_key_made_a_moment_ago_is_waited_for(world, api):
    """The operator was told of the key by another process, which had read on further."""
    world.ends["accounts.ev", 1] = 32
    asked = asyncio.create_task(
        api.get("/api/v3/account", headers={"X-MBX-APIKEY": f"new-{ALICE}"})
    )
    await asyncio.sleep(0.05)
    assert not asked.done()
    world.reference_at["accounts.ev", 1] = Position(31, 31, T0_US)
    assert (await asked).status == 200


async def test_a_key_that_nobody_made_is_refused(world, api):
    response = await api.get("/api/v3/account", headers={"X-MBX-APIKEY": f"new-{ALICE}"})
    assert (response.status, (await response.json())["code"]) == (401, -2015)
    assert world.asked_ends == [("accounts.ev", 0), ("accounts.ev", 1)]
