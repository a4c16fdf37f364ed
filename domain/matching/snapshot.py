"""Snapshots of a matching shard's state: nested lists in one possible order, and back."""

from dataclasses import fields
from typing import Any

from domain.decider import ledger_ids
from domain.markets import MarketRules
from domain.matching.book import Book, BookSide, RestingOrder
from domain.matching.reference_prices import schedule
from domain.matching.state import Market, MatchingState, initial
from domain.orders.messages import Side


def dump(state: MatchingState) -> list[Any]:
    """The state as lists, ints, strings and bools; markets by id, orders as they would trade.

    The books are checked in full first: a broken state is never kept.
    """
    return [
        [
            state.time_us,
            state.partition,
            state.ledger_partitions,
            state.matching_partitions,
            state.rules_version,
        ],
        sorted(state.assets),
        [_dump_market(market) for _, market in sorted(state.markets.items())],
    ]


def load(data: Any) -> MatchingState:
    """The state that `dump` described."""
    numbers, assets, markets = data
    state = initial()
    state.time_us, state.partition, state.ledger_partitions = numbers[:3]
    state.matching_partitions, state.rules_version = numbers[3:]
    state.ledgers = ledger_ids(state.ledger_partitions)
    state.assets = dict.fromkeys(assets)
    for row in markets:
        market = _load_market(row)
        state.markets[market.market_id] = market
        state.market_ids[market.symbol] = market.market_id
    schedule(state)
    return state


def check_book(market: Market) -> None:
    """Everything that must hold of a book: uncrossed (E1), level totals (E3), each order once."""
    book = market.book
    assert market.awaited is None, f"market {market.market_id} awaits a change of its book"
    assert not book.is_crossed(), f"E1: the book of market {market.market_id} is crossed"
    count = 0
    for side in (book.bids, book.asks):
        levels = side.best_first()
        assert len(levels) == len(side.levels), f"market {market.market_id} has a lost level"
        for level in levels:
            orders = list(level.orders())
            lots = sum(order.lots for order in orders)
            assert lots == level.lots > 0, (
                f"E3: orders at {level.price_ticks} of market {market.market_id} have {lots} lots, "
                f"the level {level.lots}"
            )
            count += len(orders)
    assert count == len(book.orders), f"E6: market {market.market_id} has an order twice or lost"


def _dump_market(market: Market) -> list[Any]:
    check_book(market)
    rules = market.rules
    return [
        market.market_id,
        market.symbol,
        market.revision,
        [getattr(rules, field.name) for field in fields(MarketRules)],
        market.halted,
        market.trades,
        market.book_seq,
        market.last_price_ticks,
        market.told_price_ticks,
        market.due_us,
        _dump_side(market.book.bids),
        _dump_side(market.book.asks),
    ]


def _load_market(row: list[Any]) -> Market:
    market_id, symbol, revision, rules, *numbers, bids, asks = row
    market = Market(market_id, symbol, revision, MarketRules(*rules), *numbers)
    _load_side(market.book, Side.BUY, bids)
    _load_side(market.book, Side.SELL, asks)
    check_book(market)
    return market


def _dump_side(side: BookSide) -> list[Any]:
    return [
        [
            level.price_ticks,
            [[order.order_id, order.user_id, order.lots] for order in level.orders()],
        ]
        for level in side.best_first()
    ]


def _load_side(book: Book, side: Side, levels: list[Any]) -> None:
    for price_ticks, orders in levels:
        for order_id, user_id, lots in orders:
            book.add(RestingOrder(order_id, user_id, side, price_ticks, lots))
