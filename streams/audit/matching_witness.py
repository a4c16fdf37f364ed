"""Watches a matching shard at work and checks each answer against a book of its own (E1–E4, E6)."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from domain.decider import Decider, Message
from domain.markets import (
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRules,
    MarketRulesChanged,
)
from domain.matching.messages import (
    CancelAllCompleted,
    CancelRefused,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.orders.messages import (
    CancelAllRequested,
    CancelRequested,
    CloseReason,
    OrderAccepted,
    Side,
)
from streams.audit.checks import Checks
from streams.audit.priority_book import Outcome, PriorityBook


@dataclass(slots=True)
class MatchingRecord:
    """What the witness of one matching shard has written down."""

    checks: Checks = field(default_factory=Checks)
    rules: dict[int, MarketRules] = field(default_factory=dict)
    books: dict[int, PriorityBook] = field(default_factory=dict)
    trades: list[tuple[TradeExecuted, MarketRules]] = field(default_factory=list)
    last_trade_ids: dict[int, int] = field(default_factory=dict)


class MatchingWitness:
    """A decider that does what the real one does and looks at every question and answer."""

    family = "M"

    def __init__(self, decider: Decider[Any], record: MatchingRecord) -> None:
        self._decider = decider
        self._record = record
        self.initial = decider.initial
        self.refuse = decider.refuse
        self.destinations = decider.destinations
        self.fault = decider.fault
        self.dump = decider.dump
        self.load = decider.load

    def decide(self, state: Any, command: Message) -> Sequence[Message]:
        """The real answer, after a look at it. An order that faults never met the book."""
        events = self._decider.decide(state, command)
        if isinstance(command, OrderAccepted):
            self._look_at_order(command, events)
        elif isinstance(command, CancelRequested):
            self._look_at_cancel(command, [command.order_id], events)
        elif isinstance(command, CancelAllRequested):
            self._look_at_cancel(command, command.order_ids, events)
        return events

    def evolve(self, state: Any, event: Message) -> Any:
        """The real change; markets are noted on the way."""
        record = self._record
        if isinstance(event, TradeExecuted):
            self._look_at_trade(event)
        elif isinstance(event, MarketListed):
            record.rules[event.market_id] = event.rules
            record.books[event.market_id] = PriorityBook(event.rules.tick, event.revision)
        elif isinstance(event, MarketRulesChanged):
            record.rules[event.market_id] = event.rules
            book = record.books[event.market_id]
            book.tick, book.revision = event.rules.tick, event.revision
        elif isinstance(event, (MarketHalted, MarketResumed)):
            record.books[event.market_id].halted = isinstance(event, MarketHalted)
        return self._decider.evolve(state, event)

    def _look_at_trade(self, trade: TradeExecuted) -> None:
        record = self._record
        wanted = record.last_trade_ids.get(trade.market_id, 0) + 1
        record.checks.check(
            "E5",
            trade.trade_id == wanted,
            f"trade {wanted} of market {trade.market_id} was next, was {trade.trade_id}",
        )
        record.last_trade_ids[trade.market_id] = trade.trade_id
        record.trades.append((trade, record.rules[trade.market_id]))

    def _look_at_order(self, wish: OrderAccepted, events: Sequence[Message]) -> None:
        checks = self._record.checks
        book = self._record.books.get(wish.market_id)
        if book is None:
            expected = Outcome([], CloseReason.UNKNOWN_MARKET, wish.lots)
        else:
            known = wish.order_id in book.waiting
            checks.check("E6", not known, f"order {wish.order_id} came to the book twice")
            expected = book.place(wish)
        trades, found = _outcome(wish, events)
        checks.check(
            "E2",
            found == expected,
            f"order {wish.order_id} must come to {expected}, came to {found}",
        )
        for trade in trades:
            self._look_at_price(wish, trade, book)
        if book is not None:
            checks.check("E1", not book.crossed(), f"market {wish.market_id} is crossed")

    def _look_at_price(
        self, wish: OrderAccepted, trade: TradeExecuted, book: PriorityBook | None
    ) -> None:
        checks = self._record.checks
        buys = wish.side == Side.BUY
        within = (wish.price_ticks - trade.price_ticks) * (1 if buys else -1) >= 0
        checks.check(
            "E4", within, f"trade {trade.trade_id} is beyond order {wish.order_id}'s limit"
        )
        checks.check(
            "E3",
            trade.lots > 0 <= trade.maker_remaining_lots,
            f"trade {trade.trade_id} leaves its maker {trade.maker_remaining_lots} lots",
        )
        kept = book.waiting.get(trade.maker_order_id) if book is not None else None
        if kept is not None:
            at_limit = kept.price_ticks == trade.price_ticks and kept.side != wish.side
            checks.check("E4", at_limit, f"trade {trade.trade_id} is not at its maker's limit")

    def _look_at_cancel(
        self,
        wish: CancelRequested | CancelAllRequested,
        order_ids: Sequence[int],
        events: Sequence[Message],
    ) -> None:
        checks = self._record.checks
        book = self._record.books.get(wish.market_id)
        gone: dict[int, int] = {}
        for order_id in order_ids:
            if book is not None and book.owned(order_id, wish.user_id) is not None:
                gone[order_id] = book.remove(order_id).lots
        ended = {e.order_id: e.remaining_lots for e in events if isinstance(e, OrderTerminated)}
        checks.check(
            "E3", ended == gone, f"canceling {list(order_ids)} must end {gone}, ended {ended}"
        )
        answers = sum(isinstance(e, (CancelRefused, CancelAllCompleted)) for e in events)
        wanted = 1 if isinstance(wish, CancelAllRequested) or not gone else 0
        checks.check(
            "E6", answers == wanted, f"a cancel of {list(order_ids)} had {answers} refusals"
        )


def _outcome(
    wish: OrderAccepted, events: Sequence[Message]
) -> tuple[list[TradeExecuted], Outcome | None]:
    """The trades in the answer, and what it says came of the order; None without first report."""
    trades = [event for event in events if isinstance(event, TradeExecuted)]
    made = [(t.maker_order_id, t.price_ticks, t.lots, t.maker_remaining_lots) for t in trades]
    reports = [
        event
        for event in events
        if isinstance(event, (OrderRested, OrderTerminated)) and event.order_id == wish.order_id
    ]
    if len(reports) != 1:
        return trades, None
    report = reports[0]
    if isinstance(report, OrderRested):
        return trades, Outcome(made, None, report.lots)
    return trades, Outcome(made, report.reason, report.remaining_lots)
