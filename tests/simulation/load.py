"""What traders and operators wish, as phases whose outcome depends on no race.

Between two phases everything drains. Within one, each ledger shard trades on one matching shard
only and accounts do not change, so that balances, orders and books after the phase are the same
however the processes were scheduled: that is what makes a run comparable with a crash-free one.
"""

import functools
import itertools
import random
from collections.abc import Iterator
from hashlib import blake2b

from domain.accounts.messages import (
    ChangeFees,
    ChangeFeeTier,
    DisableUser,
    EnableUser,
    ListAsset,
    RegisterUser,
)
from domain.decider import Command, Message
from domain.fees import FeeTier
from domain.ledger.messages import CreditDeposit, DebitWithdrawal
from domain.limits import Limits
from domain.markets import HaltMarket, ListMarket, MarketRules, ResumeMarket
from domain.orders.messages import (
    CancelAllOrders,
    CancelOrder,
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.protocol import Genesis
from domain.reference import login_partition, symbol_partition
from tests.simulation.processes import START_US
from tests.simulation.sizes import LARGE, Size
from tests.simulation.world import ALL_SHARDS, LEDGERS, MATCHERS, World

LIMITS = Limits(
    orders_per_10s=10_000,
    orders_per_day=10_000,
    request_weight_per_minute=1,
    raw_requests_per_5m=1,
)
ASSETS = ("USDT", "BTC", "ETH")
USERS_PER_LEDGER = 3
DECIMALS = 8
DEADLINE_US = START_US + 600_000_000
SETUP_PHASES = 1 + LEDGERS * USERS_PER_LEDGER + MATCHERS + 1
Envelope = tuple[str, str, list[Message]]


def genesis(world: World) -> None:
    """Write record 0 of every input partition."""
    for shard in ALL_SHARDS:
        tiers = [FeeTier(0, 1_000, 2_000), FeeTier(1, 0, 500)]
        world.send(
            shard,
            "operator",
            [Genesis("sim", shard[0], int(shard[1:]), LEDGERS, MATCHERS, 1, LIMITS, tiers)],
        )


class Traffic:
    """The phases of one run of this size, drawn from its own random numbers."""

    def __init__(self, rng: random.Random, size: Size = LARGE) -> None:
        self._rng = rng
        self._size = size
        self._ids = 0
        self._client_ids: list[list[str]] = [[] for _ in range(LEDGERS)]
        self._references: list[str] = []
        self._referred = [_setup_reference(p, users_of(p)[0], 1) for p in range(LEDGERS)]
        """The last reference of each ledger."""
        self._sent: list[tuple[str, Command]] = []
        self.market_symbols = [_symbol_in(shard) for shard in range(MATCHERS)]

    def phases(self) -> Iterator[list[Envelope]]:
        """The setup first, then trading mixed with operators' commands."""
        yield from self.setup()
        for number in range(self._rng.choice(self._size.phases)):
            yield [
                envelope
                for ledger, matcher in self._size.slots(number)
                for envelope in self._orders(ledger, matcher)
            ]
            if self._rng.random() < 0.5:
                yield [self._operator_command()]

    def setup(self) -> Iterator[list[Envelope]]:
        """Assets, users, markets and deposits."""
        yield [("A0", "operator", [self._asset(code) for code in ASSETS])]
        for ledger in range(LEDGERS):
            for number in range(USERS_PER_LEDGER):
                yield [(f"A{ledger}", "operator", [self._register(ledger, number)])]
        for matcher in range(MATCHERS):
            yield [(f"M{matcher}", "operator", [self._market(matcher)])]
        yield [(f"L{p}", "operator", self._deposits(p)) for p in range(LEDGERS)]

    def _command_id(self) -> bytes:
        self._ids += 1
        return blake2b(self._ids.to_bytes(8), digest_size=16).digest()

    def _head(self) -> tuple[bytes, int]:
        deadline_us = START_US - 1 if self._rng.random() < 0.03 else DEADLINE_US
        return self._command_id(), deadline_us

    def _asset(self, code: str) -> Message:
        return ListAsset(self._command_id(), DEADLINE_US, code, code, DECIMALS)

    def _register(self, ledger: int, number: int) -> Message:
        return RegisterUser(self._command_id(), DEADLINE_US, _login(ledger, number), number % 2)

    def _market(self, matcher: int) -> Message:
        symbol = self.market_symbols[matcher]
        return ListMarket(self._command_id(), DEADLINE_US, symbol, self._rules(matcher), 100)

    def _rules(self, matcher: int) -> MarketRules:
        return MarketRules(
            base_asset=2 + matcher % 2,
            quote_asset=1,
            lot=1_000,
            tick=10,
            min_price_ticks=1,
            max_price_ticks=10_000,
            min_lots=1,
            max_lots=100_000,
            market_min_lots=1,
            market_max_lots=100_000,
            min_notional=1,
            max_notional=10**15,
            bid_up_ppm=100_000_000,
            bid_down_ppm=1,
            ask_up_ppm=100_000_000,
            ask_down_ppm=1,
            collar_ppm=900_000,
            max_open_orders=50,
        )

    def _deposits(self, ledger: int) -> list[Message]:
        return [
            CreditDeposit(
                self._command_id(),
                DEADLINE_US,
                user,
                asset,
                3_000_000,
                _setup_reference(ledger, user, asset),
            )
            for user in users_of(ledger)
            for asset in (1, 2, 3)
        ]

    def _orders(self, ledger: int, matcher: int) -> list[Envelope]:
        """What the gateway sends to a ledger, and what the wallet's operator does."""
        market = MATCHERS + matcher
        messages: list[Message] = []
        for _ in range(self._rng.randint(2, self._size.commands)):
            messages.append(self._order_command(ledger, market))
        if self._sent and self._rng.random() < 0.3:
            shard, command = self._rng.choice(self._sent)
            if shard == f"L{ledger}":
                messages.append(command)
        self._sent += [(f"L{ledger}", m) for m in messages if isinstance(m, PlaceOrder)]
        kinds = itertools.groupby(messages, key=source_of)
        return [(f"L{ledger}", source, list(group)) for source, group in kinds]

    def _order_command(self, ledger: int, market: int) -> Message:
        rng = self._rng
        user = rng.choice(users_of(ledger))
        kind = rng.random()
        if kind < 0.12 and self._client_ids[ledger]:
            client_id = rng.choice(self._client_ids[ledger])
            return CancelOrder(*self._head(), user, market, 0, client_id)
        if kind < 0.16:
            return CancelAllOrders(*self._head(), user, market)
        if kind < 0.20:
            amount = rng.randint(1, 50_000)
            # Now and then the wallet tells the same deposit again, as another command.
            self._references.append(f"x{self._ids}")
            if rng.choice(self._references[-2:]) == self._references[-1]:
                self._referred[ledger] = self._references[-1]
            reference = self._referred[ledger]
            return CreditDeposit(*self._head(), user, rng.randint(1, 3), amount, reference)
        if kind < 0.24:
            amount = rng.randint(1, 4_000_000)
            return DebitWithdrawal(*self._head(), user, rng.randint(1, 3), amount, f"w{self._ids}")
        return self._place(ledger, user, market)

    def _place(self, ledger: int, user: int, market: int) -> PlaceOrder:
        rng = self._rng
        order_type = rng.choices(
            (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET), weights=(7, 1, 2)
        )[0]
        limit = order_type is not OrderType.MARKET
        time_in_force = TimeInForce.IOC
        if limit:
            time_in_force = TimeInForce.GTC
            if order_type is OrderType.LIMIT:
                time_in_force = rng.choices(list(TimeInForce), weights=(7, 2, 1))[0]
        by_quote = not limit and rng.random() < 0.5
        client_id = f"c{rng.randint(0, 30)}"
        self._client_ids[ledger].append(client_id)
        return PlaceOrder(
            *self._head(),
            user_id=user,
            market_id=market,
            market_revision=0,
            client_order_id=client_id,
            side=rng.choice(list(Side)),
            order_type=order_type,
            time_in_force=time_in_force,
            price_ticks=rng.randint(95, 105) if limit else 0,
            lots=0 if by_quote else rng.choice((1, 5, 20, 100, 2_900)),
            quote_amount=rng.randint(500, 60_000) if by_quote else 0,
            stop_price_ticks=0,
            iceberg_lots=0,
            self_trade_prevention=SelfTradePrevention.NONE,
        )

    def _operator_command(self) -> Envelope:
        rng = self._rng
        kind = rng.randrange(4)
        if kind == 0:
            matcher = rng.choice(self._size.matchers)
            make = rng.choice((HaltMarket, ResumeMarket))
            return (f"M{matcher}", "operator", [make(*self._head(), MATCHERS + matcher)])
        if kind == 1:
            tiers = [FeeTier(0, rng.randint(0, 3_000), 3_000), FeeTier(1, 100, 200)]
            return ("A0", "operator", [ChangeFees(*self._head(), tiers)])
        ledger = rng.choice(self._size.ledgers)
        user = rng.choice(users_of(ledger))
        if kind == 2:
            tier = rng.randrange(2)
            return (f"A{ledger}", "operator", [ChangeFeeTier(*self._head(), user, tier)])
        switch = rng.choice((EnableUser, DisableUser))
        return (f"A{ledger}", "operator", [switch(*self._head(), user)])


def source_of(message: Message) -> str:
    """Who sends such a message."""
    return "operator" if isinstance(message, CreditDeposit | DebitWithdrawal) else "gw"


def users_of(ledger: int) -> list[int]:
    """The users who live in the ledger."""
    return [number * LEDGERS + ledger for number in range(1, USERS_PER_LEDGER + 1)]


def _setup_reference(ledger: int, user: int, asset: int) -> str:
    return f"d{ledger}-{user}-{asset}"


@functools.cache
def _login(ledger: int, number: int) -> bytes:
    """A login digest that lives in the ledger's partition."""
    attempt = 0
    while True:
        digest = blake2b(f"{ledger}-{number}-{attempt}".encode(), digest_size=32).digest()
        if login_partition(digest, LEDGERS) == ledger:
            return digest
        attempt += 1


@functools.cache
def _symbol_in(matcher: int) -> str:
    """A symbol whose market lives in the matching shard."""
    number = 0
    while symbol_partition(f"S{number}X{matcher}", MATCHERS) != matcher:
        number += 1
    return f"S{number}X{matcher}"
