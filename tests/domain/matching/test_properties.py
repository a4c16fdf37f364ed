from collections import Counter
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.decider import Message
from domain.markets import ListMarket
from domain.matching.book import Book, RestingOrder
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
    Side,
)
from tests.domain.matching.draws import Draw, changes_rules, draws, message_of, opening
from tests.domain.matching.shard import BUY, GTC, LIMIT, USERS, MemoryShard, accepted
from tests.examples import examples
from tests.oracles.naive_book import NaiveMatching

Step = tuple[str, Message, int]


def new_shard() -> MemoryShard:
    shard = MemoryShard()
    shard.open_market(reference_price_ticks=100)
    return shard


def steps_of(drawn: list[Draw]) -> tuple[list[Step], list[list[Message]]]:
    """The messages that the draws come to, and what the shard made of each."""
    shard = new_shard()
    steps: list[Step] = [(source, message, 0) for source, message in opening()[1:]]
    events = [shard.tell(*step) for step in steps]
    time_us = 0
    for order_id, draw in enumerate(drawn, 1):
        time_us += draw.delay_us
        step = (*message_of(draw, order_id, shard), time_us)
        steps.append(step)
        events.append(shard.tell(*step))
    return steps, events


def replay(steps: list[Step], shard: MemoryShard) -> list[list[Message]]:
    return [shard.tell(*step) for step in steps]


def first_listing() -> ListMarket:
    (_, message), _ = opening()
    assert isinstance(message, ListMarket)
    return message


@settings(max_examples=examples(400), deadline=None)
@given(draws())
def test_every_event_is_the_naive_books(drawn):
    steps, events = steps_of(drawn)
    naive = NaiveMatching(partition=0, partitions=1)
    naive.apply(0, first_listing())
    for (_, message, time_us), found in zip(steps, events, strict=True):
        assert found == naive.apply(time_us, message)


@settings(max_examples=examples(100), deadline=None)
@given(draws(), st.integers(0, 60))
def test_a_snapshot_at_any_cut_continues_alike_and_dumps_alike(drawn, cut):
    steps, events = steps_of(drawn)
    shard = new_shard()
    replay(steps[:cut], shard)
    before = shard.decider.dump(shard.state)
    shard.reload()
    assert shard.decider.dump(shard.state) == before
    assert replay(steps[cut:], shard) == events[cut:]


@settings(max_examples=examples(100), deadline=None)
@given(draws())
def test_users_names_do_not_matter(drawn):
    steps, events = steps_of(drawn)
    renamed = [(source, with_user(message, USERS), time) for source, message, time in steps]
    again = replay(renamed, new_shard())
    assert again == [[with_user(event, USERS) for event in some] for some in events]


def with_user(message: Message, shift: int) -> Message:
    """The message with its user renamed, if it names one."""
    if isinstance(
        message,
        OrderAccepted
        | CancelRequested
        | CancelAllRequested
        | OrderRested
        | CancelRefused
        | CancelAllCompleted,
    ):
        return replace(message, user_id=message.user_id + shift)
    return message


@settings(max_examples=examples(100), deadline=None)
@given(draws())
def test_an_order_that_nobody_can_meet_changes_no_trade(drawn):
    # It does keep the market from being empty, so lot and tick could no longer change.
    steps, events = steps_of([draw for draw in drawn if not changes_rules(draw)])
    shard = new_shard()
    shard.tell("L0", accepted(1_000, BUY, lots=9, at=1))
    again = replay(steps, shard)
    assert trades(again) == trades(events)
    assert reports(again) == reports(events)


def trades(events: list[list[Message]]) -> list[Message]:
    return [event for some in events for event in some if isinstance(event, TradeExecuted)]


def reports(events: list[list[Message]]) -> list[Message]:
    kinds = (OrderRested, OrderTerminated, CancelRefused, CancelAllCompleted)
    return [event for some in events for event in some if isinstance(event, kinds)]


@settings(max_examples=examples(100), deadline=None)
@given(draws(), st.sampled_from(Side), st.integers(96, 104), st.integers(1, 9), st.integers(1, 9))
def test_an_order_and_its_two_parts_trade_the_same(drawn, side, price_ticks, first, second):
    steps, _ = steps_of(drawn)
    whole, parts = new_shard(), new_shard()
    replay(steps, whole)
    replay(steps, parts)
    events = whole.tell("L0", last_order(1_000, side, price_ticks, first + second, whole))
    in_two = parts.tell("L0", last_order(1_000, side, price_ticks, first, parts))
    in_two += parts.tell("L0", last_order(1_001, side, price_ticks, second, parts))
    assert lots_by_maker([events]) == lots_by_maker([in_two])
    assert levels(whole) == levels(parts)


def last_order(
    order_id: int, side: Side, price_ticks: int, lots: int, shard: MemoryShard
) -> OrderAccepted:
    return accepted(
        order_id,
        side,
        lots=lots,
        at=price_ticks,
        order_type=LIMIT,
        time_in_force=GTC,
        revision=shard.state.markets[1].revision,
    )


def lots_by_maker(events: list[list[Message]]) -> Counter[tuple[int, int]]:
    lots: Counter[tuple[int, int]] = Counter()
    for event in trades(events):
        assert isinstance(event, TradeExecuted)
        lots[event.maker_order_id, event.price_ticks] += event.lots
    return lots


def levels(shard: MemoryShard) -> list[tuple[int, int]]:
    book = shard.state.markets[1].book
    return [
        (level.price_ticks, level.lots)
        for side in (book.bids, book.asks)
        for level in side.best_first()
    ]


@settings(max_examples=examples(100), deadline=None)
@given(draws())
def test_each_order_has_one_first_report_and_each_cancel_one_answer(drawn):
    steps, events = steps_of(drawn)
    for (_, message, _), found in zip(steps, events, strict=True):
        answers = [event for event in reports([found]) if answers_to(event, message)]
        if isinstance(message, OrderAccepted | CancelRequested):
            assert len(answers) == 1
            assert found.index(answers[0]) >= len([e for e in found if is_book_event(e)])
        elif isinstance(message, CancelAllRequested):
            (answer,) = (event for event in answers if isinstance(event, CancelAllCompleted))
            ended = [e.order_id for e in answers if isinstance(e, OrderTerminated)]
            assert answer.order_ids == ended


def answers_to(event: Message, message: Message) -> bool:
    """Whether the report carries the message's command id."""
    command_id = getattr(message, "command_id", None)
    return command_id is not None and getattr(event, "command_id", None) == command_id


def is_book_event(event: Message) -> bool:
    filled = isinstance(event, OrderTerminated) and event.command_id == b""
    return filled or isinstance(event, TradeExecuted | BookChanged)


@settings(max_examples=examples(100), deadline=None)
@given(draws())
def test_the_book_is_the_sum_of_its_changes(drawn):
    shard = new_shard()
    steps, events = steps_of(drawn)
    replay(steps, shard)
    depth: dict[tuple[int, Side, int], int] = {}
    sequences: dict[int, int] = {}
    for event in (event for some in events for event in some):
        if isinstance(event, BookChanged):
            assert event.book_seq == sequences.get(event.market_id, 0) + 1
            sequences[event.market_id] = event.book_seq
            depth[event.market_id, event.side, event.price_ticks] = event.lots
    for market in shard.state.markets.values():
        for side in Side:
            wanted = {
                price: lots
                for (market_id, of_side, price), lots in depth.items()
                if market_id == market.market_id and of_side is side and lots
            }
            levels = market.book.side(side).best_first()
            assert {level.price_ticks: level.lots for level in levels} == wanted


@settings(max_examples=examples(200), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 30)), max_size=60), st.data())
def test_the_best_level_is_found_whatever_comes_and_goes(placed, data):
    book = Book()
    for order_id, (side, price_ticks) in enumerate(placed):
        book.add(RestingOrder(order_id, 1, side, price_ticks, 1))
    for order_id in data.draw(st.permutations(range(len(placed)))):
        book.remove(order_id)
        bids = [o.price_ticks for o in book.orders.values() if o.side is BUY]
        asks = [o.price_ticks for o in book.orders.values() if o.side is not BUY]
        best_bid, best_ask = book.bids.best(), book.asks.best()
        assert (best_bid.price_ticks if best_bid else None) == max(bids, default=None)
        assert (best_ask.price_ticks if best_ask else None) == min(asks, default=None)
    assert (book.bids.levels, book.asks.levels, book.orders) == ({}, {}, {})


@pytest.mark.slow
def test_the_draws_reach_every_way_an_order_can_end():
    """The properties above say little if the random orders do not meet."""
    seen: Counter[str] = Counter()

    @settings(max_examples=200, deadline=None, database=None, derandomize=True)
    @given(draws())
    def look(drawn):
        for event in (event for some in steps_of(drawn)[1] for event in some):
            reason = event.reason if isinstance(event, OrderTerminated) else None
            seen[reason.name if reason is not None else type(event).__name__] += 1

    look()
    wanted = {reason.name for reason in CloseReason} - {CloseReason.FAULTED.name}
    kinds = {"TradeExecuted", "ReferencePriceChanged", "MarketRulesChanged", "MarketResumed"}
    assert wanted | kinds <= set(seen), seen
