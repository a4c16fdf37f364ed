"""What the outboxes say happened, folded by itself: balances, open orders, books, trades."""

import functools
from collections import Counter, defaultdict
from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field

from domain.decider import Message, Outcome
from domain.ledger.messages import DepositCredited, FundingRejected, WithdrawalDebited
from domain.ledger.postings import postings
from domain.matching.messages import (
    BookChanged,
    CancelAllCompleted,
    OrderRested,
    TradeExecuted,
)
from domain.orders.messages import (
    CancelAllRequested,
    CancelRejected,
    CancelRequested,
    CloseReason,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderRejected,
    Role,
)
from domain.protocol import CommandFaulted
from infra.log import Partition
from schemas.record import Record, decode_record
from tests.simulation.log import LogWorld
from tests.simulation.rules import BookRules, LedgerRules, copied

_EFFECTS = (
    OrderAccepted,
    OrderRejected,
    CancelRequested,
    CancelAllRequested,
    DepositCredited,
    WithdrawalDebited,
    FundingRejected,
)


@dataclass
class OpenOrder:
    """An accepted order that is not closed, by its events alone."""

    accepted: OrderAccepted
    filled_lots: int = 0
    held: int = 0


@dataclass
class Fold:
    """The state of the exchange that follows from its outboxes."""

    balances: Counter[tuple[str, int, int]] = field(default_factory=Counter)
    open_orders: dict[int, OpenOrder] = field(default_factory=dict)
    closed: dict[int, CloseReason] = field(default_factory=dict)
    levels: dict[tuple[int, int, int], int] = field(default_factory=dict)
    trades: dict[tuple[int, int], TradeExecuted] = field(default_factory=dict)
    settled: Counter[tuple[int, int, int, Role]] = field(default_factory=Counter)
    """By market, trade, order and role."""
    faulted: list[str] = field(default_factory=list)
    """What was not planned for a bug, and orders that ended of it."""
    effects: Counter[bytes] = field(default_factory=Counter)
    of_all: defaultdict[bytes, Counter[int]] = field(default_factory=lambda: defaultdict(Counter))
    asked: Counter[tuple[bytes, int]] = field(default_factory=Counter)
    answered: Counter[tuple[bytes, int]] = field(default_factory=Counter)
    deadlines: dict[bytes, int] = field(default_factory=dict)
    """Of all commands that were sent, by id."""
    ledgers: defaultdict[str, LedgerRules] = field(default_factory=lambda: defaultdict(LedgerRules))
    books: defaultdict[str, BookRules] = field(default_factory=lambda: defaultdict(BookRules))
    violations: list[str] = field(default_factory=list)

    def copy(self) -> "Fold":
        """A fold to go on with; only while no order is open, for these are shared."""
        assert not self.open_orders and not self.of_all
        fold = Fold(**{name: copy(value) for name, value in vars(self).items()})
        fold.ledgers.update({shard: copied(rules) for shard, rules in self.ledgers.items()})
        fold.books.update({shard: copied(rules) for shard, rules in self.books.items()})
        return fold

    def comparable(self) -> tuple[object, ...]:
        """What must be the same however the processes were scheduled."""
        return (
            {key: amount for key, amount in self.balances.items() if amount},
            {i: (order.filled_lots, order.held) for i, order in self.open_orders.items()},
            {key: lots for key, lots in self.levels.items() if lots},
            {key: (t.price_ticks, t.lots, t.taker_side) for key, t in self.trades.items()},
        )

    def apply(self, shard: str, event: Message, time_us: int) -> None:
        """Take one event of the shard's outbox, which happened at this log time."""
        for asset, debit, credit, amount in postings(event):
            self.balances[(shard, asset, debit)] -= amount
            self.balances[(shard, asset, credit)] += amount
            if amount <= 0:
                self.violations.append(f"L5: posting of {amount} in {event}")
        if isinstance(event, _EFFECTS):
            self._effect(event, time_us)
        if shard[0] == "M":
            self.violations += self.books[shard].apply(event)
        elif shard[0] == "L":
            self.violations += self.ledgers[shard].apply(event, time_us)
            self._follow_answers(event)
        if isinstance(event, OrderAccepted):
            self._accept(event)
        elif isinstance(event, FillSettled):
            self._fill(event)
        elif isinstance(event, OrderClosed):
            self._close(event)
        elif isinstance(event, TradeExecuted):
            self._trade(event)
        elif isinstance(event, BookChanged):
            self.levels[(event.market_id, event.side, event.price_ticks)] = event.lots
        elif isinstance(event, CommandFaulted):
            what = f"{event.message_type} {event.command_id.hex()}"
            self.faulted.append(f"{shard} could not plan {what}: {event.error}")

    def _effect(self, event: Message, time_us: int) -> None:
        assert isinstance(event, Outcome)
        name = event.command_id
        self.effects[name] += 1
        deadline_us = self.deadlines.get(name)
        if deadline_us is None:
            self.violations.append(f"S6: {type(event).__name__} of no command: {name.hex()}")
        elif time_us > deadline_us:
            self.violations.append(f"S6: command {name.hex()} ran after its deadline")

    def _follow_answers(self, event: Message) -> None:
        """What a ledger asks of the book, and what it tells of its answers, by command and order.

        A cancel-all asks with order 0 for its own answer, and for the end of no order in
        particular, since others may end an order first.
        """
        if isinstance(event, (OrderAccepted, CancelRequested)):
            self.asked[(event.command_id, event.order_id)] += 1
        elif isinstance(event, CancelAllRequested):
            self.asked[(event.command_id, 0)] += 1
        elif isinstance(event, CancelAllCompleted):
            self.answered[(event.command_id, 0)] += 1
            self.of_all[event.command_id].update(event.order_ids)
        elif isinstance(event, CancelRejected):
            if (event.command_id, event.order_id) in self.asked:
                self.answered[(event.command_id, event.order_id)] += 1
        elif isinstance(event, OrderClosed | OrderRested) and event.command_id:
            if (event.command_id, 0) in self.asked:
                self.of_all[event.command_id].subtract([event.order_id])
            else:
                self.answered[(event.command_id, event.order_id)] += 1

    def _accept(self, event: OrderAccepted) -> None:
        if event.order_id in self.open_orders or event.order_id in self.closed:
            self.violations.append(f"E6: order {event.order_id} accepted twice")
        self.open_orders[event.order_id] = OpenOrder(event, held=event.held_amount)

    def _fill(self, event: FillSettled) -> None:
        self.settled[(event.market_id, event.trade_id, event.order_id, event.role)] += 1
        order = self.open_orders.get(event.order_id)
        if order is None:
            self.violations.append(f"E3: fill of order {event.order_id}, which is not open")
            return
        order.filled_lots += event.lots
        order.held -= event.paid_amount + event.released_amount
        limit = order.accepted.price_ticks
        better = event.price_ticks <= limit if event.side == 0 else event.price_ticks >= limit
        if order.accepted.lots and order.filled_lots > order.accepted.lots:
            self.violations.append(f"E3: order {event.order_id} is filled beyond its quantity")
        if not better:
            self.violations.append(f"E4: order {event.order_id} traded outside its limit")
        if order.held < 0:
            self.violations.append(f"L6: order {event.order_id} paid more than it held")

    def _close(self, event: OrderClosed) -> None:
        order = self.open_orders.pop(event.order_id, None)
        self.closed[event.order_id] = event.reason
        if event.reason is CloseReason.FAULTED:
            self.faulted.append(f"order {event.order_id} ended FAULTED")
        if order is None:
            self.violations.append(f"E3: order {event.order_id} closed, which is not open")
        elif order.held != event.released_amount:
            self.violations.append(f"L6: order {event.order_id} ended with a hold of {order.held}")

    def _trade(self, event: TradeExecuted) -> None:
        key = (event.market_id, event.trade_id)
        if key in self.trades:
            self.violations.append(f"E5: trade {key} executed twice")
        self.trades[key] = event


@functools.lru_cache(maxsize=50_000)
def decoded(value: bytes) -> Record:
    """The record in these bytes, not to be changed: others are given the same."""
    return decode_record(value)


def first_records(log: LogWorld, partition: Partition) -> Iterator[tuple[int, Record]]:
    """(offset, record) of a partition since the schedule began.

    Without forgeries and what restarts repeat.
    """
    begin, heads = log.begins.get(partition, (0, {}))
    high = {src: head[0] for src, head in heads.items()}
    for offset, value in enumerate(log.partitions.get(partition, [])[begin:], start=begin):
        if (partition, offset) in log.forged:
            continue
        record = decoded(value)
        if record.cseq:
            if record.cseq <= high.get(record.src, 0):
                continue
            high[record.src] = record.cseq
        yield offset, record
