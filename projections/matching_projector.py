"""Folds one partition of `matching.ev` into the public views of its markets."""

from collections.abc import Sequence

from domain.decider import Message
from domain.markets import MarketListed
from domain.matching.messages import BookChanged, TradeExecuted
from projections.changes import Cells, Changes, PlacedRecord, position_behind
from projections.intervals import MINUTE_US
from projections.layout import MATCHING_EVENTS, NOWHERE, Position, pack, reference_key
from projections.market_views import MarketViews
from projections.reference import Reference


class MatchingProjector:
    """Depth, trades, tickers, candles and market risk of the markets of one matching shard."""

    topic = MATCHING_EVENTS

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.position = NOWHERE
        self._reference = Reference(reference_key(self.topic, partition))
        self._markets: dict[int, MarketViews] = {}
        self._minute = -1

    def load(self, position: Position, cells: Cells) -> None:
        """Stand where the cells say; to be called once, on a new projector."""
        self.position = position
        self._reference.load(cells.get(self._reference.key, {}))
        self._minute = position.time_us // MINUTE_US
        for market_id in self._reference.markets:
            views = MarketViews(market_id, self._reference)
            views.load(cells)
            views.turn(self._minute, Changes())
            self._markets[market_id] = views

    def apply(self, records: Sequence[PlacedRecord]) -> Changes:
        """What the records change. They must follow `position` without a gap."""
        changes = Changes(after=self.position)
        for placed in records:
            position = position_behind(self.position, placed)
            self._turn(position, changes)
            for idx, message in enumerate(placed.record.messages):
                self._fold(message, idx, position, changes)
            self.position = position
        for views in self._markets.values():
            views.flush(self.partition, self.position, changes)
        changes.upto = self.position
        return changes

    def _fold(self, message: Message, idx: int, position: Position, changes: Changes) -> None:
        if isinstance(message, BookChanged):
            self._markets[message.market_id].change_book(message, position.time_us, changes)
        elif isinstance(message, TradeExecuted):
            self._trade(message, idx, position, changes)
        else:
            self._reference.learn(message, position.cseq, changes)
            if isinstance(message, MarketListed):
                views = MarketViews(message.market_id, self._reference)
                views.turn(self._minute, changes)
                self._markets[message.market_id] = views

    def _trade(
        self, message: TradeExecuted, idx: int, position: Position, changes: Changes
    ) -> None:
        market_id = message.market_id
        trade = self._markets[market_id].trade(message, position.time_us, changes)
        at = (self.partition, position.cseq, idx, position.time_us)
        facts = (trade.price, trade.quantity, trade.quote, trade.taker_side)
        orders = (trade.maker_order_id, trade.taker_order_id)
        changes.add("trades", (*at, market_id, trade.trade_id, *facts, *orders))

    def _turn(self, position: Position, changes: Changes) -> None:
        """Begin a log minute if this record does, with a risk sample of markets that traded."""
        minute = position.time_us // MINUTE_US
        if minute == self._minute:
            return
        at = (self.partition, position.cseq, -1, position.time_us, self._minute)
        for market_id, views in self._markets.items():
            if views.traded_in(self._minute):
                risk = pack(views.risk((self._minute + 1) * MINUTE_US - 1))
                changes.add("risk_samples", (*at, "market", market_id, risk, "{}"))
            views.turn(minute, changes)
        self._minute = minute
