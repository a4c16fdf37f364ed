"""Mutants of the rules of trading. Where the product's assertions would notice, they are off."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import domain.matching.decider
import domain.matching.evolution
import domain.matching.placing
import domain.matching.planning
import domain.orders.admission
import domain.orders.evolution
import domain.orders.settlement
from domain.accounts.messages import UserDisabled
from domain.decider import Message
from domain.markets import MarketHalted
from domain.matching import reference_prices
from domain.matching.book import Book
from domain.matching.decider import MatchingDecider
from domain.matching.messages import CancelRefused, OrderRested, TradeExecuted
from domain.matching.planning import Meeting, Plan
from domain.matching.state import MatchingState
from domain.orders.decider import LedgerDecider
from domain.orders.learning import learn
from domain.orders.messages import (
    CancelRequested,
    FillSettled,
    OrderAccepted,
    OrderReason,
    Role,
    Side,
    TimeInForce,
)
from domain.orders.state import Account, LedgerState
from tests.simulation.mutants import Mutant, Patch

_NEVER = object()


def _trade_unchecked(state: MatchingState, trade: TradeExecuted) -> None:
    market = state.markets[trade.market_id]
    market.book.fill(trade.maker_order_id, trade.lots)
    market.trades = trade.trade_id
    reference_prices.note_trade(state, market, trade.price_ticks)


def _maker_fill_unchecked(state: LedgerState, trade: TradeExecuted) -> FillSettled:
    order = domain.orders.settlement.open_order(state, trade.maker_order_id, trade.market_id)
    return domain.orders.settlement._fill(state, trade, order, Role.MAKER)


def _at_the_takers_price(market: Any, order: OrderAccepted, meetings: list[Meeting]) -> Any:
    events = _trades(market, order, meetings)
    for event in events:
        if isinstance(event, TradeExecuted):
            event.price_ticks = order.price_ticks
    return events


def _newest_first(book: Book, taker_side: Side, price_ticks: int, lots: int) -> list[Meeting]:
    return _met(book, taker_side, price_ticks, lots, newest=True)


def _worst_price_first(book: Book, taker_side: Side, price_ticks: int, lots: int) -> list[Meeting]:
    return _met(book, taker_side, price_ticks, lots, newest=False)


def _met(
    book: Book, taker_side: Side, price_ticks: int, lots: int, *, newest: bool
) -> list[Meeting]:
    makers = book.makers_for(taker_side)
    meetings: list[Meeting] = []
    for rank in reversed(makers.ranks) if newest else makers.ranks:
        if rank < price_ticks * makers.sign:
            continue
        waiting = list(makers.levels[rank].orders())
        for maker in reversed(waiting) if newest else waiting:
            traded = min(lots, maker.lots)
            if traded:
                meetings.append((maker, traded))
                lots -= traded
    return meetings


def _divide_by_zero(*_: object) -> list[Meeting]:
    raise ZeroDivisionError("planted")


def _overlook_halts(state: MatchingState, event: Any) -> None:
    if not isinstance(event, MarketHalted):
        _change_market(state, event)


def _overlook_market_halts(state: LedgerState, event: Message) -> None:
    if not isinstance(event, MarketHalted):
        learn(state, event)


def _overlook_disabled_users(state: LedgerState, event: Message) -> None:
    if not isinstance(event, UserDisabled):
        learn(state, event)


def _to_the_taker_alone(self: MatchingDecider, state: Any, event: Message) -> Sequence[str]:
    places = _destinations(self, state, event)
    return places[-1:] if isinstance(event, TradeExecuted) else places


def _ask_twice(self: LedgerDecider, state: LedgerState, command: Message) -> Sequence[Message]:
    events = _decide(self, state, command)
    return (*events, *(event for event in events if isinstance(event, CancelRequested)))


def _leave_unanswered(self: MatchingDecider, state: Any, command: Message) -> Sequence[Message]:
    events = _decide_matching(self, state, command)
    return [event for event in events if not isinstance(event, CancelRefused)]


def _let_ioc_wait(market: Any, order: OrderAccepted, planned: Plan) -> list[Message]:
    if order.time_in_force is TimeInForce.IOC:
        order = replace(order, time_in_force=TimeInForce.GTC)
    return _take(market, order, planned)


def _rest_unchecked(state: LedgerState, event: OrderRested) -> None:
    state.orders[event.order_id].rested = True


def _never(self: Book, *_: object) -> bool:
    return False


def _overlook(*reasons: OrderReason) -> Callable[..., OrderReason | None]:
    """What the account's other orders say, but for these reasons."""

    def judge(*arguments: Any) -> OrderReason | None:
        reason = _account_failure(*arguments)
        return None if reason in reasons else reason

    return judge


def _pass_any_filter(*_: object, **__: object) -> None:
    """Whatever price, lots and notional are."""


def _count_for_ever(account: Account, time_us: int) -> tuple[int, int]:
    return account.orders_10s, account.orders_1d


_account_failure = domain.orders.admission._account_failure
_take = domain.matching.placing._take
_trades = domain.matching.placing._trades
_change_market = domain.matching.evolution._change_market
_destinations = MatchingDecider.destinations
_decide = LedgerDecider.decide
_decide_matching = MatchingDecider.decide

_PRIORITY_UNCHECKED: list[Patch] = [(domain.matching.evolution, "_trade", _trade_unchecked)]

TRADING: dict[str, Mutant] = {
    "trade at the taker's price": Mutant(
        "E4",
        [
            *_PRIORITY_UNCHECKED,
            (domain.matching.placing, "_trades", _at_the_takers_price),
            (domain.orders.settlement, "_maker_fill", _maker_fill_unchecked),
        ],
    ),
    "newest order first": Mutant(
        "E2",
        [
            *_PRIORITY_UNCHECKED,
            (domain.matching.planning, "plan_lots", _newest_first),
        ],
    ),
    "worst price first": Mutant(
        "E2",
        [
            *_PRIORITY_UNCHECKED,
            (domain.matching.planning, "plan_lots", _worst_price_first),
        ],
    ),
    "planning faults": Mutant("F20", [(domain.matching.planning, "plan_lots", _divide_by_zero)]),
    "halted market trades": Mutant(
        "C2", [(domain.matching.evolution, "_change_market", _overlook_halts)]
    ),
    "halted market takes orders": Mutant(
        "C2", [(domain.orders.evolution, "learn", _overlook_market_halts)]
    ),
    "disabled users trade": Mutant(
        "C2", [(domain.orders.evolution, "learn", _overlook_disabled_users)]
    ),
    "order limits ignored": Mutant(
        "L9",
        [
            (
                domain.orders.admission,
                "_account_failure",
                _overlook(OrderReason.TOO_MANY_ORDERS_10S, OrderReason.TOO_MANY_ORDERS_1D),
            )
        ],
    ),
    "open orders not counted": Mutant(
        "L9", [(domain.orders.admission, "_account_failure", _overlook(OrderReason.MAX_NUM_ORDERS))]
    ),
    "windows of orders never end": Mutant(
        "L9", [(domain.orders.admission, "order_counts", _count_for_ever)]
    ),
    "market filters ignored": Mutant(
        "L9", [(domain.orders.admission, "filter_failure", _pass_any_filter)]
    ),
    "LIMIT_MAKER crosses the book": Mutant(
        ("E1", "E4"), [(Book, "would_take", _never), (Book, "is_crossed", _never)]
    ),
    "FOK filled in part": Mutant("E3", [(domain.matching.placing, "_FOK", _NEVER)]),
    "GTC does not wait": Mutant("E3", [(domain.matching.placing, "_GTC", _NEVER)]),
    "IOC waits on the book": Mutant(
        "E3",
        [
            (domain.matching.placing, "_take", _let_ioc_wait),
            (domain.orders.evolution, "_rest", _rest_unchecked),
        ],
    ),
    "trade told to the taker alone": Mutant(
        "E5", [(MatchingDecider, "destinations", _to_the_taker_alone)]
    ),
    "cancel asked twice": Mutant("S6", [(LedgerDecider, "decide", _ask_twice)]),
    "cancel left unanswered": Mutant("S6", [(MatchingDecider, "decide", _leave_unanswered)]),
}
