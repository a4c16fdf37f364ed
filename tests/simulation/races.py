"""Traffic that races: operators change rules, fees, users and halts while orders are in flight.

What comes of it depends on the schedule, so that it is not compared with a crash-free run: every
invariant must hold all the same. A forged record halts a ledger, and an operator gets it going.
Some shards have two leaders all the time.
"""

from dataclasses import replace

from domain.accounts.messages import ChangeFees, ChangeFeeTier, ChangeLimits
from domain.decider import Message
from domain.fees import FeeTier
from domain.markets import ChangeMarketRules, HaltMarket, MarketRules, ResumeMarket
from domain.orders.messages import CancelAllOrders
from domain.protocol import HaltAction, ResolveHalt, RulesActivated
from schemas.record import encode_record
from schemas.topics import inbox
from tests.simulation.load import LIMITS, Envelope, Traffic, source_of, users_of
from tests.simulation.processes import START_US
from tests.simulation.world import MATCHERS, World

OTHER_LIMITS = (
    replace(LIMITS, orders_per_10s=2),
    replace(LIMITS, orders_per_day=4),
    LIMITS,
    LIMITS,
)


class Races(Traffic):
    """The same exchange and the same orders, but nothing waits for anything."""

    def run(self, world: World) -> None:
        """Set the exchange up in peace if it is not yet, then race."""
        for phase in self.setup():
            if world.opening is None:
                for envelope in phase:
                    world.send(*envelope)
                world.drain()
        if self._rng.random() < 0.5:
            world.double()
        for _ in range(self._rng.choice(self._size.races)):
            if self._rng.random() < 0.5:
                self._recount(world)
            for envelope in self._race():
                world.send(*envelope)
                world.run(self._rng.choice((0, 0, 0, 3, 40)))
            if self._rng.random() < 0.3:
                forge(world, f"L{self._rng.choice(self._size.ledgers)}")
            world.drain()
            self._resolve(world)
            world.drain()

    def _race(self) -> list[Envelope]:
        """Orders one by one, some on their own, with what operators do put in between."""
        envelopes = []
        for _ in range(self._rng.choice(self._size.orders)):
            ledger, matcher = (
                self._rng.choice(self._size.ledgers),
                self._rng.choice(self._size.matchers),
            )
            order = self._order_command(ledger, MATCHERS + matcher)
            # Now and then by the wrong one, which is set aside.
            source = "operator" if self._rng.random() < 0.02 else source_of(order)
            envelopes.append((f"L{ledger}", source, [order]))
        for _ in range(self._rng.randrange(4)):
            envelopes.insert(self._rng.randrange(len(envelopes)), self._operator_command())
        return envelopes

    def _recount(self, world: World) -> None:
        """Empty a market, then halt it, count it in other lots and resume it as orders come in."""
        matcher = self._rng.choice(self._size.matchers)
        market = MATCHERS + matcher
        for ledger in self._size.ledgers:
            users = users_of(ledger)
            cancels = [CancelAllOrders(*self._head(), user, market) for user in users]
            world.send(f"L{ledger}", "gw", cancels)
        world.drain()
        lot, few = self._rng.choice(((500, 50), (1_000, 50), (2_000, 1)))
        rules = replace(self._rules(matcher), lot=lot, max_open_orders=few)
        change: list[Message] = [
            HaltMarket(*self._head(), market),
            ChangeMarketRules(*self._head(), market, rules, 100),
            ResumeMarket(*self._head(), market),
        ]
        world.send(f"M{matcher}", "operator", change)
        for ledger in self._size.ledgers:
            orders = [self._order_command(ledger, market) for _ in range(3)]
            for order in orders:
                world.send(f"L{ledger}", source_of(order), [order])

    def _operator_command(self) -> Envelope:
        kind = self._rng.randrange(8)
        if kind == 0:
            matcher = self._rng.choice(self._size.matchers)
            rules = self._tightened(matcher, self._rng.randint(1, 50))
            change = ChangeMarketRules(*self._head(), MATCHERS + matcher, rules, 0)
            return f"M{matcher}", "operator", [change]
        if kind == 1:
            limits = self._rng.choice(OTHER_LIMITS)
            return "A0", "operator", [ChangeLimits(*self._head(), limits)]
        if kind == 2:
            return self._rng.choice(self._size.shard_ids), "operator", [RulesActivated(1)]
        if kind == 3:
            action = self._rng.choice(list(HaltAction))
            word = ResolveHalt(*self._head(), bytes(16), action)
            return self._rng.choice(self._size.shard_ids), "operator", [word]
        if kind == 4:
            tiers = [FeeTier(0, 0, 1), FeeTier(1, 5, 5_000), FeeTier(2, 100_000, 100_000)]
            return "A0", "operator", [ChangeFees(*self._head(), tiers)]
        if kind == 5:
            ledger, tier = self._rng.choice(self._size.ledgers), self._rng.randrange(3)
            user = self._rng.choice(users_of(ledger))
            return f"A{ledger}", "operator", [ChangeFeeTier(*self._head(), user, tier)]
        return super()._operator_command()

    def _tightened(self, matcher: int, number: int) -> MarketRules:
        """Rules under which few orders may be open, or some are too large or too far away."""
        rules = self._rules(matcher)
        if number % 3 == 0:
            return replace(rules, max_lots=20, bid_up_ppm=1_020_000, ask_down_ppm=980_000)
        if number % 3 == 1:
            return replace(rules, min_notional=2_000, market_max_lots=50)
        return replace(rules, max_open_orders=1 + number // 20)

    def _resolve(self, world: World) -> None:
        """An operator's word on every record at which a shard has halted."""
        for shard, halted in list(world.halted.items()):
            action = HaltAction(self._rng.randrange(2))
            word = ResolveHalt(*self._head(), halted.record_hash, action)
            del world.halted[shard]
            world.send(shard, "operator", [word])


def forge(world: World, shard: str, source: str = "M0", cseq: int = 1_000_000) -> None:
    """Append a record of a channel that its source never wrote: far ahead, in no chain."""
    value = encode_record(
        prev=bytes(16),
        cause_offset=0,
        src=source,
        cseq=cseq,
        cause=1,
        time_us=START_US,
        input_hash=b"",
        messages=[],
    )
    place = inbox(shard)
    world.log.forged[(place, world.log.end(place))] = HaltAction.SKIP
    world.log.append(place, value)
    world.faults.happened["forged record"] += 1
