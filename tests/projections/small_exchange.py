"""A tiny exchange of one ledger shard and one matching shard that only writes outboxes.

It trades like the product (price-time, maker's price) but shares nothing with it except the
messages, and is careless of speed. Time goes on by what each step says.
"""

from dataclasses import dataclass, field

from domain.accounts.messages import AssetListed
from domain.decider import Message
from domain.ledger.messages import AccountOpened, DepositCredited
from domain.markets import MarketListed, MarketRules
from domain.matching.messages import BookChanged, OrderRested, OrderTerminated, TradeExecuted
from domain.orders.messages import (
    CancelRequested,
    CloseReason,
    FillSettled,
    OrderAccepted,
    OrderClosed,
    OrderType,
    Role,
    Side,
    TimeInForce,
)
from projections.layout import LEDGER_EVENTS, MATCHING_EVENTS
from schemas.record import encode_message, encode_record

BTC, USDT, MARKET = 1, 2, 1
LOT, TICK = 1_000, 10  # 0.00001 BTC per lot; 0.0000001 USDT per lot: a price step of 0.01
RULES = MarketRules(
    base_asset=BTC, quote_asset=USDT, lot=LOT, tick=TICK,
    min_price_ticks=1, max_price_ticks=10**9, min_lots=1, max_lots=10**9,
    market_min_lots=1, market_max_lots=10**9, min_notional=1, max_notional=1 << 60,
    bid_up_ppm=10**7, bid_down_ppm=0, ask_up_ppm=10**7, ask_down_ppm=0,
    collar_ppm=100_000, max_open_orders=1_000,
)  # fmt: skip
START_US = 1_782_000_000_000_000


@dataclass
class Outbox:
    """The records of one partition, encoded, and the same messages with their times."""

    src: str
    values: list[bytes] = field(default_factory=list)
    events: list[tuple[int, Message]] = field(default_factory=list)

    def write(self, time_us: int, *messages: Message) -> None:
        self.events += [(time_us, message) for message in messages]
        self.values.append(
            encode_record(
                prev=bytes(16),
                cause_offset=len(self.values),
                src=self.src,
                cseq=len(self.values) + 1,
                cause=len(self.values) + 1,
                time_us=time_us,
                input_hash=bytes(16),
                messages=[encode_message(message) for message in messages],
            )
        )


@dataclass
class Order:
    order_id: int
    user_id: int
    side: Side
    price: int
    lots: int
    open: int
    accepted_us: int
    quote: int = 0


class SmallExchange:
    def __init__(self, users: int = 4) -> None:
        self.time_us = START_US
        self.ledger = Outbox("L0")
        self.matching = Outbox("M0")
        self.book: list[Order] = []
        self.next_order = self.next_trade = self.book_seq = 0
        self.users = list(range(1, users + 1))
        listed = MarketListed(b"", MARKET, "BTCUSDT", 1, RULES, 6_000_000)
        for outbox in (self.ledger, self.matching):
            outbox.write(
                self.time_us,
                AssetListed(b"", BTC, "BTC", "Bitcoin", 8),
                AssetListed(b"", USDT, "USDT", "Tether", 8),
            )
            outbox.write(self.time_us, listed)
        for user in self.users:
            self.ledger.write(self.time_us, AccountOpened(b"", user, 0))
            for asset in (BTC, USDT):
                deposit = DepositCredited(b"", user, asset, 10**15, f"start-{user}-{asset}")
                self.ledger.write(self.time_us, deposit)

    def outboxes(self) -> dict[str, list[bytes]]:
        return {LEDGER_EVENTS: self.ledger.values, MATCHING_EVENTS: self.matching.values}

    def tick(self, seconds: int) -> None:
        self.time_us += seconds * 1_000_000
        self.ledger.write(self.time_us)
        self.matching.write(self.time_us)

    def place(self, user: int, side: Side, price: int, lots: int) -> int:
        self.next_order += 1
        order = Order(self.next_order, user, side, price, lots, lots, self.time_us)
        paid = USDT if side is Side.BUY else BTC
        held = price * lots * TICK if side is Side.BUY else lots * LOT
        accepted = OrderAccepted(
            b"p", order.order_id, user, MARKET, 1, f"c{order.order_id}", side, OrderType.LIMIT,
            TimeInForce.GTC, price, lots, 0, paid, held, 1, order.order_id,
        )  # fmt: skip
        self.ledger.write(self.time_us, accepted)
        book_events, ledger_events = self._match(order)
        if order.open:
            self.book.append(order)
            book_events.append(self._level(side, price))
            rested = OrderRested(b"p", order.order_id, user, MARKET, side, price, order.open)
            book_events.append(rested)
            ledger_events.append(rested)
        else:
            terminated = OrderTerminated(b"p", order.order_id, MARKET, CloseReason.FILLED, 0)
            book_events.append(terminated)
            ledger_events.append(self._closed(order, CloseReason.FILLED))
        self.matching.write(self.time_us, *book_events)
        self.ledger.write(self.time_us, *ledger_events)
        return order.order_id

    def cancel(self, order_id: int) -> None:
        order = next((o for o in self.book if o.order_id == order_id), None)
        if order is None:
            return
        self.ledger.write(self.time_us, CancelRequested(b"c", order_id, order.user_id, MARKET))
        self.book.remove(order)
        ended = OrderTerminated(b"c", order_id, MARKET, CloseReason.CANCELED, order.open)
        self.matching.write(self.time_us, self._level(order.side, order.price), ended)
        self.ledger.write(self.time_us, self._closed(order, CloseReason.CANCELED))

    def _match(self, taker: Order) -> tuple[list[Message], list[Message]]:
        book_events: list[Message] = []
        ledger_events: list[Message] = []
        touched = set()
        while taker.open:
            maker = self._best(taker)
            if maker is None:
                break
            lots = min(taker.open, maker.open)
            taker.open -= lots
            maker.open -= lots
            self.next_trade += 1
            touched.add(maker.price)
            book_events.append(
                TradeExecuted(
                    MARKET,
                    self.next_trade,
                    maker.price,
                    lots,
                    taker.side,
                    maker.order_id,
                    taker.order_id,
                    maker.open,
                )
            )
            ledger_events.append(self._fill(maker, Role.MAKER, maker.price, lots))
            if not maker.open:
                self.book.remove(maker)
                ended = OrderTerminated(b"", maker.order_id, MARKET, CloseReason.FILLED, 0)
                book_events.append(ended)
            ledger_events.append(self._fill(taker, Role.TAKER, maker.price, lots))
            if not maker.open:
                ledger_events.append(self._closed(maker, CloseReason.FILLED))
        maker_side = Side.SELL if taker.side is Side.BUY else Side.BUY
        book_events += [self._level(maker_side, price) for price in sorted(touched)]
        return book_events, ledger_events

    def _best(self, taker: Order) -> Order | None:
        others = [o for o in self.book if o.side is not taker.side]
        if taker.side is Side.BUY:
            others = [o for o in others if o.price <= taker.price]
            return min(others, key=lambda o: (o.price, o.order_id), default=None)
        others = [o for o in others if o.price >= taker.price]
        return min(others, key=lambda o: (-o.price, o.order_id), default=None)

    def _level(self, side: Side, price: int) -> BookChanged:
        self.book_seq += 1
        lots = sum(o.open for o in self.book if o.side is side and o.price == price)
        return BookChanged(MARKET, self.book_seq, side, price, lots)

    def _fill(self, order: Order, role: Role, price: int, lots: int) -> FillSettled:
        base, quote = lots * LOT, price * lots * TICK
        buys = order.side is Side.BUY
        order.quote += quote
        received = base if buys else quote
        return FillSettled(
            b"", order.order_id, order.user_id, MARKET, self.next_trade, f"c{order.order_id}",
            order.side, role, price, lots,
            USDT if buys else BTC, quote if buys else base,
            BTC if buys else USDT, received, -(-received * 1000 // 10**6),
            (order.price - price) * lots * TICK if buys else 0,
            order.lots - order.open, order.quote,
        )  # fmt: skip

    def _closed(self, order: Order, reason: CloseReason) -> OrderClosed:
        buys = order.side is Side.BUY
        released = order.price * order.open * TICK if buys else order.open * LOT
        return OrderClosed(
            b"", order.order_id, order.user_id, MARKET, f"c{order.order_id}", order.side,
            OrderType.LIMIT, TimeInForce.GTC, order.price, order.lots, 0,
            order.lots - order.open, order.quote, reason,
            USDT if buys else BTC, released, order.accepted_us,
        )  # fmt: skip
