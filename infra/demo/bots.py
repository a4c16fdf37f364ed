"""Bots that make the demo market live: market makers that quote around a price, and takers."""

import argparse
import asyncio
import random
import signal
from collections.abc import Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from domain.money import format_amount
from infra.demo.client import Client, Refused
from infra.demo.key_file import Account, is_complete, read_keys
from infra.logging import configure_logging, get_logger
from infra.refusal import Refusal
from infra.settings import load_settings

LEVELS = 8
QUOTE_INTERVAL_S = 1.0
TAKE_INTERVAL_S = 0.7

_logger = get_logger("bots")


@dataclass(slots=True, frozen=True)
class BotMarket:
    """A market the bots trade: prices in whole ticks of `tick`, quantities in `step`."""

    symbol: str
    start_ticks: int
    price_decimals: int
    quantity_decimals: int
    quantity_steps: int

    def price(self, ticks: int) -> str:
        """The price as the API wants it."""
        return format_amount(ticks, self.price_decimals, self.price_decimals)

    def quantity(self, steps: int) -> str:
        """The quantity as the API wants it."""
        return format_amount(steps, self.quantity_decimals, self.quantity_decimals)


BOT_MARKETS = (
    BotMarket("BTCUSDT", 6_000_000, 2, 5, 2_000),
    BotMarket("ETHUSDT", 300_000, 2, 4, 3_000),
    BotMarket("ETHBTC", 5_000, 5, 3, 300),
)


BOTS = ("maker", "taker")
"""The users that trade, as the key file names them."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command line of `logbourse bots`."""
    parser.add_argument("--url", required=True, help="the public URL")
    parser.add_argument("--keys", type=Path, required=True, help="JSON file with the bots' keys")


def run(arguments: argparse.Namespace) -> int:
    """Trade until SIGTERM. Raises `Refusal` without usable keys."""
    configure_logging(load_settings().log_level)
    keys = read_keys(arguments.keys)
    lacking = [name for name in BOTS if not is_complete(keys.get(name, {}))]
    if lacking:
        raise Refusal(f"{arguments.keys} must hold the bots' keys, lacks {' and '.join(lacking)}")
    asyncio.run(_trade(arguments.url, keys))
    return 0


async def _trade(url: str, keys: Mapping[str, Account]) -> None:
    timeout = aiohttp.ClientTimeout(total=10)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        maker, taker = (
            Client(session, url, keys[name]["apiKey"], keys[name]["secret"]) for name in BOTS
        )
        # A bot that breaks ends all of them, and the supervisor starts them again.
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(_make(maker, market)) for market in BOT_MARKETS]
            tasks += [group.create_task(_take(taker, market)) for market in BOT_MARKETS]
            loop = asyncio.get_running_loop()
            loop.add_signal_handler(signal.SIGTERM, _cancel, tasks)


def _cancel(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()


async def _make(client: Client, market: BotMarket) -> None:
    """Keep some levels on either side of a wandering price, moving a few at a time."""
    rng = random.Random()
    middle = market.start_ticks
    quotes: list[int] = []
    await _attempt(client.signed("DELETE", "/api/v3/openOrders", symbol=market.symbol))
    while True:
        spread = max(1, middle // 5_000)
        middle = max(spread * 4 * LEVELS, middle + rng.randint(-spread, spread))
        middle += (market.start_ticks - middle) // 200
        for side, sign in (("BUY", -1), ("SELL", 1)):
            ticks = middle + sign * (spread + rng.randrange(spread * LEVELS))
            answer = await _attempt(
                client.signed(
                    "POST",
                    "/api/v3/order",
                    symbol=market.symbol,
                    side=side,
                    type="LIMIT_MAKER",
                    quantity=market.quantity(rng.randint(1, market.quantity_steps)),
                    price=market.price(ticks),
                )
            )
            if answer:
                quotes.append(answer["orderId"])
        while len(quotes) > 2 * LEVELS:
            oldest = quotes.pop(0)
            cancel = client.signed("DELETE", "/api/v3/order", symbol=market.symbol, orderId=oldest)
            await _attempt(cancel)
        await asyncio.sleep(QUOTE_INTERVAL_S)


async def _take(client: Client, market: BotMarket) -> None:
    """Trade a little at the market, either way."""
    rng = random.Random()
    while True:
        await asyncio.sleep(TAKE_INTERVAL_S * rng.uniform(0.5, 1.5))
        await _attempt(
            client.signed(
                "POST",
                "/api/v3/order",
                symbol=market.symbol,
                side=rng.choice(("BUY", "SELL")),
                type="MARKET",
                quantity=market.quantity(rng.randint(1, market.quantity_steps // 4)),
            )
        )


async def _attempt(request: Coroutine[Any, Any, dict[str, int]]) -> dict[str, int] | None:
    """The answer, or None after a pause where the exchange refuses or cannot be reached."""
    try:
        return await request
    except Refused as refused:
        _logger.debug("refused", code=refused.code, detail=str(refused))
    except (aiohttp.ClientError, TimeoutError, ValueError) as error:
        _logger.warning("no answer", detail=repr(error))
        await asyncio.sleep(1.0)
    return None
