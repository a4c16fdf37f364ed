"""The views of one market: depth, last trades, candles, ticker and risk."""

from domain.matching.messages import BookChanged, TradeExecuted
from domain.orders.messages import Side
from projections.candles import Candles
from projections.changes import Cells, Changes
from projections.day import Day
from projections.intervals import MINUTE_US
from projections.layout import (
    LAST_TRADES,
    BookTop,
    MarketRisk,
    Position,
    StoredTrade,
    asks_key,
    bids_key,
    candles_key,
    market_key,
    minutes_key,
    pack,
    trades_key,
    unpack,
)
from projections.reference import Reference


class MarketViews:
    """Folds the book changes and trades of one market; `flush` writes what they come to."""

    __slots__ = (
        "_book_key",
        "_candles",
        "_changed",
        "_day",
        "_minutes_changed",
        "_reference",
        "book_seq",
        "book_time_us",
        "market_id",
        "notional",
        "sides",
    )

    def __init__(self, market_id: int, reference: Reference) -> None:
        self.market_id = market_id
        self.book_seq = 0
        self.book_time_us = 0
        self.sides: dict[Side, dict[int, int]] = {Side.BUY: {}, Side.SELL: {}}
        self.notional = {Side.BUY: 0, Side.SELL: 0}
        self._book_key = {Side.BUY: bids_key(market_id), Side.SELL: asks_key(market_id)}
        self._reference = reference
        self._candles = Candles()
        self._day = Day()
        self._minutes_changed: set[int] = set()
        self._changed = True

    def load(self, cells: Cells) -> None:
        """Go on from what `flush` wrote."""
        for side, levels in self.sides.items():
            for price, quantity in cells.get(self._book_key[side], {}).items():
                levels[int(price)] = int(quantity)
                self.notional[side] += self._notional(int(price), int(quantity))
        views = cells.get(market_key(self.market_id), {})
        if "book" in views:
            top = unpack(BookTop, views["book"])
            self.book_seq, self.book_time_us = top.book_seq, top.time_us
        self._day.load(cells.get(minutes_key(self.market_id), {}), views.get("ticker"))
        self._candles.load(cells.get(candles_key(self.market_id), {}))

    def change_book(self, event: BookChanged, time_us: int, changes: Changes) -> None:
        """Set one level of the book."""
        assert event.book_seq == self.book_seq + 1, (
            f"P2: market {self.market_id} must go on with book change {self.book_seq + 1}, "
            f"found {event.book_seq}"
        )
        price = self._reference.price(self.market_id, event.price_ticks)
        quantity = event.lots * self._reference.markets[self.market_id].lot
        levels, key = self.sides[event.side], self._book_key[event.side]
        before = levels.pop(price, 0)
        if quantity:
            levels[price] = quantity
            changes.put(key, str(price), str(quantity))
        else:
            changes.drop(key, str(price))
        self.notional[event.side] += self._notional(price, quantity) - self._notional(price, before)
        self.book_seq, self.book_time_us = event.book_seq, time_us
        self._changed = True

    def trade(self, event: TradeExecuted, time_us: int, changes: Changes) -> StoredTrade:
        """Fold one trade, which is returned as it is stored."""
        market = self._reference.markets[self.market_id]
        trade = StoredTrade(
            trade_id=event.trade_id,
            price=self._reference.price(self.market_id, event.price_ticks),
            quantity=event.lots * market.lot,
            quote=event.price_ticks * event.lots * market.tick,
            time_us=time_us,
            taker_side=int(event.taker_side),
            maker_order_id=event.maker_order_id,
            taker_order_id=event.taker_order_id,
        )
        self._candles.fold(trade)
        self._minutes_changed.add(self._day.fold(trade).minute)
        slot = str(trade.trade_id % LAST_TRADES)
        changes.put(trades_key(self.market_id), slot, pack(trade))
        self._changed = True
        return trade

    def turn(self, minute: int, changes: Changes) -> None:
        """Begin a log minute."""
        for gone in self._day.turn(minute):
            changes.drop(minutes_key(self.market_id), str(gone))
        self._changed = True

    def traded_in(self, minute: int) -> bool:
        """Whether the market had a trade in that log minute."""
        return minute in self._day.minutes

    def risk(self, time_us: int) -> MarketRisk:
        """Notional and volatility as of `time_us`."""
        minute = time_us // MINUTE_US
        return MarketRisk(
            time_us=time_us,
            bid_notional=self.notional[Side.BUY],
            ask_notional=self.notional[Side.SELL],
            volatility_1m_ppm=self._day.volatility_ppm(minute - 1),
            volatility_now_ppm=self._day.volatility_ppm(minute),
            last_price=self._day.last_price,
        )

    def flush(self, partition: int, upto: Position, changes: Changes) -> None:
        """Write the views that changed since the last flush, as of `upto`."""
        if not self._changed:
            return
        self._changed = False
        key = market_key(self.market_id)
        changes.put(key, "book", pack(self._top()))
        changes.put(key, "ticker", pack(self._day.ticker(upto.time_us)))
        changes.put(key, "risk", pack(self.risk(upto.time_us)))
        for number in self._minutes_changed & self._day.minutes.keys():
            text = pack(self._day.minutes[number])
            changes.put(minutes_key(self.market_id), str(number), text)
        self._minutes_changed.clear()
        for interval, candle in self._candles.take_touched():
            changes.put(candles_key(self.market_id), interval, pack(candle))
            at = (partition, upto.cseq, upto.time_us)
            changes.add("candles", (*at, self.market_id, interval, *candle))

    def _top(self) -> BookTop:
        bids, asks = self.sides[Side.BUY], self.sides[Side.SELL]
        bid, ask = max(bids, default=0), min(asks, default=0)
        return BookTop(
            book_seq=self.book_seq,
            time_us=self.book_time_us,
            bid_price=bid,
            bid_quantity=bids.get(bid, 0),
            ask_price=ask,
            ask_quantity=asks.get(ask, 0),
        )

    def _notional(self, price: int, quantity: int) -> int:
        return self._reference.notional(self.market_id, price=price, quantity=quantity)
