"""Ledger shards, each beside its oracle, and one toy matching shard, joined by visible queues."""

from dataclasses import replace

from domain.accounts.messages import AssetListed, UserRegistered
from domain.decider import Message
from domain.matching.messages import TradeExecuted
from domain.orders.decider import LedgerDecider
from domain.orders.messages import CancelAllOrders
from domain.orders.state import LedgerState
from tests.domain.orders.tables import (
    BTC,
    BTCUSDT,
    ETH,
    ETH_RULES,
    ETHUSDT,
    LIMITS,
    NOON_US,
    RULES,
    USDT,
    genesis,
    listed,
)
from tests.domain.orders.toy_matching import ToyMatching
from tests.oracles.dict_ledger import DictLedger

ASSETS = (BTC, USDT, ETH)
MARKETS = (BTCUSDT, ETHUSDT)
USERS = (2, 3, 4, 5)
"""Two of each of two shards; a single shard has all."""

KIND_NAMES = ("available", "held", "external", "clearing", "house")


class Shard:
    """One ledger shard and its oracle: both hear the same and must say the same."""

    def __init__(self, partition: int, partitions: int) -> None:
        self.decider = LedgerDecider()
        self.state: LedgerState = self.decider.initial()
        self.oracle = DictLedger()
        self.inbox: list[Message] = []
        self.hear(genesis(partition, partitions), NOON_US)

    def hear(self, message: Message, time_us: int) -> list[Message]:
        self.state.time_us = time_us
        events = list(self.decider.decide(self.state, message))
        for event in events:
            self.state = self.decider.evolve(self.state, event)
        assert events == self.oracle.handle(message, time_us)
        return events

    def reload(self) -> None:
        """Go on from a snapshot."""
        data = self.decider.dump(self.state)
        self.state = self.decider.load(data)
        assert self.decider.dump(self.state) == data

    def money(self) -> dict[tuple[str, int, int], int]:
        """(kind, owner, asset) → amount, as the oracle keeps it."""
        return {
            (KIND_NAMES[account & 7], account >> 3, asset): amount
            for asset, account, amount in self.state.balances.entries()
        }


class ToyExchange:
    """What is said to users goes at once; what shards say to each other waits in queues."""

    def __init__(self, partitions: int) -> None:
        self.time_us = NOON_US
        self.shards = [Shard(p, partitions) for p in range(partitions)]
        self.matching = ToyMatching(RULES.tick)
        self.to_matching: list[Message] = []
        for asset in ASSETS:
            self.tell_all(AssetListed(b"", asset, f"A{asset}", "", 8))
        self.tell_all(listed())
        self.tell_all(listed(ETHUSDT, ETH_RULES))
        for user in USERS:
            self.say(user, UserRegistered(b"", f"user-{user}", 1, 0, user, b"", user % 3))

    def shard(self, number: int) -> Shard:
        """The shard of a user id or an order id."""
        return self.shards[number % len(self.shards)]

    def say(self, user: int, message: Message) -> list[Message]:
        """A command of or about a user, taken at once; for the book it waits."""
        shard = self.shard(user)
        events = shard.hear(message, self.time_us)
        self.to_matching += [e for e in events if shard.decider.destinations(shard.state, e)]
        return events

    def tell_all(self, message: Message) -> None:
        for shard in self.shards:
            shard.hear(message, self.time_us)

    def match(self, most: int) -> None:
        """Let the book take up to `most` of what waits for it."""
        for _ in range(min(most, len(self.to_matching))):
            for number, fact in self.matching.handle(self.to_matching.pop(0)):
                inbox = self.shard(number).inbox
                if not (isinstance(fact, TradeExecuted) and inbox and inbox[-1] is fact):
                    inbox.append(fact)

    def settle(self, partition: int, most: int) -> None:
        """Let a shard take up to `most` of what waits for it."""
        shard = self.shards[partition % len(self.shards)]
        for _ in range(min(most, len(shard.inbox))):
            shard.hear(shard.inbox.pop(0), self.time_us)

    def drain(self) -> None:
        """Let everything that waits arrive."""
        self.match(len(self.to_matching))
        for partition, shard in enumerate(self.shards):
            self.settle(partition, len(shard.inbox))

    def cancel_everything(self) -> None:
        for user in USERS:
            for market in MARKETS:
                self.say(user, CancelAllOrders(b"all", 0, user, market))
        self.drain()

    def check(self) -> None:
        """Equal books in both models, in sum and in each account; every snapshot is good."""
        for shard in self.shards:
            shard.decider.dump(shard.state)
            assert shard.money() == shard.oracle.not_zero()
            totals = shard.state.balances.total_by_asset()
            assert totals == dict.fromkeys(totals, 0)

    def clearing(self) -> dict[int, int]:
        """What is in flight, by asset, over all shards."""
        return {a: sum(s.state.balances.clearing(a) for s in self.shards) for a in ASSETS}


SMALL_LIMITS = replace(LIMITS, orders_per_10s=3, orders_per_day=6)
