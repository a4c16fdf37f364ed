"""Makes the demo market through the admin port: assets, markets, users, keys, money."""

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import aiohttp

from infra.demo.key_file import Account, is_complete, read_keys
from infra.files import replace_text
from infra.keys import open_admin_token
from infra.refusal import Refusal
from infra.settings import LOOPBACK, Settings, load_settings

ASSETS = (("USDT", "Tether"), ("BTC", "Bitcoin"), ("ETH", "Ether"))
MARKETS = (
    {
        "symbol": "BTCUSDT",
        "base": "BTC",
        "quote": "USDT",
        "quantityStep": "0.00001",
        "priceStep": "0.01",
        "referencePrice": "60000",
        "minPrice": "0.01",
        "maxPrice": "1000000",
        "minQuantity": "0.00001",
        "maxQuantity": "9000",
        "minNotional": "5",
        "maxNotional": "9000000",
    },
    {
        "symbol": "ETHUSDT",
        "base": "ETH",
        "quote": "USDT",
        "quantityStep": "0.0001",
        "priceStep": "0.01",
        "referencePrice": "3000",
        "minPrice": "0.01",
        "maxPrice": "1000000",
        "minQuantity": "0.0001",
        "maxQuantity": "9000",
        "minNotional": "5",
        "maxNotional": "9000000",
    },
    {
        "symbol": "ETHBTC",
        "base": "ETH",
        "quote": "BTC",
        "quantityStep": "0.001",
        "priceStep": "0.00001",
        "referencePrice": "0.05",
        "minPrice": "0.00001",
        "maxPrice": "900",
        "minQuantity": "0.001",
        "maxQuantity": "100000",
        "minNotional": "0.0001",
        "maxNotional": "9000000",
    },
)
USERS = ("trader", "maker", "taker")
FUNDS = {
    "trader": {"USDT": "100000", "BTC": "5", "ETH": "50"},
    "maker": {"USDT": "100000000", "BTC": "10000", "ETH": "100000"},
    "taker": {"USDT": "100000000", "BTC": "10000", "ETH": "100000"},
}

Call = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse seed`."""
    parser.add_argument("--keys", type=Path, required=True, help="file for the demo users' keys")


def run(arguments: argparse.Namespace) -> int:
    """Seed once: what is there already is left as it is. Raises `Refusal`."""
    path: Path = arguments.keys
    keys = read_keys(path)
    try:
        asyncio.run(_seed(load_settings(), keys, lambda: _save(path, keys)))
    except aiohttp.ClientError as error:
        raise Refusal(f"the admin port must answer, did not: {error}") from None
    return 0


async def _seed(settings: Settings, keys: dict[str, Account], save: Callable[[], None]) -> None:
    token = open_admin_token(settings.admin_token_file)
    url = f"http://{LOOPBACK}:{settings.admin_port}/admin/v1/"
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(headers=headers) as session:

        async def call(operation: str, body: dict[str, Any]) -> dict[str, Any]:
            async with session.post(url + operation, json=body) as response:
                answer: dict[str, Any] = await response.json()
                if response.status != 200:
                    raise Refusal(f"{operation} of the demo market: {answer.get('msg')}")
                return answer

        await _list(call)
        await _open_accounts(call, keys, save)


async def _list(call: Call) -> None:
    for code, name in ASSETS:
        await _unless_taken(call, "list-asset", {"code": code, "name": name})
    for market in MARKETS:
        await _unless_taken(call, "list-market", dict(market))


async def _open_accounts(call: Call, keys: dict[str, Account], save: Callable[[], None]) -> None:
    for login in USERS:
        account = keys.setdefault(login, {})
        if is_complete(account):
            # The key is made last.
            continue
        if "userId" not in account:
            account["userId"] = await _register(call, login)
            save()
        user = {"userId": account["userId"]}
        for asset, amount in FUNDS[login].items():
            reference = f"demo-{account['userId']}-{asset}"
            await call(
                "deposit", {**user, "asset": asset, "amount": amount, "reference": reference}
            )
        key = await call("create-api-key", {**user, "label": "demo"})
        account |= {"apiKey": key["apiKey"], "secret": key["secretKey"]}
        save()


async def _register(call: Call, login: str) -> int:
    """The id of a new user, under another login where the file has lost who has that one."""
    for number in count(1):
        name = login if number == 1 else f"{login}-{number}"
        try:
            return int((await call("register-user", {"login": f"{name}@demo"}))["userId"])
        except Refusal as refusal:
            if "TAKEN" not in str(refusal):
                raise
    raise AssertionError("numbers do not end")


async def _unless_taken(call: Call, operation: str, body: dict[str, Any]) -> None:
    try:
        await call(operation, body)
    except Refusal as refusal:
        if "TAKEN" not in str(refusal):
            raise


def _save(path: Path, keys: dict[str, Account]) -> None:
    replace_text(path, json.dumps(keys, indent=2) + "\n", private=True)
