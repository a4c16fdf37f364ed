"""The reference price: the last trade's, told to ledgers at most once a second of logical time.

A change that comes too early is held back. The first input at or after its time sends it, or
what has replaced it by then; it is forgotten if the price is back at what was told.
"""

from collections.abc import Sequence
from typing import Final

from domain.decider import Message
from domain.markets import MarketRulesChanged, ReferencePriceChanged
from domain.matching.messages import TradeExecuted
from domain.matching.state import NEVER_US, Market, MatchingState

INTERVAL_US: Final = 1_000_000
"""The least logical time between two reference prices of a market."""


def due_prices(state: MatchingState, events: Sequence[Message]) -> list[Message]:
    """What ledgers are to be told now, by market id, when `events` are about to happen."""
    first = events[0] if events else None
    if state.time_us < state.next_due_us and not isinstance(first, TradeExecuted):
        return []
    latest: dict[int, int] = {}
    if state.time_us >= state.next_due_us:
        for market in state.markets.values():
            if state.time_us >= market.due_us:
                latest[market.market_id] = market.last_price_ticks
    if isinstance(first, TradeExecuted):
        if state.time_us >= state.markets[first.market_id].due_us:
            latest[first.market_id] = _last_price(events)
    elif isinstance(first, MarketRulesChanged):
        # It tells the reference price itself, and the old one may be counted in other ticks.
        latest.pop(first.market_id, None)
    return [
        ReferencePriceChanged(market_id, price_ticks)
        for market_id, price_ticks in sorted(latest.items())
        if price_ticks != state.markets[market_id].told_price_ticks
    ]


def note_trade(state: MatchingState, market: Market, price_ticks: int) -> None:
    """Keep the price of a trade that has happened; ledgers are to be told if they know another."""
    if price_ticks != market.last_price_ticks:
        market.last_price_ticks = price_ticks
        schedule(state)


def note_told(state: MatchingState, event: ReferencePriceChanged) -> None:
    """Ledgers were told; the next change must wait."""
    market = state.markets[event.market_id]
    assert state.time_us >= market.due_us, (
        f"the reference price of market {event.market_id} was due at {market.due_us}, "
        f"told at {state.time_us}"
    )
    assert event.price_ticks == market.last_price_ticks, (
        f"market {event.market_id} traded at {market.last_price_ticks}, told {event.price_ticks}"
    )
    market.told_price_ticks = event.price_ticks
    market.due_us = state.time_us + INTERVAL_US
    schedule(state)


def schedule(state: MatchingState) -> None:
    """Find anew when the next held-back price is due."""
    next_due_us = NEVER_US
    for market in state.markets.values():
        if market.last_price_ticks != market.told_price_ticks and market.due_us < next_due_us:
            next_due_us = market.due_us
    state.next_due_us = next_due_us


def _last_price(events: Sequence[Message]) -> int:
    """The price of the last trade in `events`, which has one."""
    price_ticks = 0
    for event in events:
        if isinstance(event, TradeExecuted):
            price_ticks = event.price_ticks
    return price_ticks
