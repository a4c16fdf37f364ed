"""What benchmarks start from: assets, a market, users with money without end, and plain orders."""

import random
from collections.abc import Iterator
from typing import NamedTuple

from domain.accounts.messages import ListAsset, RegisterUser
from domain.decider import Message
from domain.fees import FeeTier
from domain.ledger.messages import CreditDeposit
from domain.limits import Limits
from domain.markets import ListMarket, MarketRules
from domain.orders.messages import (
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)

PLENTY = 1 << 45
UNLIMITED = Limits(1 << 40, 1 << 40, 1 << 40, 1 << 40)
FEES = [FeeTier(0, 1_000, 1_000)]
REFERENCE_TICKS = 60_000
FAR_TICKS = 500
RECORD_MESSAGES = 500

RULES = MarketRules(
    base_asset=1,
    quote_asset=2,
    lot=1_000,
    tick=10,
    min_price_ticks=1,
    max_price_ticks=10_000_000,
    min_lots=1,
    max_lots=1_000_000,
    market_min_lots=1,
    market_max_lots=1_000_000,
    min_notional=1,
    max_notional=1 << 60,
    bid_up_ppm=5_000_000,
    bid_down_ppm=200_000,
    ask_up_ppm=5_000_000,
    ask_down_ppm=200_000,
    collar_ppm=50_000,
    max_open_orders=10_000,
)


class Sent(NamedTuple):
    """Messages for one shard's inbox, in one record."""

    shard: str
    messages: list[Message]


def opening(
    ids: Iterator[int], deadline_us: int, *, ledgers: int, users_per_ledger: int
) -> Iterator[Sent]:
    """One market, BTCUSDT, and users whose ids are `ledgers` and up, without a gap.

    Each record must be drained before the next: money needs its account.
    """
    assets: list[Message] = [
        ListAsset(_id(ids), deadline_us, "BTC", "Bitcoin", 8),
        ListAsset(_id(ids), deadline_us, "USDT", "Tether", 8),
    ]
    yield Sent("A0", assets)
    yield Sent("M0", [ListMarket(_id(ids), deadline_us, "BTCUSDT", RULES, REFERENCE_TICKS)])
    for partition in range(ledgers):
        numbers = [number * ledgers + partition for number in range(users_per_ledger)]
        users: list[Message] = [
            RegisterUser(_id(ids), deadline_us, number.to_bytes(8) + bytes(24), 0)
            for number in numbers
        ]
        deposits: list[Message] = [
            CreditDeposit(
                _id(ids), deadline_us, number + ledgers, asset, PLENTY, f"{number} {asset}"
            )
            for number in numbers
            for asset in (1, 2)
        ]
        yield from _in_records(f"A{partition}", users)
        yield from _in_records(f"L{partition}", deposits)


def distance_ticks(rng: random.Random) -> int:
    """How far from the middle a maker's price is: some 40 ticks, at most `FAR_TICKS` + 1."""
    return 1 + min(int(rng.expovariate(1 / 40)), FAR_TICKS)


def limit_order(
    command_id: bytes,
    deadline_us: int,
    user_id: int,
    market_id: int,
    client_order_id: str,
    side: Side,
    time_in_force: TimeInForce,
    price_ticks: int,
    lots: int,
) -> PlaceOrder:
    """A limit order without anything special."""
    return PlaceOrder(
        command_id=command_id,
        deadline_us=deadline_us,
        user_id=user_id,
        market_id=market_id,
        market_revision=0,
        client_order_id=client_order_id,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=time_in_force,
        price_ticks=price_ticks,
        lots=lots,
        quote_amount=0,
        stop_price_ticks=0,
        iceberg_lots=0,
        self_trade_prevention=SelfTradePrevention.NONE,
    )


def _in_records(shard: str, messages: list[Message]) -> Iterator[Sent]:
    for first in range(0, len(messages), RECORD_MESSAGES):
        yield Sent(shard, messages[first : first + RECORD_MESSAGES])


def _id(ids: Iterator[int]) -> bytes:
    return next(ids).to_bytes(16)
