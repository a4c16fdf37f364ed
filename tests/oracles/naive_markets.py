"""What stores must hold of a market, from all its events again: depth, trades, candles, ticker.

Shares with the product the message classes alone: what a cell is and what it counts in is written
here a second time. A price is in 10^-8 quote per base, a quantity in base units, a notional in
quote units. Volatility alone is left out, which the product rounds on the way.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any, NamedTuple

from domain.accounts.messages import AssetListed
from domain.decider import Message
from domain.markets import MarketListed, MarketRules, MarketRulesChanged
from domain.matching.messages import BookChanged, TradeExecuted
from domain.orders.messages import Side
from tests.oracles import naive_views
from tests.oracles.naive_views import MINUTE, Events

INTERVALS = (
    *("1s", "1m", "3m", "5m", "15m", "30m", "1h", "2h", "4h", "6h", "8h", "12h"),
    *("1d", "3d", "1w", "1M"),
)
OfMarket = MarketListed | MarketRulesChanged | BookChanged | TradeExecuted
"""The events of a market that all of this comes from."""

KEYS = ("bids", "asks", "market", "trades", "candles", "minutes")
"""The kinds of keys that Redis has of each market."""

DAY_MINUTES, LAST_TRADES, PRICE_UNITS = 1_440, 1_000, 10**8

Row = tuple[int, ...]
Cells = dict[str, dict[str, Any]]
"""Key → field → what its JSON says."""


class Trade(NamedTuple):
    """A trade as it is stored; `taker_side` is 0 where the taker bought."""

    trade_id: int
    price: int
    quantity: int
    quote: int
    time_us: int
    taker_side: int
    maker_order_id: int
    taker_order_id: int


class Market:
    """One market after these events, the last record of which has the log time `now_us`."""

    def __init__(self, events: Events, market_id: int, now_us: int) -> None:
        self.market_id = market_id
        self.now_us = now_us
        self.events = [(t, e) for t, e in events if _is_about(e, market_id)]
        self.rules = self._rules()[-1]
        self.trades = list(self._all_trades())

    def cells(self) -> Cells:
        """All that Redis holds of it; what time a ticker or risk was told at is left out."""
        number = self.market_id
        risk = [self._notional(Side.BUY), self._notional(Side.SELL), self._last()[0]]
        last = self.trades[-LAST_TRADES:]
        candles = {interval: self.candles(interval) for interval in INTERVALS}
        return {
            f"bids:{number}": {
                str(price): quantity for price, quantity in self.depth(Side.BUY).items()
            },
            f"asks:{number}": {
                str(price): quantity for price, quantity in self.depth(Side.SELL).items()
            },
            f"market:{number}": {"book": self._book(), "ticker": self._ticker(), "risk": risk},
            f"trades:{number}": {str(t.trade_id % LAST_TRADES): [*t] for t in last},
            f"candles:{number}": {i: [*rows[max(rows)]] for i, rows in candles.items() if rows},
            f"minutes:{number}": self._minutes(),
        }

    def depth(self, side: Side) -> dict[int, int]:
        """Price → quantity. Lot and tick change only while the book is empty."""
        levels = naive_views.depth(self.events, self.market_id, side)
        step = self._step(self.rules)
        return {_whole(ticks * step): lots * self.rules.lot for ticks, lots in levels.items()}

    def candles(self, interval: str) -> dict[int, Row]:
        """Open time → the candle's fields, the open time first."""
        groups: dict[int, list[Trade]] = defaultdict(list)
        for trade in self.trades:
            groups[naive_views.candle_opens(interval, trade.time_us)].append(trade)
        return {opens: (opens, *_candle(group)) for opens, group in groups.items()}

    def _rules(self) -> list[MarketRules]:
        """All that it has had."""
        told = MarketListed | MarketRulesChanged
        return [event.rules for _, event in self.events if isinstance(event, told)]

    def _all_trades(self) -> Iterator[Trade]:
        """In order, each by the rules it was made under."""
        rules, step = self.rules, self._step(self.rules)
        for time_us, event in self.events:
            if isinstance(event, MarketListed | MarketRulesChanged):
                rules, step = event.rules, self._step(event.rules)
            elif isinstance(event, TradeExecuted):
                yield Trade(
                    event.trade_id,
                    _whole(event.price_ticks * step),
                    event.lots * rules.lot,
                    event.price_ticks * event.lots * rules.tick,
                    time_us,
                    0 if event.taker_side is Side.BUY else 1,
                    event.maker_order_id,
                    event.taker_order_id,
                )

    def _step(self, rules: MarketRules) -> Fraction:
        """What a price tick is worth."""
        decimals = {e.asset_id: e.decimals for _, e in self.events if isinstance(e, AssetListed)}
        base, quote = 10 ** decimals[rules.base_asset], 10 ** decimals[rules.quote_asset]
        return Fraction(rules.tick * base * PRICE_UNITS, rules.lot * quote)

    def _book(self) -> list[int]:
        """Sequence and log time of the last change, best bid and its quantity, best ask and its."""
        changes = [(e.book_seq, t) for t, e in self.events if isinstance(e, BookChanged)]
        bids, asks = self.depth(Side.BUY), self.depth(Side.SELL)
        bid, ask = max(bids, default=0), min(asks, default=0)
        return [*max(changes, default=(0, 0)), bid, bids.get(bid, 0), ask, asks.get(ask, 0)]

    def _notional(self, side: Side) -> int:
        levels = naive_views.depth(self.events, self.market_id, side)
        return sum(ticks * lots for ticks, lots in levels.items()) * self.rules.tick

    def _last(self) -> tuple[int, int]:
        """Price and quantity of the last trade there was."""
        return self.trades[-1][1:3] if self.trades else (0, 0)

    def _ticker(self) -> list[int]:
        first = self.now_us // MINUTE - DAY_MINUTES + 1
        day = [trade for trade in self.trades if trade.time_us // MINUTE >= first]
        before = [trade.price for trade in self.trades if trade.time_us // MINUTE < first]
        last = self._last()
        opened, high, low, _, quantity, quote, count, _, _, first_id, last_id = (
            _candle(day) if day else (*[last[0]] * 4, *[0] * 7)
        )
        previous = before[-1] if before else opened
        sums = (quantity, quote, count, first_id, last_id)
        return [first * MINUTE, opened, high, low, *last, previous, *sums]

    def _minutes(self) -> dict[str, list[int]]:
        """Of the last day's minutes with trades: number, prices, quantity, quote, trades, ids."""
        first = self.now_us // MINUTE - DAY_MINUTES + 1
        rows = {opens // MINUTE: row for opens, row in self.candles("1m").items()}
        return {str(m): [m, *row[1:8], *row[10:]] for m, row in rows.items() if m >= first}


def market_ids(events: Events) -> list[int]:
    """All markets that were listed."""
    return [event.market_id for _, event in events if isinstance(event, MarketListed)]


def cells_differ(wanted: Cells, found: Mapping[str, Mapping[str, str]]) -> Iterator[str]:
    """What Redis has in these keys beside what it must have, a sentence for each that differs."""
    for key, fields in wanted.items():
        told = {name: _told(key, name, text) for name, text in found.get(key, {}).items()}
        for name in sorted(fields.keys() | told.keys()):
            if fields.get(name) != told.get(name):
                yield f"{key} {name} must be {fields.get(name)} by its events, is {told.get(name)}"
                break


def _told(key: str, name: str, text: str) -> object:
    """What a cell says, without the time it was told at and without volatility."""
    value = json.loads(text)
    if name == "ticker":
        return value[1:]
    if name == "risk":
        return [value[1], value[2], value[5]]
    return value[:-1] if key.startswith("minutes:") else value


def _candle(trades: Sequence[Trade]) -> Row:
    """Open, high, low, close, quantity, quote, trades, taker buys of both, first and last id."""
    prices = [trade.price for trade in trades]
    bought = [trade for trade in trades if trade.taker_side == 0]
    return (
        *(prices[0], max(prices), min(prices), prices[-1]),
        *(sum(t.quantity for t in trades), sum(t.quote for t in trades), len(trades)),
        *(sum(t.quantity for t in bought), sum(t.quote for t in bought)),
        *(trades[0].trade_id, trades[-1].trade_id),
    )


def _whole(price: Fraction) -> int:
    assert price.denominator == 1, f"a price must be whole, was {price}"
    return price.numerator


def _is_about(event: Message, market_id: int) -> bool:
    """Whether it is of the market, or tells the decimals of an asset."""
    if isinstance(event, OfMarket):
        return event.market_id == market_id
    return isinstance(event, AssetListed)
