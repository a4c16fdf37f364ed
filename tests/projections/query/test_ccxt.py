"""The judge: an unmodified ccxt reads everything over HTTP and finds it consistent."""

import asyncio

import ccxt
import pytest

from projections import layout
from projections.intervals import HOUR_US, MINUTE_US
from projections.layout import Balance, Position
from tests.projections.query.world import (
    ALICE,
    BTC,
    BTCUSDT,
    E8,
    T0_US,
    USDT,
    closed,
    entry,
    fill,
    order,
    trade,
)

pytestmark = pytest.mark.slow

T0_MS = T0_US // 1_000
SYMBOL = "BTC/USDT"


@pytest.fixture
async def exchange(world, api):
    """A ccxt that knows the base address and a key alone; calls go through `ask`."""
    await world.trade(BTCUSDT, [trade(n, T0_US - HOUR_US + n * MINUTE_US) for n in range(1, 60)])
    await world.put_book(BTCUSDT, {59_990 * E8: 4 * E8}, {60_000 * E8: 5 * E8}, sequence=9)
    await world.put(layout.balances_key(ALICE), BTC, Balance(E8, E8 // 2))
    await world.put_order(order(4, filled_quantity=E8 // 10, filled_quote=6_000 * E8))
    for state in (order(4), closed(2), closed(6, reason=1, filled_quantity=0, filled_quote=0)):
        world.store_order(state)
    world.store.insert("fills", [fill(1, order_id=2)])
    world.store.insert(
        "ledger_entries",
        [
            entry(3, "DepositCredited", BTC, 2 * E8, "first"),
            entry(7, "WithdrawalDebited", USDT, E8, "second"),
        ],
    )
    base = str(api.make_url("")).rstrip("/")
    rest = f"{base}/api/v3"
    urls = {
        "public": rest,
        "private": rest,
        "sapi": f"{base}/sapi/v1",
        "fapiPublic": f"{base}/fapi/v1",
        "dapiPublic": f"{base}/dapi/v1",
    }
    client = ccxt.binance({"apiKey": f"key-{ALICE}", "secret": "unused", "urls": {"api": urls}})
    await ask(client.load_markets)
    return client


async def ask(method, *arguments):
    """ccxt's own blocking client, beside the server's loop."""
    return await asyncio.to_thread(method, *arguments)


async def test_markets_and_currencies(exchange):
    market = exchange.market(SYMBOL)
    assert (market["spot"], market["active"], market["precision"]["price"]) == (True, True, 0.01)
    assert market["precision"]["amount"] == 0.00001
    assert market["limits"]["cost"]["min"] == 5
    assert exchange.currencies["BTC"]["precision"] == 1e-8
    assert sorted(exchange.symbols) == ["BTC/USDT", "ETH/BTC"]


async def test_tickers(exchange):
    ticker = await ask(exchange.fetch_ticker, SYMBOL)
    assert (ticker["bid"], ticker["ask"], ticker["last"]) == (59_990, 60_000, 60_059)
    assert ticker["low"] * ticker["baseVolume"] <= ticker["quoteVolume"]
    assert ticker["quoteVolume"] <= ticker["high"] * ticker["baseVolume"]
    assert list(await ask(exchange.fetch_tickers, [SYMBOL])) == [SYMBOL]
    assert (await ask(exchange.fetch_last_prices, [SYMBOL]))[SYMBOL]["price"] == 60_059
    assert (await ask(exchange.fetch_bids_asks, [SYMBOL]))[SYMBOL]["askVolume"] == 5


async def test_book_trades_and_candles(exchange):
    book = await ask(exchange.fetch_order_book, SYMBOL)
    assert (book["bids"], book["asks"]) == ([[59_990, 4]], [[60_000, 5]])
    assert (book["nonce"], book["timestamp"]) == (9, None)
    trades = await ask(exchange.fetch_trades, SYMBOL, T0_MS - 10 * 60_000, 3)
    assert [(row["id"], row["side"]) for row in trades] == [
        ("50", "buy"),
        ("51", "buy"),
        ("52", "buy"),
    ]
    candles = await ask(exchange.fetch_ohlcv, SYMBOL, "1m", None, 5)
    assert [row[0] for row in candles] == [T0_MS - n * 60_000 for n in (4, 3, 2, 1, 0)]
    assert candles[0][4] == 60_056
    assert candles[-1][5] == 0


async def test_the_account(exchange):
    balance = await ask(exchange.fetch_balance)
    assert balance["BTC"] == {"free": 1.0, "used": 0.5, "total": 1.5}
    fees = await ask(exchange.fetch_trading_fees)
    assert (fees[SYMBOL]["maker"], fees[SYMBOL]["taker"]) == (0.00075, 0.001)
    (deposit,) = await ask(exchange.fetch_deposits)
    assert (deposit["amount"], deposit["currency"], deposit["status"]) == (2.0, "BTC", "ok")
    (withdrawal,) = await ask(exchange.fetch_withdrawals)
    assert (withdrawal["amount"], withdrawal["status"]) == (1.0, "ok")
    assert withdrawal["updated"] == T0_MS + 7_000


async def test_orders_and_own_trades(exchange):
    found = await ask(exchange.fetch_order, "4", SYMBOL)
    assert (found["status"], found["filled"], found["remaining"]) == ("open", 0.1, 0.4)
    assert (found["type"], found["side"], found["price"]) == ("limit", "buy", 60_000)
    (opened,) = await ask(exchange.fetch_open_orders, SYMBOL)
    assert opened["clientOrderId"] == "client-4"
    every = await ask(exchange.fetch_orders, SYMBOL)
    assert [(row["id"], row["status"]) for row in every] == [
        ("2", "closed"),
        ("4", "open"),
        ("6", "canceled"),
    ]
    assert [row["id"] for row in await ask(exchange.fetch_closed_orders, SYMBOL)] == ["2"]
    assert [row["id"] for row in await ask(exchange.fetch_canceled_orders, SYMBOL)] == ["6"]
    (mine,) = await ask(exchange.fetch_my_trades, SYMBOL)
    assert (mine["takerOrMaker"], mine["fee"]) == ("taker", {"cost": 0.0001, "currency": "BTC"})


async def test_errors_become_ccxts_own(world, exchange):
    await world.advance(("ledger.ev", 0), Position(200, 199, T0_US + 1))
    with pytest.raises(ccxt.OrderNotFound):
        await ask(exchange.fetch_order, "404", SYMBOL)
    with pytest.raises(ccxt.BadRequest, match="Invalid interval"):
        await ask(exchange.public_get_klines, {"symbol": "BTCUSDT", "interval": "7m"})
    with pytest.raises(ccxt.BadSymbol):
        await ask(exchange.public_get_depth, {"symbol": "NOPE"})


async def test_status_and_time(exchange):
    assert (await ask(exchange.fetch_status))["status"] == "ok"
    assert await ask(exchange.fetch_time) == T0_MS
