"""An unmodified ccxt trades on the live stack, knowing nothing but its address and a key."""

import time
from contextlib import suppress

import ccxt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

pytestmark = [pytest.mark.integration, pytest.mark.slow]

SYMBOL = "ETH/USDT"
FUNDS = {"USDT": "100000", "BTC": "1", "ETH": "10"}


def client(stack, api_key: str, secret: str) -> ccxt.binance:
    """What BINANCE_API.md A.1 says, without waits between requests.

    A busy machine answers 503 now and then: its HTTP library sends the same bytes again.
    """
    rest = f"{stack.url}/api/v3"
    urls = {
        "public": rest,
        "private": rest,
        "sapi": f"{stack.url}/sapi/v1",
        "fapiPublic": f"{stack.url}/fapi/v1",
        "dapiPublic": f"{stack.url}/dapi/v1",
    }
    made = ccxt.binance(
        {"apiKey": api_key, "secret": secret, "urls": {"api": urls}, "enableRateLimit": False}
    )
    again = Retry(
        total=20, status_forcelist=[503], allowed_methods=None, backoff_factor=0.05, backoff_max=1
    )
    made.session.mount("http://", HTTPAdapter(max_retries=again))
    return made


@pytest.fixture(scope="module")
def sides(whole_stack):
    """Two users' clients with the markets loaded, and an empty book between them."""
    whole_stack.until_ready()
    opened = []
    for _ in range(2):
        account = whole_stack.add_user(**FUNDS)
        opened.append(client(whole_stack, account.api_key, account.secret))
        opened[-1].load_markets()
    return opened


@pytest.fixture
def maker(sides):
    yield sides[0]
    with suppress(ccxt.OrderNotFound):
        sides[0].cancel_all_orders(SYMBOL)


@pytest.fixture
def taker(sides):
    yield sides[1]
    with suppress(ccxt.OrderNotFound):
        sides[1].cancel_all_orders(SYMBOL)


def test_markets(maker):
    assert {"BTC/USDT", "ETH/USDT", "ETH/BTC"} <= set(maker.symbols)
    market = maker.market(SYMBOL)
    assert (market["spot"], market["active"]) == (True, True)
    assert (market["precision"]["price"], market["precision"]["amount"]) == (0.01, 0.0001)
    assert market["limits"]["cost"]["min"] == 5


def test_status_and_time(maker):
    assert maker.fetch_status()["status"] == "ok"
    assert abs(maker.fetch_time() - time.time() * 1_000) < 5_000


def test_limit_orders_rest_are_amended_by_cancel_and_new_and_canceled(maker):
    placed = maker.create_order(SYMBOL, "limit", "buy", 0.5, 2_900)
    assert (placed["status"], placed["price"], placed["filled"]) == ("open", 2_900, 0)
    assert maker.fetch_balance()["USDT"] == {"free": 98_550.0, "used": 1_450.0, "total": 100_000.0}
    canceled = maker.cancel_order(placed["id"], SYMBOL)
    assert (canceled["id"], canceled["status"]) == (placed["id"], "canceled")
    amended = maker.create_order(SYMBOL, "limit", "buy", 0.25, 2_950)
    assert [row["id"] for row in maker.fetch_open_orders(SYMBOL)] == [amended["id"]]
    assert maker.fetch_order(placed["id"], SYMBOL)["status"] == "canceled"
    by_client_id = {"origClientOrderId": amended["clientOrderId"]}
    assert maker.fetch_order(None, SYMBOL, by_client_id)["id"] == amended["id"]
    maker.create_order(SYMBOL, "limit", "buy", 0.25, 2_940)
    assert len(maker.cancel_all_orders(SYMBOL)) == 2
    assert maker.fetch_open_orders(SYMBOL) == []
    assert maker.fetch_balance()["USDT"]["used"] == 0
    canceled_ids = [row["id"] for row in maker.fetch_canceled_orders(SYMBOL)]
    assert {placed["id"], amended["id"]} <= set(canceled_ids)


def test_trades_and_what_both_sides_are_told(maker, taker):
    before = maker.fetch_balance(), taker.fetch_balance()
    rested = maker.create_order(SYMBOL, "limit", "sell", 1, 3_000, {"postOnly": True})
    assert maker.fetch_order(rested["id"], SYMBOL)["postOnly"] is True
    bought = taker.create_order(SYMBOL, "market", "buy", 0.4)
    assert (bought["status"], bought["filled"], bought["average"]) == ("closed", 0.4, 3_000)
    assert bought["trades"][0]["price"] == 3_000
    by_cost = taker.create_market_buy_order_with_cost(SYMBOL, 600)
    assert (by_cost["filled"], by_cost["cost"]) == (0.2, 600)
    taken = taker.create_order(SYMBOL, "limit", "buy", 0.1, 3_010, {"timeInForce": "IOC"})
    assert (taken["status"], taken["average"]) == ("closed", 3_000)
    state = maker.fetch_order(rested["id"], SYMBOL)
    assert (state["status"], state["filled"], state["remaining"]) == ("open", 0.7, 0.3)
    assert sum(row["amount"] for row in maker.fetch_my_trades(SYMBOL)) == pytest.approx(0.7)
    mine = taker.fetch_my_trades(SYMBOL)
    assert {(row["side"], row["takerOrMaker"], row["price"]) for row in mine} == {
        ("buy", "taker", 3_000)
    }
    assert mine[0]["fee"] == {"cost": pytest.approx(0.0004), "currency": "ETH"}
    assert [row["id"] for row in taker.fetch_closed_orders(SYMBOL)] == [
        bought["id"],
        by_cost["id"],
        taken["id"],
    ]
    assert len(taker.fetch_orders(SYMBOL)) == 3
    after = maker.fetch_balance(), taker.fetch_balance()
    assert after[1]["USDT"]["total"] == pytest.approx(before[1]["USDT"]["total"] - 2_100)
    assert after[1]["ETH"]["total"] == pytest.approx(before[1]["ETH"]["total"] + 0.7 * 0.999)
    assert after[0]["ETH"]["total"] == pytest.approx(before[0]["ETH"]["total"] - 0.7)
    assert after[0]["ETH"]["used"] == pytest.approx(0.3)


def test_market_data_follows_the_trades(maker, taker):
    maker.create_order(SYMBOL, "limit", "sell", 1, 3_001)
    maker.create_order(SYMBOL, "limit", "buy", 2, 2_999)
    sold = taker.create_order(SYMBOL, "market", "sell", 0.5)
    soon = time.monotonic() + 10
    while maker.fetch_trades(SYMBOL)[-1]["id"] < sold["trades"][0]["id"]:
        assert time.monotonic() < soon, "a trade must be public within 10 s"
    last = maker.fetch_trades(SYMBOL)[-1]
    assert (last["price"], last["amount"], last["side"]) == (2_999, 0.5, "sell")
    book = maker.fetch_order_book(SYMBOL)
    assert (book["bids"], book["asks"]) == ([[2_999, 1.5]], [[3_001, 1]])
    ticker = maker.fetch_ticker(SYMBOL)
    assert (ticker["bid"], ticker["ask"], ticker["last"]) == (2_999, 3_001, 2_999)
    assert SYMBOL in maker.fetch_tickers()
    assert maker.fetch_bids_asks([SYMBOL])[SYMBOL]["bidVolume"] == 1.5
    assert maker.fetch_last_prices([SYMBOL])[SYMBOL]["price"] == 2_999
    candles = maker.fetch_ohlcv(SYMBOL, "1m")
    assert candles[-1][4] == 2_999
    daily = maker.fetch_ohlcv(SYMBOL, "1d")
    assert sum(row[5] for row in daily) == pytest.approx(ticker["baseVolume"])


def test_fees(maker):
    fee = maker.fetch_trading_fee(SYMBOL)
    assert (fee["maker"], fee["taker"]) == (0.001, 0.001)
    assert maker.fetch_trading_fees()[SYMBOL]["taker"] == 0.001


def test_refusals_are_ccxts_own_errors(stack, maker, taker):
    maker.create_order(SYMBOL, "limit", "sell", 1, 3_000)
    with pytest.raises(ccxt.InsufficientFunds):
        taker.create_order(SYMBOL, "limit", "buy", 50, 2_990)
    with pytest.raises(ccxt.OrderImmediatelyFillable):
        taker.create_order(SYMBOL, "limit", "buy", 1, 3_000, {"postOnly": True})
    with pytest.raises(ccxt.OrderNotFound):
        taker.cancel_order("999999999", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        taker.fetch_order("999999999", SYMBOL)
    with pytest.raises(ccxt.OrderNotFound):
        taker.cancel_all_orders(SYMBOL)
    order = {"symbol": "ETHUSDT", "side": "BUY", "type": "LIMIT", "timeInForce": "GTC"}
    with pytest.raises(ccxt.InvalidOrder, match="PRICE_FILTER"):
        taker.private_post_order({**order, "quantity": "1", "price": "3000.001"})
    with pytest.raises(ccxt.InvalidOrder, match="LOT_SIZE"):
        taker.private_post_order({**order, "quantity": "0.00001", "price": "3000"})
    with pytest.raises(ccxt.BadSymbol):
        taker.private_post_order({**order, "symbol": "NOPE", "quantity": "1", "price": "3000"})
    with pytest.raises(ccxt.InvalidNonce):
        taker.fetch_balance({"timestamp": taker.milliseconds() - 120_000})
    with pytest.raises(ccxt.AuthenticationError):
        client(stack, taker.apiKey, "another secret").fetch_balance()
    with pytest.raises(ccxt.AuthenticationError):
        client(stack, "no-such-key", "secret").create_order(SYMBOL, "limit", "buy", 1, 3_000)


def test_an_ed25519_key_signs(stack):
    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    account = stack.add_user(**FUNDS)
    told = stack.admin("create-api-key", userId=account.user_id, publicKey=public.decode())
    pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    signing = client(stack, told["apiKey"], pem)
    placed = signing.create_order(SYMBOL, "limit", "buy", 0.1, 2_000)
    assert signing.fetch_open_orders(SYMBOL)[0]["id"] == placed["id"]
    assert signing.cancel_order(placed["id"], SYMBOL)["status"] == "canceled"
