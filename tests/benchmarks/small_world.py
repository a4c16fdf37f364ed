"""A ledger and a matching shard's rules that hear each other at once: no log, no codec.

As large as wanted in markets, users and resting orders; what an order costs there is what it costs
the rules.
"""

import random
from collections import deque
from collections.abc import Iterator
from dataclasses import replace
from itertools import count

from domain.accounts.messages import AssetListed
from domain.decider import Message
from domain.ledger.messages import AccountOpened, DepositCredited
from domain.markets import MarketListed, MarketRules
from domain.matching.decider import MatchingDecider
from domain.orders.decider import LedgerDecider
from domain.orders.messages import PlaceOrder, Side, TimeInForce
from domain.protocol import Genesis
from tests.benchmarks.opening import (
    FAR_TICKS,
    FEES,
    PLENTY,
    REFERENCE_TICKS,
    RULES,
    UNLIMITED,
    distance_ticks,
    limit_order,
)

NOON_US = 1_790_000_000_000_000
MANY_OPEN: MarketRules = replace(RULES, max_open_orders=1 << 30)
SEED = 1


class SmallWorld:
    """Both shards' states, and the orders that keep them as large as they are."""

    def __init__(self, markets: int, users: int) -> None:
        self.ledger, self.matching = LedgerDecider(), MatchingDecider()
        self.ledger_state = self.ledger.initial()
        self.matching_state = self.matching.initial()
        self.ledger_state.time_us = self.matching_state.time_us = NOON_US
        self._markets, self._users = markets, users
        self._rng = random.Random(SEED)
        self._ids = count(1)
        for event in self._opening():
            self._learn(event)
        for user_id in range(1, users + 1):
            self.ledger.evolve(self.ledger_state, AccountOpened(b"", user_id, 0))
            for asset in (1, 2):
                deposit = DepositCredited(b"", user_id, asset, PLENTY, f"{user_id} {asset}")
                self.ledger.evolve(self.ledger_state, deposit)

    def fill(self, resting: int) -> None:
        """Let so many more orders rest, as many on either side."""
        for number in range(resting):
            self.place(self._maker(Side(number % 2), 50))

    def orders(self, number: int) -> list[PlaceOrder]:
        """Orders that leave as many resting as there are: half rest, half take what rests."""
        found = []
        for _ in range(number // 2):
            side, lots = self._rng.choice((Side.BUY, Side.SELL)), self._rng.randint(1, 100)
            maker = self._maker(side, lots)
            found += [maker, self._taker_of(maker)]
        return found

    def place(self, order: PlaceOrder) -> None:
        """Everything that comes of the order: held, matched, settled."""
        waiting: deque[tuple[bool, Message]] = deque([(True, order)])
        while waiting:
            at_ledger, message = waiting.popleft()
            if at_ledger:
                for event in self.ledger.decide(self.ledger_state, message):
                    self.ledger.evolve(self.ledger_state, event)
                    if self.ledger.destinations(self.ledger_state, event):
                        waiting.append((False, event))
            else:
                for event in self.matching.decide(self.matching_state, message):
                    self.matching.evolve(self.matching_state, event)
                    if self.matching.destinations(self.matching_state, event):
                        waiting.append((True, event))

    def _opening(self) -> Iterator[Message]:
        for family in ("L", "M"):
            yield Genesis("bench", family, 0, 1, 1, 1, UNLIMITED, FEES)
        yield AssetListed(b"", 1, "BTC", "Bitcoin", 8)
        yield AssetListed(b"", 2, "USDT", "Tether", 8)
        for market_id in range(1, self._markets + 1):
            yield MarketListed(b"", market_id, f"M{market_id}", 1, MANY_OPEN, REFERENCE_TICKS)

    def _learn(self, event: Message) -> None:
        if not isinstance(event, Genesis) or event.family == "L":
            self.ledger.evolve(self.ledger_state, event)
        if not isinstance(event, Genesis) or event.family == "M":
            self.matching.evolve(self.matching_state, event)

    def _maker(self, side: Side, lots: int) -> PlaceOrder:
        distance = distance_ticks(self._rng)
        price_ticks = REFERENCE_TICKS + (distance if side is Side.SELL else -distance)
        market_id = self._rng.randrange(self._markets) + 1
        return self._order(market_id, side, TimeInForce.GTC, price_ticks, lots)

    def _taker_of(self, maker: PlaceOrder) -> PlaceOrder:
        side = Side.SELL if maker.side is Side.BUY else Side.BUY
        beyond = FAR_TICKS + 100
        price_ticks = REFERENCE_TICKS + (beyond if side is Side.BUY else -beyond)
        return self._order(maker.market_id, side, TimeInForce.IOC, price_ticks, maker.lots)

    def _order(
        self, market_id: int, side: Side, time_in_force: TimeInForce, price_ticks: int, lots: int
    ) -> PlaceOrder:
        number = next(self._ids)
        return limit_order(
            command_id=number.to_bytes(16),
            deadline_us=NOON_US,
            user_id=self._rng.randrange(self._users) + 1,
            market_id=market_id,
            client_order_id=f"order-{number}",
            side=side,
            time_in_force=time_in_force,
            price_ticks=price_ticks,
            lots=lots,
        )
