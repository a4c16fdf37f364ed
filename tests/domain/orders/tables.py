"""The small exchange that tables of the ledger play on, and short words to write them with."""

from dataclasses import replace
from typing import Any

from domain.accounts.messages import AssetListed
from domain.decider import Decider, Message
from domain.fees import FeeTier
from domain.ledger.chart import held_account
from domain.ledger.messages import AccountOpened, DepositCredited
from domain.limits import Limits
from domain.markets import MarketListed, MarketRules
from domain.orders.decider import LedgerDecider
from domain.orders.messages import (
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.orders.state import LedgerState
from domain.protocol import Genesis

BTC, USDT, ETH = 1, 2, 3
BTCUSDT, ETHUSDT = 1, 2
ANN, BOB = 2, 4
"""Two users of partition 0 of 2."""

NOON_US = 1_700_000_000_000_000
COMMAND = b"command-id-16-by"
LEDGER: Decider[LedgerState] = LedgerDecider()

RULES = MarketRules(
    base_asset=BTC,
    quote_asset=USDT,
    lot=10,
    tick=3,
    min_price_ticks=10,
    max_price_ticks=10_000,
    min_lots=2,
    max_lots=1_000,
    market_min_lots=3,
    market_max_lots=500,
    min_notional=600,
    max_notional=1_000_000,
    bid_up_ppm=1_500_000,
    bid_down_ppm=200_000,
    ask_up_ppm=5_000_000,
    ask_down_ppm=800_000,
    collar_ppm=50_000,
    max_open_orders=5,
)
"""BTCUSDT: a price of p ticks is 3p/10 quote units per base unit; the reference price is 100."""

ETH_RULES = replace(RULES, base_asset=ETH, lot=7)

LIMITS = Limits(
    orders_per_10s=8, orders_per_day=20, request_weight_per_minute=1, raw_requests_per_5m=1
)
FEES = [FeeTier(0, 1_000, 2_000), FeeTier(1, 0, 500)]


def genesis(partition: int = 0, partitions: int = 2) -> Genesis:
    return Genesis(
        exchange="toy",
        family="L",
        partition=partition,
        ledger_partitions=partitions,
        matching_partitions=2,
        rules_version=1,
        limits=LIMITS,
        fee_tiers=FEES,
    )


def listed(market_id: int = BTCUSDT, rules: MarketRules = RULES) -> MarketListed:
    return MarketListed(
        command_id=b"",
        market_id=market_id,
        symbol="",
        revision=1,
        rules=rules,
        reference_price_ticks=100,
    )


OPENED: list[Message] = [
    genesis(),
    *[AssetListed(b"", asset, f"A{asset}", "", 8) for asset in (BTC, USDT, ETH)],
    listed(),
    listed(ETHUSDT, ETH_RULES),
    AccountOpened(b"", ANN, 0),
    AccountOpened(b"", BOB, 1),
]
FUNDED: list[Message] = [
    *OPENED,
    DepositCredited(b"", ANN, USDT, 100_000, "ann-usdt"),
    DepositCredited(b"", BOB, BTC, 10_000, "bob-btc"),
]


def given(*events: Message, time_us: int = NOON_US) -> LedgerState:
    """The state of a ledger shard in which these events have happened."""
    state = LEDGER.initial()
    state.time_us = time_us
    for event in events:
        state = LEDGER.evolve(state, event)
    return state


def when(state: LedgerState, *messages: Message) -> list[Message]:
    """What each message causes, applied at once, as the host does it."""
    happened: list[Message] = []
    for message in messages:
        for event in LEDGER.decide(state, message):
            happened.append(event)
            LEDGER.evolve(state, event)
    return happened


def place(user_id: int, side: Side, lots: int, price_ticks: int, **changes: Any) -> PlaceOrder:
    """A GTC limit order in BTCUSDT, but for `changes`."""
    order = PlaceOrder(
        command_id=COMMAND,
        deadline_us=0,
        user_id=user_id,
        market_id=BTCUSDT,
        market_revision=0,
        client_order_id="",
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=price_ticks,
        lots=lots,
        quote_amount=0,
        stop_price_ticks=0,
        iceberg_lots=0,
        self_trade_prevention=SelfTradePrevention.NONE,
    )
    return replace(order, **changes)


def market(user_id: int, side: Side, lots: int = 0, quote_amount: int = 0) -> PlaceOrder:
    """A MARKET order in BTCUSDT."""
    return place(
        user_id,
        side,
        lots,
        0,
        quote_amount=quote_amount,
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.IOC,
    )


def purse(state: LedgerState, user_id: int) -> tuple[int, int, int, int]:
    """What the user has: BTC available and held, USDT available and held."""
    books = state.balances
    return (
        books.available(user_id, BTC),
        books.amount(BTC, held_account(user_id)),
        books.available(user_id, USDT),
        books.amount(USDT, held_account(user_id)),
    )
