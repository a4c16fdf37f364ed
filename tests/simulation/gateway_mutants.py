"""Mutants of gateways and of what writes views, which schedules with clients and views notice."""

from dataclasses import replace
from typing import Any

import commands.gateway
import commands.publisher
import commands.responses
import projections.candles
from commands.gateway import ACCEPTANCE
from domain.decider import Outcome
from domain.matching.messages import BookChanged, TradeExecuted
from domain.orders.messages import Side
from projections import redis_sink
from projections.day import Day
from projections.intervals import interval_open
from projections.market_views import MarketViews
from projections.matching_projector import MatchingProjector
from tests.simulation.mutants import Mutant

WEEK_US = 604_800_000_000
"""The epoch was a Thursday."""


def _without_sequence_check(script: str) -> str:
    start, end = script.index("local stands"), script.index("local at = 8")
    return script[:start] + script[end:]


def _overlook_levels_that_go(
    self: MarketViews, event: BookChanged, time_us: int, changes: Any
) -> None:
    """Of asks; the sequence goes on, as if the level had been there."""
    if event.lots or event.side is Side.BUY:
        _change_book(self, event, time_us, changes)
    else:
        self.book_seq, self.book_time_us = event.book_seq, time_us


def _overlook_even_trades(self: MatchingProjector, message: TradeExecuted, *rest: Any) -> None:
    if message.trade_id % 2:
        _trade(self, message, *rest)


def _let_weeks_begin_on_thursday(interval: str, time_us: int) -> int:
    return time_us // WEEK_US * WEEK_US if interval == "1w" else interval_open(interval, time_us)


def _forget_the_high(self: Day, time_us: int) -> Any:
    return (ticker := _ticker(self, time_us))._replace(high_price=ticker.last_price)


def _leave_out_the_first_fill(answer: Any) -> Any:
    order = _placement(answer)
    return replace(order, fills=order.fills[1:])


_change_book = MarketViews.change_book
_placement = commands.responses.placement
_trade = MatchingProjector._trade
_ticker = Day.ticker

GATEWAY: dict[str, Mutant] = {
    "Lua without the sequence check": Mutant(
        ("P1", "P2"),
        [(redis_sink, "APPLY_SCRIPT", _without_sequence_check(redis_sink.APPLY_SCRIPT))],
    ),
    "unknown fate told as a refusal": Mutant(
        "S6", [(commands.publisher, "AppendRefused", Exception)]
    ),
    "answer before the book's report": Mutant("S6", [(commands.gateway, "REPORT", ACCEPTANCE)]),
    "answer without its first fill": Mutant(
        "S6", [(commands.responses, "placement", _leave_out_the_first_fill)]
    ),
    "book change left out of views": Mutant(
        "P1", [(MarketViews, "change_book", _overlook_levels_that_go)]
    ),
    "trade left out of views": Mutant("P1", [(MatchingProjector, "_trade", _overlook_even_trades)]),
    "weeks begin on Thursday": Mutant(
        "P1", [(projections.candles, "interval_open", _let_weeks_begin_on_thursday)]
    ),
    "ticker's high is its last": Mutant("P1", [(Day, "ticker", _forget_the_high)]),
    "answer from its middle on": Mutant("S6", [(commands.gateway, "STARTS", (Outcome,))]),
}
