"""A slow, obvious matching shard: one list of orders, linear search, one lot traded at a time.

It shares the message classes with the product and nothing else. Market commands are taken as
valid; their refusals are tested by tables.
"""

from copy import deepcopy
from dataclasses import dataclass, field

from domain.decider import Message
from domain.markets import (
    ChangeMarketRules,
    HaltMarket,
    ListMarket,
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRulesChanged,
    ReferencePriceChanged,
    ResumeMarket,
)
from domain.matching.messages import (
    BookChanged,
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
    OrderType,
    Side,
    TimeInForce,
)


@dataclass
class NaiveOrder:
    order_id: int
    user_id: int
    side: Side
    price_ticks: int
    lots: int


@dataclass
class Taken:
    """What a taker got: (maker's id, price, lots) in order, and why it stopped."""

    trades: list[tuple[int, int, int]] = field(default_factory=list)
    lots: int = 0
    satisfied: bool = False


@dataclass
class NaiveMarket:
    market_id: int
    revision: int
    tick: int
    lot: int
    last_price: int
    told_price: int
    told_at_us: int | None = None
    halted: bool = False
    trades: int = 0
    changes: int = 0
    resting: list[NaiveOrder] = field(default_factory=list)

    def total(self, side: Side, price_ticks: int) -> int:
        return sum(
            order.lots
            for order in self.resting
            if order.side == side and order.price_ticks == price_ticks
        )

    def find(self, order_id: int, user_id: int) -> NaiveOrder | None:
        for order in self.resting:
            if order.order_id == order_id and order.user_id == user_id:
                return order
        return None

    def best_maker(self, side: Side, limit: int) -> NaiveOrder | None:
        """The oldest of the best-priced orders on the other side that the limit allows."""
        best = None
        for order in self.resting:
            if order.side == side:
                continue
            sign = 1 if side == Side.BUY else -1
            allowed = sign * order.price_ticks <= sign * limit
            if allowed and (best is None or sign * order.price_ticks < sign * best.price_ticks):
                best = order
        return best

    def take(self, wish: OrderAccepted) -> Taken:
        """Trade lot by lot, changing the list, until the wish is satisfied or nobody is left."""
        taken = Taken()
        spent = 0
        while True:
            if wish.lots and taken.lots == wish.lots:
                taken.satisfied = True
                return taken
            if wish.quote_amount and spent == wish.quote_amount:
                taken.satisfied = True
                return taken
            maker = self.best_maker(wish.side, wish.price_ticks)
            if maker is None:
                return taken
            if wish.quote_amount and spent + maker.price_ticks * self.tick > wish.quote_amount:
                taken.satisfied = taken.lots > 0
                return taken
            spent += maker.price_ticks * self.tick
            taken.lots += 1
            maker.lots -= 1
            if maker.lots == 0:
                self.resting.remove(maker)
            if taken.trades and taken.trades[-1][0] == maker.order_id:
                taken.trades[-1] = (maker.order_id, maker.price_ticks, taken.trades[-1][2] + 1)
            else:
                taken.trades.append((maker.order_id, maker.price_ticks, 1))

    def changed(self, side: Side, price_ticks: int) -> BookChanged:
        self.changes += 1
        return BookChanged(
            self.market_id, self.changes, side, price_ticks, self.total(side, price_ticks)
        )


@dataclass
class NaiveMatching:
    """The shard: feed it messages with their time, get the events."""

    partition: int
    partitions: int
    markets: dict[int, NaiveMarket] = field(default_factory=dict)

    def apply(self, time_us: int, message: Message) -> list[Message]:
        if isinstance(message, OrderAccepted):
            events = self._place(message)
        elif isinstance(message, CancelRequested):
            events = self._cancel(message)
        elif isinstance(message, CancelAllRequested):
            events = self._cancel_all(message)
        else:
            events = self._operate(message)
        for market_id in sorted(self.markets):
            market = self.markets[market_id]
            rested = market.told_at_us is None or time_us - market.told_at_us >= 1_000_000
            if market.last_price != market.told_price and rested:
                events.append(ReferencePriceChanged(market_id, market.last_price))
                market.told_price = market.last_price
                market.told_at_us = time_us
        return events

    def _place(self, wish: OrderAccepted) -> list[Message]:
        market = self.markets.get(wish.market_id)
        if market is None:
            return [self._end(wish, CloseReason.UNKNOWN_MARKET, wish.lots)]
        if market.halted:
            return [self._end(wish, CloseReason.MARKET_HALTED, wish.lots)]
        if market.revision != wish.market_revision:
            return [self._end(wish, CloseReason.STALE_RULES, wish.lots)]
        trial = deepcopy(market).take(wish)
        if wish.order_type == OrderType.LIMIT_MAKER and trial.trades:
            return [self._end(wish, CloseReason.WOULD_TAKE, wish.lots)]
        if wish.time_in_force == TimeInForce.FOK and not trial.satisfied:
            return [self._end(wish, CloseReason.FOK_NOT_FILLABLE, wish.lots)]
        before = {order.order_id: order.lots for order in market.resting}
        taken = market.take(wish)
        events = self._trades(market, wish, taken, before)
        left = wish.lots - taken.lots if wish.lots else 0
        may_rest = wish.order_type != OrderType.MARKET and wish.time_in_force == TimeInForce.GTC
        if taken.satisfied:
            events.append(self._end(wish, CloseReason.FILLED, left))
        elif may_rest:
            market.resting.append(
                NaiveOrder(wish.order_id, wish.user_id, wish.side, wish.price_ticks, left)
            )
            events.append(market.changed(wish.side, wish.price_ticks))
            events.append(
                OrderRested(
                    command_id=wish.command_id,
                    order_id=wish.order_id,
                    user_id=wish.user_id,
                    market_id=wish.market_id,
                    side=wish.side,
                    price_ticks=wish.price_ticks,
                    lots=left,
                )
            )
        else:
            events.append(self._end(wish, CloseReason.NO_LIQUIDITY, left))
        return events

    def _trades(
        self, market: NaiveMarket, wish: OrderAccepted, taken: Taken, before: dict[int, int]
    ) -> list[Message]:
        events: list[Message] = []
        prices: list[int] = []
        for maker_id, price, lots in taken.trades:
            market.trades += 1
            market.last_price = price
            events.append(
                TradeExecuted(
                    market_id=market.market_id,
                    trade_id=market.trades,
                    price_ticks=price,
                    lots=lots,
                    taker_side=wish.side,
                    maker_order_id=maker_id,
                    taker_order_id=wish.order_id,
                    maker_remaining_lots=before[maker_id] - lots,
                )
            )
            if before[maker_id] == lots:
                events.append(
                    OrderTerminated(
                        command_id=b"",
                        order_id=maker_id,
                        market_id=market.market_id,
                        reason=CloseReason.FILLED,
                        remaining_lots=0,
                    )
                )
            if price not in prices:
                prices.append(price)
        maker_side = Side.SELL if wish.side == Side.BUY else Side.BUY
        events += [market.changed(maker_side, price) for price in prices]
        return events

    def _cancel(self, wish: CancelRequested) -> list[Message]:
        market = self.markets.get(wish.market_id)
        order = market.find(wish.order_id, wish.user_id) if market else None
        if market is None or order is None:
            return [
                CancelRefused(
                    command_id=wish.command_id,
                    order_id=wish.order_id,
                    user_id=wish.user_id,
                    market_id=wish.market_id,
                )
            ]
        market.resting.remove(order)
        change = market.changed(order.side, order.price_ticks)
        return [change, self._canceled(wish.command_id, market, order)]

    def _cancel_all(self, wish: CancelAllRequested) -> list[Message]:
        market = self.markets.get(wish.market_id)
        gone: list[NaiveOrder] = []
        events: list[Message] = []
        if market is not None:
            for order_id in wish.order_ids:
                order = market.find(order_id, wish.user_id)
                if order is not None:
                    market.resting.remove(order)
                    gone.append(order)
                    events.append(self._canceled(wish.command_id, market, order))
            levels: list[tuple[Side, int]] = []
            for order in gone:
                if (order.side, order.price_ticks) not in levels:
                    levels.append((order.side, order.price_ticks))
            events += [market.changed(side, price) for side, price in levels]
        events.append(
            CancelAllCompleted(
                command_id=wish.command_id,
                user_id=wish.user_id,
                market_id=wish.market_id,
                order_ids=[order.order_id for order in gone],
            )
        )
        return events

    def _operate(self, message: Message) -> list[Message]:
        if isinstance(message, ListMarket):
            return self._list(message)
        if isinstance(message, ChangeMarketRules):
            return self._change_rules(message)
        if isinstance(message, HaltMarket):
            self.markets[message.market_id].halted = True
            return [MarketHalted(message.command_id, message.market_id)]
        if isinstance(message, ResumeMarket):
            self.markets[message.market_id].halted = False
            return [MarketResumed(message.command_id, message.market_id)]
        return []

    def _list(self, message: ListMarket) -> list[Message]:
        market_id = (len(self.markets) + 1) * self.partitions + self.partition
        price = message.reference_price_ticks
        self.markets[market_id] = NaiveMarket(
            market_id, 1, message.rules.tick, message.rules.lot, price, price
        )
        return [
            MarketListed(message.command_id, market_id, message.symbol, 1, message.rules, price)
        ]

    def _change_rules(self, message: ChangeMarketRules) -> list[Message]:
        market = self.markets[message.market_id]
        if (market.lot, market.tick) != (message.rules.lot, message.rules.tick):
            market.revision += 1
        market.lot, market.tick = message.rules.lot, message.rules.tick
        if message.reference_price_ticks:
            market.last_price = message.reference_price_ticks
        market.told_price = market.last_price
        return [
            MarketRulesChanged(
                message.command_id,
                market.market_id,
                market.revision,
                message.rules,
                market.last_price,
            )
        ]

    @staticmethod
    def _end(wish: OrderAccepted, reason: CloseReason, left: int) -> OrderTerminated:
        return OrderTerminated(
            command_id=wish.command_id,
            order_id=wish.order_id,
            market_id=wish.market_id,
            reason=reason,
            remaining_lots=left,
        )

    @staticmethod
    def _canceled(command_id: bytes, market: NaiveMarket, order: NaiveOrder) -> OrderTerminated:
        return OrderTerminated(
            command_id=command_id,
            order_id=order.order_id,
            market_id=market.market_id,
            reason=CloseReason.CANCELED,
            remaining_lots=order.lots,
        )
