"""What the projectors write, against the naive fold of the same events, however they are cut."""

import json
from collections.abc import Mapping
from dataclasses import replace
from fractions import Fraction
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.accounts.messages import AssetListed
from domain.markets import MarketRulesChanged
from domain.orders.messages import CloseReason, Side
from projections.changes import PlacedRecord
from projections.follower import Follower, RawRecord
from projections.intervals import INTERVALS, MINUTE_US
from projections.layout import (
    ACCEPTED,
    CLOSED,
    LEDGER_EVENTS,
    MATCHING_EVENTS,
    RESTED,
    Balance,
    BookTop,
    Candle,
    MarketRisk,
    StoredOrder,
    StoredTrade,
    Ticker,
    UserRisk,
    account_key,
    asks_key,
    balances_key,
    bids_key,
    candles_key,
    closed_key,
    market_key,
    minutes_key,
    open_key,
    pack,
    trades_key,
    unpack,
    volume_key,
)
from projections.ledger_projector import LedgerProjector
from schemas.record import decode_record
from tests.examples import examples
from tests.oracles import naive_markets, naive_views
from tests.projections.dict_sink import Crash, DictSink
from tests.projections.scenarios import busy_exchange, exchanges, feed, offer, raw
from tests.projections.small_exchange import BTC, LOT, MARKET, RULES, TICK, USDT, SmallExchange
from tests.streams.records import forged

PRICE = 1_000_000
"""A tick of the small exchange, 0.01 USDT per BTC, in 10^-8."""

cuts = st.integers(1, 20)


def projected(exchange: SmallExchange, step: int = 7) -> DictSink:
    sink = DictSink()
    feed(exchange, sink, step)
    return sink


@given(exchange=exchanges(), step=cuts)
def test_balances_are_those_of_the_naive_fold(exchange, step):
    sink = projected(exchange, step)
    stored = {
        (user, int(asset)): tuple(unpack(Balance, text))
        for user in exchange.users
        for asset, text in sink.cells[balances_key(user)].items()
    }
    assert stored == naive_views.balances(exchange.ledger.events)


@given(exchange=exchanges(), step=cuts)
def test_every_order_is_open_or_closed_as_it_should_be(exchange, step):
    sink = projected(exchange, step)
    stored = {}
    for user in exchange.users:
        for key, states in ((open_key(user), (ACCEPTED, RESTED)), (closed_key(user), (CLOSED,))):
            for name, text in sink.cells[key].items():
                order = unpack(StoredOrder, text)
                assert (order.order_id, order.user_id) == (int(name), user)
                assert order.state in states
                word = (
                    CloseReason(order.reason).name
                    if order.state == CLOSED
                    else {ACCEPTED: "accepted", RESTED: "rested"}[order.state]
                )
                lots = order.filled_quantity // LOT
                stored[order.order_id] = (word, lots, order.filled_quote)
    assert stored == naive_views.orders(exchange.ledger.events)


@given(exchange=exchanges(), step=cuts)
def test_depth_and_top_are_those_of_the_naive_fold(exchange, step):
    sink = projected(exchange, step)
    top = unpack(BookTop, sink.cells[market_key(MARKET)]["book"])
    assert top.book_seq == exchange.book_seq
    for side, key in ((Side.BUY, bids_key(MARKET)), (Side.SELL, asks_key(MARKET))):
        naive = naive_views.depth(exchange.matching.events, MARKET, side)
        stored = {int(price): int(text) for price, text in sink.cells[key].items()}
        assert stored == {price * PRICE: lots * LOT for price, lots in naive.items()}
        best = (max if side is Side.BUY else min)(naive, default=0)
        told = (top.bid_price, top.bid_quantity) if side is Side.BUY else top[4:]
        assert tuple(told) == (best * PRICE, naive.get(best, 0) * LOT)


@given(exchange=exchanges(), step=cuts)
def test_p3_candles_add_up_to_the_trades(exchange, step):
    sink = projected(exchange, step)
    events = exchange.matching.events
    rows = newest_candles(sink)
    for interval in INTERVALS:
        naive = naive_views.candles(events, MARKET, interval)
        stored = {c.open_us: c for (name, _), c in rows.items() if name == interval}
        assert {opens: in_ticks(candle) for opens, candle in stored.items()} == naive
        if naive:
            last = unpack(Candle, sink.cells[candles_key(MARKET)][interval])
            assert last == stored[max(stored)]
    total = sum(trade.lots for _, trade in naive_views.trades(events, MARKET))
    assert sum(c.quantity for (name, _), c in rows.items() if name == "1s") == total * LOT


@given(exchange=exchanges(), step=cuts)
def test_everything_of_a_market_is_that_of_the_naive_fold(exchange, step):
    """Depth, book, ticker, minutes, last trades and candles, as fault runs look at them."""
    sink = projected(exchange, step)
    market = naive_markets.Market(exchange.matching.events, MARKET, exchange.time_us)
    assert list(naive_markets.cells_differ(market.cells(), sink.cells)) == []
    rows = newest_candles(sink)
    for interval in INTERVALS:
        stored = {c.open_us: c for (name, _), c in rows.items() if name == interval}
        assert stored == market.candles(interval)


def test_lot_and_tick_count_from_when_they_changed_and_prices_by_decimals():
    exchange = SmallExchange(users=2)
    exchange.matching.write(exchange.time_us, AssetListed(b"", USDT, "USDT", "Tether", 6))
    exchange.place(1, Side.SELL, 6_000_000, 3)
    exchange.place(2, Side.BUY, 6_000_000, 3)
    rules = replace(RULES, lot=10 * LOT, tick=100 * TICK)
    exchange.matching.write(exchange.time_us, MarketRulesChanged(b"", MARKET, 2, rules, 0))
    exchange.place(1, Side.SELL, 600_000, 3)
    exchange.place(2, Side.BUY, 600_000, 2)
    sink = projected(exchange)
    market = naive_markets.Market(exchange.matching.events, MARKET, exchange.time_us)
    assert list(naive_markets.cells_differ(market.cells(), sink.cells)) == []
    assert [trade[1:4] for trade in market.trades] == [
        (600_000_000 * PRICE, 3 * LOT, 18_000_000 * TICK),
        (600_000_000 * PRICE, 20 * LOT, 120_000_000 * TICK),
    ]


def newest_candles(sink: DictSink) -> Mapping[tuple[str, int], Candle]:
    """What ClickHouse would answer with FINAL."""
    newest: dict[tuple[str, int], tuple[int, Candle]] = {}
    for _partition, cseq, _time, _market, interval, *fields in sink.rows["candles"]:
        candle = Candle(*(int(field) for field in fields))
        key, version = (str(interval), candle.open_us), int(cseq)
        if key not in newest or newest[key][0] <= version:
            newest[key] = (version, candle)
    return {key: candle for key, (_, candle) in newest.items()}


def in_ticks(candle: Candle) -> tuple[int, ...]:
    prices = candle.open_price, candle.high_price, candle.low_price, candle.close_price
    quantities = candle.quantity // LOT, candle.trades, candle.taker_buy_quantity // LOT
    return (*(price // PRICE for price in prices), *quantities)


@given(exchange=exchanges(), step=cuts)
def test_ticker_and_market_risk_are_those_of_the_last_day(exchange, step):
    sink = projected(exchange, step)
    views, now_us = sink.cells[market_key(MARKET)], exchange.time_us
    ticker, risk = unpack(Ticker, views["ticker"]), unpack(MarketRisk, views["risk"])
    events = exchange.matching.events
    day = naive_views.day_trades(events, MARKET, now_us)
    assert ticker.time_us // MINUTE_US == now_us // MINUTE_US
    assert (ticker.trades, ticker.quantity) == (len(day), sum(t.lots for t in day) * LOT)
    assert ticker.quote == sum(t.price_ticks * t.lots for t in day) * TICK
    if day:
        prices = [t.price_ticks * PRICE for t in day]
        assert ticker[2:6] == (prices[0], max(prices), min(prices), prices[-1])
        assert (ticker.first_trade_id, ticker.last_trade_id) == (day[0].trade_id, day[-1].trade_id)
    squares = naive_views.volatility_ppm_squared(events, MARKET, now_us // MINUTE_US)
    # Each change is known to a thousandth of a ppm, rounded down; the answer is whole ppm.
    least = risk.volatility_now_ppm
    assert least**2 <= squares < (least + 1 + Fraction(len(day), 1_000)) ** 2
    for side, told in ((Side.BUY, risk.bid_notional), (Side.SELL, risk.ask_notional)):
        levels = naive_views.depth(events, MARKET, side)
        assert told == sum(price * lots for price, lots in levels.items()) * TICK


@given(exchange=exchanges(), step=cuts)
def test_user_risk_is_that_of_the_naive_fold(exchange, step):
    sink, events, now_us = projected(exchange, step), exchange.ledger.events, exchange.time_us
    held = naive_views.balances(events)
    for user in exchange.users:
        risk = unpack(UserRisk, sink.cells[account_key(user)]["risk"])
        assert risk.exposure == {str(a): sum(held[user, a]) for a in (BTC, USDT)}
        mine = [order for order in exchange.book if order.user_id == user]
        notional = sum(order.price * order.open for order in mine) * TICK
        assert risk.open_notional == ({str(USDT): notional} if notional else {})
        volume = naive_views.day_volume(events, user, now_us)
        assert risk.volume_24h == ({str(USDT): volume} if volume else {})
        counts = risk[4:6] if risk.minute == now_us // MINUTE_US else (0, 0)
        assert counts == naive_views.asked(events, user, now_us // MINUTE_US)


def test_small_changes_add_up_to_volatility():
    """400 changes of 0.833 ppm each."""
    exchange = SmallExchange(users=2)
    for number in range(401):
        price = 6_000_000 + 5 * (number % 2)
        exchange.place(1, Side.SELL, price, 1)
        exchange.place(2, Side.BUY, price, 1)
    sink = projected(exchange, 50)
    assert unpack(MarketRisk, sink.cells[market_key(MARKET)]["risk"]).volatility_now_ppm == 16
    exchange.tick(60)
    sink = projected(exchange, 50)
    assert unpack(MarketRisk, sink.cells[market_key(MARKET)]["risk"]).volatility_1m_ppm == 16


def test_last_trades_wrap_around():
    exchange = SmallExchange()
    for _ in range(1_100):
        exchange.place(1, Side.SELL, 100, 1)
        exchange.place(2, Side.BUY, 100, 1)
    cells = projected(exchange, 50).cells[trades_key(MARKET)]
    ids = sorted(unpack(StoredTrade, text).trade_id for text in cells.values())
    assert ids == list(range(101, 1_101))


@pytest.mark.parametrize(("minutes", "remembered"), [(1_439, 1), (1_440, 0)])
def test_a_day_is_1440_log_minutes(minutes, remembered):
    exchange = SmallExchange()
    exchange.place(1, Side.SELL, 100, 7)
    exchange.place(2, Side.BUY, 100, 7)
    exchange.tick(minutes * 60)
    sink = projected(exchange)
    ticker = unpack(Ticker, sink.cells[market_key(MARKET)]["ticker"])
    assert (ticker.trades, ticker.quantity) == (remembered, 7 * LOT * remembered)
    assert (ticker.last_price, ticker.previous_close) == (100 * PRICE, 100 * PRICE)
    assert len(sink.cells[minutes_key(MARKET)]) == remembered
    volume = unpack(UserRisk, sink.cells[account_key(2)]["risk"]).volume_24h
    assert volume == ({str(USDT): 100 * 7 * TICK} if remembered else {})
    assert len(sink.cells[volume_key(2)]) == remembered


@settings(max_examples=examples(50))
@given(exchange=exchanges(), step=cuts, seed=st.integers(0, 1 << 32))
def test_a_projector_loaded_at_any_cut_goes_on_as_if_nothing_had_happened(exchange, step, seed):
    """Crashes before and after the sink's step, reloads, repeated and overlapping records."""
    smooth, rough, random = projected(exchange, step), DictSink(), Random(seed)
    for topic, values in exchange.outboxes().items():
        records, follower = raw(values), Follower(topic, 0, rough)
        at = follower.load()
        while at < len(records):
            rough.crash_before = random.random() < 0.2
            rough.crash_after = random.random() < 0.2
            start = max(0, at - random.randint(0, 3))
            try:
                moved = offer(rough, follower, records[start : start + step])
                at = follower.position.offset + 1 if moved is None else moved
            except Crash:
                follower = Follower(topic, 0, rough)
                at = follower.load()
    assert rough.positions == smooth.positions
    assert without_flush_times(rough) == without_flush_times(smooth)
    for table in ("trades", "orders", "fills", "ledger_entries"):
        assert rough.rows[table] == smooth.rows[table]
    assert newest_candles(rough) == newest_candles(smooth)
    assert rough.rows["risk_samples"] == smooth.rows["risk_samples"]


def without_flush_times(sink: DictSink) -> dict[str, dict[str, object]]:
    """All cells that are not empty; views say as of when, which depends on how records came."""
    texts = {key: dict(cells) for key, cells in sink.cells.items() if cells}
    plain: dict[str, dict[str, object]] = {}
    for key, cells in texts.items():
        for name, text in cells.items():
            value = json.loads(text)
            if name in ("risk", "ticker"):
                value = value[1:]
            if key.startswith("account:") and name == "risk" and value[3:7] == [0, 0, 0, 0]:
                del value[2]  # the minute of counts that are over
            plain.setdefault(key, {})[name] = value
    return plain


@given(exchange=exchanges(), step=cuts)
def test_of_open_orders_only_what_was_stored_is_removed(exchange, step):
    """An order that comes and goes within one step leaves nothing to store or remove."""
    stored: set[tuple[str, str]] = set()
    projector = LedgerProjector(0)
    placed = [
        PlacedRecord(offset, decode_record(value))
        for offset, value in enumerate(exchange.outboxes()[LEDGER_EVENTS])
    ]
    for start in range(0, len(placed), step):
        cells = projector.apply(placed[start : start + step]).cells
        for cell in [cell for cell in cells if cell[0].startswith("open:")]:
            if cells[cell] is None:
                assert cell in stored, f"{cell} is removed and was never stored"
                stored.remove(cell)
            else:
                stored.add(cell)


@pytest.mark.parametrize("topic", [LEDGER_EVENTS, MATCHING_EVENTS])
def test_nothing_behind_a_gap_is_applied(topic):
    sink, records = DictSink(), raw(busy_exchange(1, 30).outboxes()[topic])
    follower = Follower(topic, 0, sink)
    follower.load()
    assert offer(sink, follower, [*records[:5], *records[6:9]]) == 4
    assert follower.position.cseq == sink.positions[topic, 0].cseq == 5
    assert offer(sink, follower, records[4:9]) is None
    assert follower.position.cseq == 9


@pytest.mark.parametrize("topic", [LEDGER_EVENTS, MATCHING_EVENTS])
def test_a_record_far_beyond_the_next_is_passed_over_once_it_was_met_twice(topic):
    """Nobody but a forger writes it, and views must not stand still for that."""
    sink, values = DictSink(), busy_exchange(1, 30).outboxes()[topic]
    log = raw([*values[:5], forged(values[5], cseq=10**9), *values[5:]])
    follower = Follower(topic, 0, sink)
    at: int | None = follower.load()
    reads = []
    while at is not None:
        reads.append(at)
        at = offer(sink, follower, log[at : reads[-1] + 9])
        if at is None and reads[-1] + 9 < len(log):
            at = reads[-1] + 9
    assert reads[:3] == [0, 4, 5]
    assert follower.position.cseq == len(values)


def test_a_record_that_the_log_lost_is_never_passed_over():
    sink, values = DictSink(), busy_exchange(1, 30).outboxes()[LEDGER_EVENTS]
    log = raw([*values[:5], *values[6:]])
    follower = Follower(LEDGER_EVENTS, 0, sink)
    follower.load()
    assert [offer(sink, follower, log[at:]) for at in (0, 4)] == [4, 5]
    assert offer(sink, follower, log[5:]) is None
    assert follower.position.cseq == sink.positions[LEDGER_EVENTS, 0].cseq == 5
    assert follower.read_to == log[-1].offset


def test_a_gap_that_comes_of_reading_is_closed_by_reading_again():
    sink, records = DictSink(), raw(busy_exchange(1, 30).outboxes()[LEDGER_EVENTS])
    follower = Follower(LEDGER_EVENTS, 0, sink)
    follower.load()
    assert offer(sink, follower, [*records[:5], *records[7:9]]) == 4
    assert offer(sink, follower, records[7:9]) == 4, "nothing behind the position was read"
    assert offer(sink, follower, records[4:]) is None
    assert follower.position.cseq == len(records)


def test_an_offset_that_another_log_gave_is_only_a_hint():
    """Records 1 to 20 were read at offsets 0 to 19; in this log they stand 7 earlier at the end."""
    sink, records = DictSink(), raw(busy_exchange(1, 30).outboxes()[LEDGER_EVENTS])
    follower = Follower(LEDGER_EVENTS, 0, sink)
    follower.load()
    offer(sink, follower, records[:20])
    mirrored = [RawRecord(record.offset - 7, record.value) for record in records]
    assert follower.load() == 20
    assert offer(sink, follower, mirrored[27:]) == 19, "where it stood in the other log"
    assert offer(sink, follower, mirrored[26:]) == 13
    assert offer(sink, follower, mirrored[20:]) is None
    assert follower.position.cseq == len(records)


def test_a_sink_that_stands_elsewhere_is_loaded_again():
    sink, records = DictSink(), raw(busy_exchange(1, 30).outboxes()[LEDGER_EVENTS])
    mine, other = Follower(LEDGER_EVENTS, 0, sink), Follower(LEDGER_EVENTS, 0, sink)
    mine.load()
    other.load()
    assert offer(sink, other, records[:8]) is None
    assert offer(sink, mine, records[:3]) == 8
    assert offer(sink, mine, records[8:]) is None
    assert sink.positions[LEDGER_EVENTS, 0].cseq == len(records)


@pytest.mark.parametrize("amount", [0, -1, 1 << 62, (1 << 63) - 1, 1 << 63, 1 << 64, -(1 << 70)])
def test_cells_keep_every_integer(amount):
    assert unpack(Balance, pack(Balance(amount, 7))) == Balance(amount, 7)
