"""How events change a matching shard's state, and the invariants they must keep on the way."""

from typing import Final

from domain.accounts.messages import AssetListed
from domain.decider import Message, ledger_ids
from domain.markets import (
    MarketCommandRejected,
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRulesChanged,
    ReferencePriceChanged,
)
from domain.matching import reference_prices
from domain.matching.book import RestingOrder
from domain.matching.messages import (
    BookChanged,
    CancelAllCompleted,
    CancelRefused,
    OrderRested,
    OrderTerminated,
    TradeExecuted,
)
from domain.matching.state import Market, MatchingState
from domain.orders.messages import CloseReason
from domain.protocol import (
    CommandExpired,
    CommandFaulted,
    CommandRepeated,
    Genesis,
    HaltResolved,
    RulesActivated,
)

_CANCELED: Final = CloseReason.CANCELED
_WITHOUT_EFFECT: Final = (
    CancelRefused,
    CancelAllCompleted,
    MarketCommandRejected,
    HaltResolved,
    CommandExpired,
    CommandRepeated,
    CommandFaulted,
)


def evolve(state: MatchingState, event: Message) -> None:
    """Apply what has happened; an invariant that does not hold is an `AssertionError`."""
    if isinstance(event, BookChanged):
        _change_book(state.markets[event.market_id], event)
    elif isinstance(event, OrderRested):
        _rest(state.markets[event.market_id], event)
    elif isinstance(event, OrderTerminated):
        _terminate(state, event)
    elif isinstance(event, TradeExecuted):
        _trade(state, event)
    elif isinstance(event, ReferencePriceChanged):
        reference_prices.note_told(state, event)
    elif isinstance(event, (MarketListed, MarketRulesChanged, MarketHalted, MarketResumed)):
        _change_market(state, event)
    elif not isinstance(event, _WITHOUT_EFFECT):
        _learn(state, event)


def _trade(state: MatchingState, trade: TradeExecuted) -> None:
    market = state.markets[trade.market_id]
    assert trade.trade_id == market.trades + 1, (
        f"trade {market.trades + 1} of market {market.market_id} was next, was {trade.trade_id}"
    )
    best = market.book.makers_for(trade.taker_side).best()
    assert best is not None, f"E2: trade {trade.trade_id} met an empty book"
    maker = best.oldest
    assert maker is not None, f"E2: trade {trade.trade_id} met an empty price level"
    assert maker.order_id == trade.maker_order_id, (
        f"E2: order {maker.order_id} was first, order {trade.maker_order_id} traded"
    )
    assert maker.price_ticks == trade.price_ticks, (
        f"E4: order {maker.order_id} stands at {maker.price_ticks}, traded at {trade.price_ticks}"
    )
    left = market.book.fill(trade.maker_order_id, trade.lots)
    assert left == trade.maker_remaining_lots, (
        f"E3: order {trade.maker_order_id} has {left} lots left, not {trade.maker_remaining_lots}"
    )
    market.trades = trade.trade_id
    reference_prices.note_trade(state, market, trade.price_ticks)


def _change_book(market: Market, change: BookChanged) -> None:
    assert change.book_seq == market.book_seq + 1, (
        f"book change {market.book_seq + 1} of market {market.market_id} was next, "
        f"was {change.book_seq}"
    )
    market.book_seq = change.book_seq
    if market.book.side(change.side).lots_at(change.price_ticks) != change.lots:
        assert market.awaited is None, f"market {market.market_id} awaits two changes of its book"
        market.awaited = change


def _rest(market: Market, report: OrderRested) -> None:
    order = RestingOrder(
        report.order_id, report.user_id, report.side, report.price_ticks, report.lots
    )
    market.book.add(order)
    assert not market.book.is_crossed(), f"E1: order {report.order_id} crosses the book"
    _check_awaited(market)


def _terminate(state: MatchingState, ended: OrderTerminated) -> None:
    market = state.markets.get(ended.market_id)
    if market is None:
        return
    if ended.reason is _CANCELED:
        order = market.book.remove(ended.order_id)
        assert order.lots == ended.remaining_lots, (
            f"E3: order {ended.order_id} had {order.lots} lots, not {ended.remaining_lots}"
        )
    else:
        assert ended.order_id not in market.book.orders, (
            f"E3: order {ended.order_id} ended {ended.reason.name} and is still on the book"
        )
    _check_awaited(market)


def _check_awaited(market: Market) -> None:
    """The announced total of a level must have come true with the order's report."""
    change = market.awaited
    if change is not None:
        lots = market.book.side(change.side).lots_at(change.price_ticks)
        assert lots == change.lots, (
            f"book change {change.book_seq} of market {market.market_id} said {change.lots} lots "
            f"at {change.price_ticks}, there are {lots}"
        )
        market.awaited = None


def _change_market(
    state: MatchingState, event: MarketListed | MarketRulesChanged | MarketHalted | MarketResumed
) -> None:
    if isinstance(event, MarketListed):
        _list_market(state, event)
        return
    market = state.markets[event.market_id]
    if isinstance(event, MarketRulesChanged):
        market.revision = event.revision
        market.rules = event.rules
        market.last_price_ticks = market.told_price_ticks = event.reference_price_ticks
        reference_prices.schedule(state)
    else:
        market.halted = isinstance(event, MarketHalted)


def _list_market(state: MatchingState, event: MarketListed) -> None:
    state.markets[event.market_id] = Market(
        market_id=event.market_id,
        symbol=event.symbol,
        revision=event.revision,
        rules=event.rules,
        halted=False,
        trades=0,
        book_seq=0,
        last_price_ticks=event.reference_price_ticks,
        told_price_ticks=event.reference_price_ticks,
        due_us=0,
    )
    state.market_ids[event.symbol] = event.market_id


def _learn(state: MatchingState, event: Message) -> None:
    if isinstance(event, AssetListed):
        state.assets[event.asset_id] = None
    elif isinstance(event, RulesActivated):
        state.rules_version = event.version
    elif isinstance(event, Genesis):
        state.partition = event.partition
        state.ledger_partitions = event.ledger_partitions
        state.matching_partitions = event.matching_partitions
        state.rules_version = event.rules_version
        state.ledgers = ledger_ids(event.ledger_partitions)
    else:
        raise AssertionError(f"matching has no event {type(event).__name__}")
