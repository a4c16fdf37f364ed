"""No read ignores what it was sent: what it does not know is refused, the rest selects."""

import asyncio

import pytest

from tests.projections.query.test_min_position import READS
from tests.projections.query.world import (
    ALICE,
    BTC,
    E8,
    TOKEN,
    USDT,
    entry,
    order,
    signed,
)

PROBES = ("/health/live", "/health/ready")
EVERYWHERE = "timestamp=1&recvWindow=5000&signature=ab&timeUnit=MICROSECOND"


async def ask(api, path, query):
    """Status and answer to Alice, or to an operator where only one may ask."""
    url = path.replace("{id}", str(ALICE)).replace("{symbol}", "BTCUSDT")
    sender = {"Authorization": f"Bearer {TOKEN}"} if "/audit/" in path else signed(ALICE)
    response = await api.get(f"{url}?{query}", headers=sender)
    return response.status, await response.json()


async def get(api, path, **parameters):
    response = await api.get(path, params=parameters, headers=signed(ALICE))
    assert response.status == 200, await response.text()
    return await response.json()


async def test_every_read_refuses_what_it_does_not_know(api):
    asked = {path: query for path, (query, _) in READS.items() if path not in PROBES}
    told = await asyncio.gather(*(ask(api, p, f"{q}&unheard=1") for p, q in asked.items()))
    for (path, query), (status, answer) in zip(asked.items(), told, strict=True):
        read = query.count("=")
        msg = (
            f"Not all sent parameters were read; read '{read}' parameter(s) "
            f"but was sent '{read + 1}'."
        )
        assert (path, status, answer) == (path, 400, {"code": -1104, "msg": msg})


async def test_every_read_takes_what_signs_a_request_and_a_unit_of_time(world, api):
    await world.put_order(order(1))
    asked = {path: query for path, (query, _) in READS.items() if path not in PROBES}
    told = await asyncio.gather(*(ask(api, p, f"{q}&{EVERYWHERE}") for p, q in asked.items()))
    assert [path for path, (status, _) in zip(asked, told, strict=True) if status != 200] == []


@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("depth", {"symbol": "BTCUSDT", "symbolStatus": "TRADING"}),
        ("trades", {"symbol": "BTCUSDT", "timeUnit": "MICROSECOND"}),
        ("exchangeInfo", {"permissions": "SPOT", "symbolStatus": "TRADING"}),
        ("exchangeInfo", {"symbols": '["BTCUSDT"]', "showPermissionSets": "true"}),
        ("depth", {"symbol": "BTCUSDT", "limit": 5}),
        ("trades", {"symbol": "BTCUSDT", "limit": 5}),
        ("aggTrades", {"symbol": "BTCUSDT", "startTime": 1, "endTime": 2, "limit": 5}),
        ("uiKlines", {"symbol": "BTCUSDT", "interval": "1m", "timeZone": "0", "limit": 5}),
        ("klines", {"symbol": "BTCUSDT", "interval": "1m", "startTime": 1, "endTime": 2}),
        ("ticker/24hr", {"symbols": '["BTCUSDT"]', "type": "MINI"}),
        ("ticker", {"symbol": "BTCUSDT", "windowSize": "1h", "type": "MINI"}),
        ("ticker/tradingDay", {"symbol": "BTCUSDT", "timeZone": "0", "type": "MINI"}),
        ("allOrders", {"symbol": "BTCUSDT", "startTime": 1, "endTime": 2, "limit": 5}),
        ("allOrders", {"symbol": "BTCUSDT", "orderId": 1}),
        ("myTrades", {"symbol": "BTCUSDT", "orderId": 1, "fromId": 1, "limit": 5}),
        ("account", {"omitZeroBalances": "true"}),
    ],
)
async def test_what_clients_send_is_known(api, path, sent):
    await get(api, f"/api/v3/{path}", **sent)


async def test_permission_sets_are_left_out_on_demand(api):
    found = await get(api, "/api/v3/exchangeInfo", showPermissionSets="false")
    assert [row["permissionSets"] for row in found["symbols"]] == [[], []]
    found = await get(api, "/api/v3/exchangeInfo")
    assert [row["permissionSets"] for row in found["symbols"]] == [[["SPOT"]], [["SPOT"]]]


@pytest.fixture
def funded(world):
    """Alice's deposits `first` and `second`, and her withdrawals `third` and `fourth`."""
    rows = [
        entry(3, "DepositCredited", BTC, 2 * E8, "first"),
        entry(5, "DepositCredited", USDT, E8, "second"),
        entry(7, "WithdrawalDebited", BTC, E8, "third"),
        entry(9, "WithdrawalDebited", BTC, E8, "fourth"),
    ]
    world.store.insert("ledger_entries", rows)


@pytest.mark.parametrize(
    ("path", "sent", "found"),
    [
        ("deposit/hisrec", {"status": 1}, ["second", "first"]),
        ("deposit/hisrec", {"status": 0}, []),
        ("deposit/hisrec", {"status": 6}, []),
        ("deposit/hisrec", {"txId": "first"}, ["first"]),
        ("deposit/hisrec", {"txId": "third"}, []),
        ("withdraw/history", {"status": 6}, ["fourth", "third"]),
        ("withdraw/history", {"status": 1}, []),
        ("withdraw/history", {"withdrawOrderId": "third"}, ["third"]),
        ("withdraw/history", {"withdrawOrderId": "first"}, []),
    ],
)
async def test_deposits_and_withdrawals_are_selected(funded, api, path, sent, found):
    rows = await get(api, f"/sapi/v1/capital/{path}", **sent)
    assert [row["txId"] for row in rows] == found


@pytest.mark.parametrize("path", ["deposit/hisrec", "withdraw/history"])
@pytest.mark.parametrize(("status", "code"), [("9", -1130), ("done", -1100), ("", -1105)])
async def test_a_status_is_one_of_binances_numbers(api, path, status, code):
    _, answer = await ask(api, f"/sapi/v1/capital/{path}", f"status={status}")
    assert answer["code"] == code


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({"orderId": 4, "origClientOrderId": "client-4"}, 200),
        ({"orderId": 4, "origClientOrderId": "client-5"}, 400),
        ({"orderId": 5, "origClientOrderId": "client-4"}, 400),
    ],
)
async def test_two_ids_name_one_order_or_none(world, api, sent, status):
    for order_id in (4, 5):
        await world.put_order(order(order_id))
        world.store_order(order(order_id + 10))
    query = "&".join(f"{name}={value}" for name, value in sent.items())
    told, answer = await ask(api, "/api/v3/order", f"symbol=BTCUSDT&{query}")
    assert told == status
    assert answer.get("code") == (None if status == 200 else -2013)
    history = {"orderId": sent["orderId"] + 10, "origClientOrderId": "client-14"}
    query = "&".join(f"{name}={value}" for name, value in history.items())
    told, _ = await ask(api, "/api/v3/order", f"symbol=BTCUSDT&{query}")
    assert told == (200 if sent["orderId"] == 4 else 400)
