"""The same world as the sweep's, moved by hypothesis, which shrinks a failure to a short script."""

import random
from dataclasses import replace

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from domain.decider import Command
from domain.ledger.messages import CreditDeposit, DebitWithdrawal
from domain.orders.messages import (
    CancelOrder,
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from tests.simulation.checks import check_all, fold_outboxes
from tests.simulation.faults import Faults
from tests.simulation.load import DEADLINE_US, source_of, users_of
from tests.simulation.opening import opening
from tests.simulation.processes import Process
from tests.simulation.projectors import with_redis
from tests.simulation.redis import SimRedis
from tests.simulation.replays import check_channels
from tests.simulation.view_checks import check_redis, folded
from tests.simulation.world import LEDGERS, MATCHERS, World

LEDGER = st.integers(0, LEDGERS - 1)
USER = st.integers(0, 2)
PROCESS = st.integers(0, 11)
ASSET = st.integers(1, 3)
LOTS = st.sampled_from((1, 5, 20))


class ExchangeMachine(RuleBasedStateMachine):
    """An exchange that is set up; each rule is something that traders, operators or fate do."""

    @initialize(placement=st.integers(0, 7), standby=st.booleans(), views=st.booleans())
    def open(self, placement: int, standby: bool, views: bool) -> None:
        faults = Faults(random.Random(placement), crashes_left=0, duplicate_rate=0.0)
        self.world = World(faults, standby=standby)
        opening().put_into(self.world)
        self.redis: SimRedis | None = with_redis(self.world) if views else None
        self.sent: list[tuple[str, Command]] = []

    @rule(ledger=LEDGER, user=USER, buys=st.booleans(), price=st.integers(98, 102), lots=LOTS)
    def place(self, ledger: int, user: int, buys: bool, price: int, lots: int) -> None:
        number = len(self.sent)
        order = PlaceOrder(
            command_id=self._name(),
            deadline_us=DEADLINE_US,
            user_id=users_of(ledger)[user],
            market_id=MATCHERS,
            market_revision=0,
            client_order_id=f"m{number}",
            side=Side.BUY if buys else Side.SELL,
            order_type=OrderType.LIMIT,
            time_in_force=TimeInForce.GTC,
            price_ticks=price,
            lots=lots,
            quote_amount=0,
            stop_price_ticks=0,
            iceberg_lots=0,
            self_trade_prevention=SelfTradePrevention.NONE,
        )
        self._send(ledger, order)

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 20))
    def cancel(self, which: int) -> None:
        shard, command = self.sent[which % len(self.sent)]
        if isinstance(command, PlaceOrder):
            user, name = command.user_id, command.client_order_id
            ledger = int(shard[1:])
            self._send(ledger, CancelOrder(self._name(), DEADLINE_US, user, MATCHERS, 0, name))

    @rule(ledger=LEDGER, user=USER, asset=ASSET, amount=st.integers(1, 10**6))
    def deposit(self, ledger: int, user: int, asset: int, amount: int) -> None:
        name, owner = self._name(), users_of(ledger)[user]
        self._send(ledger, CreditDeposit(name, DEADLINE_US, owner, asset, amount, name.hex()))

    @rule(ledger=LEDGER, user=USER, asset=ASSET, amount=st.integers(1, 4 * 10**6))
    def withdraw(self, ledger: int, user: int, asset: int, amount: int) -> None:
        name, owner = self._name(), users_of(ledger)[user]
        self._send(ledger, DebitWithdrawal(name, DEADLINE_US, owner, asset, amount, name.hex()))

    @precondition(lambda self: self.sent)
    @rule(which=st.integers(0, 20))
    def repeat(self, which: int) -> None:
        shard, command = self.sent[which % len(self.sent)]
        self.world.send(shard, source_of(command), [replace(command)])

    @rule(turns=st.sampled_from((1, 5, 25)))
    def deliver(self, turns: int) -> None:
        self.world.run(turns)

    @rule()
    def settle(self) -> None:
        self.world.drain()

    @rule(process=PROCESS)
    def crash(self, process: int) -> None:
        self.world.kill(self._process(process))

    @rule(steps=st.integers(0, 30))
    def crash_at(self, steps: int) -> None:
        self.world.faults.crash_after(steps)

    @rule(process=PROCESS)
    def pause(self, process: int) -> None:
        if self.world.standby:
            self._process(process).stands_still = 60

    @rule(process=PROCESS)
    def resume(self, process: int) -> None:
        self._process(process).stands_still = 0

    @rule(on=st.booleans())
    def duplicate(self, on: bool) -> None:
        self.world.faults.duplicate_rate = 0.5 if on else 0.0

    @rule()
    def snapshot(self) -> None:
        for host in self.world.hosts().values():
            host._next_snapshot_s = 0.0

    @rule(process=PROCESS)
    def spoil_snapshot(self, process: int) -> None:
        whose = self._process(process)
        whose.files[whose.shard_ids[0]].spoil_newest()

    @rule(process=PROCESS)
    def promote(self, process: int) -> None:
        if self.world.standby:
            self._process(process).stands_still = 400
            self.world.run(400)

    @precondition(lambda self: self.redis is not None)
    @rule()
    def wipe_redis(self) -> None:
        redis = self.redis
        assert redis is not None
        redis.texts, redis.hashes, redis.sets = {}, {}, {}

    @rule(seconds=st.sampled_from((1, 2, 90)))
    def advance_clock(self, seconds: int) -> None:
        self.world.clock.elapsed_us += seconds * 1_000_000

    @invariant()
    def nothing_is_wrong_so_far(self) -> None:
        if not hasattr(self, "world"):
            return
        assert not self.world.halted, str(self.world.halted)
        violations = [*check_channels(self.world), *fold_outboxes(self.world).violations]
        assert violations == [], violations

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        self.world.faults.end()
        self.world.restart_all()
        assert not self.world.halted, str(self.world.halted)
        _, found = check_all(self.world)
        assert found == [], found
        if self.redis is not None:
            assert list(check_redis(self.redis, folded(self.world))) == []

    def _name(self) -> bytes:
        return len(self.sent).to_bytes(16)

    def _send(self, ledger: int, command: Command) -> None:
        self.sent.append((f"L{ledger}", command))
        self.world.send(f"L{ledger}", source_of(command), [command])

    def _process(self, number: int) -> Process:
        return self.world.processes[number % len(self.world.processes)]
