"""A toy matching shard for tests of the ledger: legal facts from a list of resting orders."""

from collections.abc import Sequence

from domain.decider import Message
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
    OrderType,
    Side,
    TimeInForce,
)

Facts = list[tuple[int, Message]]
"""(order id or user id that decides the ledger shard, fact), in order."""


class ToyMatching:
    """Price-time priority by linear search; all markets have the same tick."""

    def __init__(self, tick: int) -> None:
        self.tick = tick
        self.resting: list[tuple[OrderAccepted, int]] = []  # oldest first, with lots left
        self.halted: set[int] = set()
        self.trades: list[TradeExecuted] = []

    def handle(self, event: Message) -> Facts:
        if isinstance(event, OrderAccepted):
            return self._place(event)
        if isinstance(event, CancelRequested):
            facts = self._cancel(event.order_id, event.command_id)
            refused = CancelRefused(
                event.command_id, event.order_id, event.user_id, event.market_id
            )
            return facts or [(event.user_id, refused)]
        assert isinstance(event, CancelAllRequested)
        facts = [f for i in event.order_ids for f in self._cancel(i, event.command_id)]
        ids = [order_id for order_id, _ in facts]
        done = CancelAllCompleted(event.command_id, event.user_id, event.market_id, ids)
        return [*facts, (event.user_id, done)]

    def _place(self, taker: OrderAccepted) -> Facts:
        if taker.market_id in self.halted:
            return [_end(taker, taker.command_id, CloseReason.MARKET_HALTED, taker.lots)]
        makers = self._makers(taker)
        if taker.order_type is OrderType.LIMIT_MAKER and makers:
            return [_end(taker, taker.command_id, CloseReason.WOULD_TAKE, taker.lots)]
        enough = sum(lots for _, lots in makers) >= taker.lots
        if taker.time_in_force is TimeInForce.FOK and not enough:
            return [_end(taker, taker.command_id, CloseReason.FOK_NOT_FILLABLE, taker.lots)]
        facts: Facts = []
        done = False
        left, quote_left = taker.lots, taker.quote_amount
        for maker, there in makers:
            price = maker.price_ticks
            lots = there if taker.lots == 0 else min(there, left)
            if taker.quote_amount:
                lots = min(lots, quote_left // (price * self.tick))
            if lots == 0:
                done = True
                break
            left = max(left - lots, 0)
            done = left == 0 and taker.lots > 0
            quote_left -= lots * price * self.tick
            facts += self._trade(maker, taker, lots)
        return facts + self._first_report(taker, left, traded_all=done)

    def _makers(self, taker: OrderAccepted) -> Sequence[tuple[OrderAccepted, int]]:
        """The resting orders that the taker may trade with, best price first, oldest first."""
        buys = taker.side is Side.BUY
        limit = taker.price_ticks
        found = [
            (maker, lots)
            for maker, lots in self.resting
            if maker.market_id == taker.market_id
            and maker.side is not taker.side
            and (maker.price_ticks <= limit if buys else maker.price_ticks >= limit)
        ]
        return sorted(found, key=lambda x: x[0].price_ticks if buys else -x[0].price_ticks)

    def _trade(self, maker: OrderAccepted, taker: OrderAccepted, lots: int) -> Facts:
        (at,) = [i for i, (o, _) in enumerate(self.resting) if o.order_id == maker.order_id]
        left = self.resting[at][1] - lots
        self.resting[at] = (maker, left)
        number = len([t for t in self.trades if t.market_id == taker.market_id]) + 1
        trade = TradeExecuted(
            market_id=taker.market_id,
            trade_id=number,
            price_ticks=maker.price_ticks,
            lots=lots,
            taker_side=taker.side,
            maker_order_id=maker.order_id,
            taker_order_id=taker.order_id,
            maker_remaining_lots=left,
        )
        self.trades.append(trade)
        facts: Facts = [(maker.order_id, trade), (taker.order_id, trade)]
        if left == 0:
            del self.resting[at]
            facts.append(_end(maker, b"", CloseReason.FILLED, 0))
        return facts

    def _first_report(self, taker: OrderAccepted, left: int, *, traded_all: bool) -> Facts:
        if traded_all:
            return [_end(taker, taker.command_id, CloseReason.FILLED, 0)]
        if taker.order_type is OrderType.MARKET or taker.time_in_force is not TimeInForce.GTC:
            return [_end(taker, taker.command_id, CloseReason.NO_LIQUIDITY, left)]
        self.resting.append((taker, left))
        rested = OrderRested(
            command_id=taker.command_id,
            order_id=taker.order_id,
            user_id=taker.user_id,
            market_id=taker.market_id,
            side=taker.side,
            price_ticks=taker.price_ticks,
            lots=left,
        )
        return [(taker.order_id, rested)]

    def _cancel(self, order_id: int, command_id: bytes) -> Facts:
        found = [(order, lots) for order, lots in self.resting if order.order_id == order_id]
        self.resting = [x for x in self.resting if x[0].order_id != order_id]
        return [_end(order, command_id, CloseReason.CANCELED, lots) for order, lots in found]


def _end(
    order: OrderAccepted, command_id: bytes, reason: CloseReason, lots: int
) -> tuple[int, Message]:
    terminated = OrderTerminated(command_id, order.order_id, order.market_id, reason, lots)
    return order.order_id, terminated
