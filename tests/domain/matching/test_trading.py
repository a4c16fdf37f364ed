from domain.orders.messages import CloseReason
from tests.domain.matching.scenario import cancel, cancel_all, given, reasons
from tests.domain.matching.shard import (
    BUY,
    FOK,
    GTC,
    IOC,
    LIMIT_MAKER,
    MARKET,
    SELL,
    MemoryShard,
    accepted,
)

BOOK = """
    bid     | price | ask
            | 60010 | 3#1
            | 60000 | 5#2 2#3
    4#4 1#5 | 59990 |
    6#6     | 59980 |
"""


def test_an_order_that_meets_nobody_rests():
    given(BOOK).when(accepted(9, BUY, lots=7, at=59_990)).then("""
        bid 59990: 12
        9 rests 7 @ 59990
    """).book("""
        bid         | price | ask
                    | 60010 | 3#1
                    | 60000 | 5#2 2#3
        4#4 1#5 7#9 | 59990 |
        6#6         | 59980 |
    """)


def test_a_taker_trades_the_best_price_and_at_it_the_oldest_order_at_the_makers_price():
    given(BOOK).when(accepted(9, BUY, lots=9, at=60_050)).then("""
        trade 1: 5 @ 60000, maker 2 keeps 0
        2 FILLED with 0
        trade 2: 2 @ 60000, maker 3 keeps 0
        3 FILLED with 0
        trade 3: 2 @ 60010, maker 1 keeps 1
        ask 60000: 0
        ask 60010: 1
        9 FILLED with 0
    """).book("""
        bid     | price | ask
                | 60010 | 1#1
        4#4 1#5 | 59990 |
        6#6     | 59980 |
    """)


def test_a_partly_filled_maker_keeps_its_place():
    market = given(BOOK)
    market.when(accepted(9, SELL, lots=1, at=59_990), accepted(10, BUY, lots=2, at=59_990))
    market.when(accepted(11, SELL, lots=4, at=59_990, time_in_force=IOC)).then("""
        trade 2: 3 @ 59990, maker 4 keeps 0
        4 FILLED with 0
        trade 3: 1 @ 59990, maker 5 keeps 0
        5 FILLED with 0
        bid 59990: 2
        11 FILLED with 0
    """).book("""
        bid   | price | ask
              | 60010 | 3#1
              | 60000 | 5#2 2#3
        2#10  | 59990 |
        6#6   | 59980 |
    """)


def test_what_a_limit_order_leaves_rests_at_its_own_price():
    given(BOOK).when(accepted(9, BUY, lots=8, at=60_000)).then("""
        trade 1: 5 @ 60000, maker 2 keeps 0
        2 FILLED with 0
        trade 2: 2 @ 60000, maker 3 keeps 0
        3 FILLED with 0
        ask 60000: 0
        bid 60000: 1
        9 rests 1 @ 60000
    """).book("""
        bid     | price | ask
                | 60010 | 3#1
        1#9     | 60000 |
        4#4 1#5 | 59990 |
        6#6     | 59980 |
    """)


def test_what_an_ioc_order_leaves_ends():
    given(BOOK).when(accepted(9, SELL, lots=7, at=59_990, time_in_force=IOC)).then("""
        trade 1: 4 @ 59990, maker 4 keeps 0
        4 FILLED with 0
        trade 2: 1 @ 59990, maker 5 keeps 0
        5 FILLED with 0
        bid 59990: 0
        9 NO_LIQUIDITY with 2
    """).book("""
        bid  | price | ask
             | 60010 | 3#1
             | 60000 | 5#2 2#3
        6#6  | 59980 |
    """)


def test_a_fok_order_trades_all_or_nothing():
    market = given(BOOK).when(accepted(9, BUY, lots=8, at=60_000, time_in_force=FOK))
    market.then("9 FOK_NOT_FILLABLE with 8").book(BOOK)
    market.when(accepted(10, BUY, lots=7, at=60_000, time_in_force=FOK))
    assert reasons(market.events) == [CloseReason.FILLED] * 3


def test_a_post_only_order_rests_or_ends_and_never_takes():
    market = given(BOOK).when(accepted(9, BUY, lots=1, at=60_000, order_type=LIMIT_MAKER))
    market.then("9 WOULD_TAKE with 1").book(BOOK)
    market.when(accepted(10, BUY, lots=1, at=59_999, order_type=LIMIT_MAKER)).then("""
        bid 59999: 1
        10 rests 1 @ 59999
    """)


def test_a_market_order_stops_at_its_collar():
    given(BOOK).when(
        accepted(9, BUY, lots=8, at=60_005, order_type=MARKET, time_in_force=GTC)
    ).then("""
        trade 1: 5 @ 60000, maker 2 keeps 0
        2 FILLED with 0
        trade 2: 2 @ 60000, maker 3 keeps 0
        3 FILLED with 0
        ask 60000: 0
        9 NO_LIQUIDITY with 1
    """)


def test_a_buy_by_quote_spends_what_whole_lots_at_makers_prices_allow():
    # A lot costs 3 quote units per tick: 7 lots at 60000 and 1 at 60010, and 180029 do not
    # buy the next.
    quote = 7 * 60_000 * 3 + 1 * 60_010 * 3 + 60_010 * 3 - 1
    order = accepted(9, BUY, quote_amount=quote, at=61_000, order_type=MARKET, time_in_force=IOC)
    given(BOOK).when(order).then("""
        trade 1: 5 @ 60000, maker 2 keeps 0
        2 FILLED with 0
        trade 2: 2 @ 60000, maker 3 keeps 0
        3 FILLED with 0
        trade 3: 1 @ 60010, maker 1 keeps 2
        ask 60000: 0
        ask 60010: 2
        9 FILLED with 0
    """)


def test_a_buy_by_quote_that_empties_the_book_ends_for_want_of_liquidity():
    quote = (7 * 60_000 + 3 * 60_010) * 3
    more = accepted(9, BUY, quote_amount=quote + 1, at=61_000, order_type=MARKET)
    exact = accepted(9, BUY, quote_amount=quote, at=61_000, order_type=MARKET)
    assert reasons(given(BOOK).when(more).events)[-1] is CloseReason.NO_LIQUIDITY
    assert reasons(given(BOOK).when(exact).events)[-1] is CloseReason.FILLED


def test_an_order_by_quote_too_small_for_a_lot_ends_unfilled():
    """Its owner must not be told that it is filled: nothing was bought or sold."""
    buy = accepted(9, BUY, quote_amount=60_000 * 3 - 1, at=61_000, order_type=MARKET)
    given(BOOK).when(buy).then("9 NO_LIQUIDITY with 0").book(BOOK)
    sell = accepted(9, SELL, lots=1, quote_amount=59_990 * 3 - 1, at=59_000, order_type=MARKET)
    given(BOOK).when(sell).then("9 NO_LIQUIDITY with 1").book(BOOK)


def test_a_sell_by_quote_stops_when_its_amount_or_its_lots_are_used_up():
    quote = 2 * 59_990 * 3 + 100
    by_amount = accepted(9, SELL, lots=4, quote_amount=quote, at=59_000, order_type=MARKET)
    given(BOOK).when(by_amount).then("""
        trade 1: 2 @ 59990, maker 4 keeps 2
        bid 59990: 3
        9 FILLED with 2
    """)
    by_lots = accepted(9, SELL, lots=1, quote_amount=quote, at=59_000, order_type=MARKET)
    given(BOOK).when(by_lots).then("""
        trade 1: 1 @ 59990, maker 4 keeps 3
        bid 59990: 4
        9 FILLED with 0
    """)


def test_a_sell_by_quote_passes_nobody_over_for_a_lower_price_that_would_fit():
    # After one lot at 100, 299 are left: too little for another at 100 (300), enough for one at 99.
    book = """
        bid | price | ask
        3#1 | 100   |
        3#2 | 99    |
    """
    order = accepted(9, SELL, lots=5, quote_amount=599, at=90, order_type=MARKET)
    given(book).when(order).then("""
        trade 1: 1 @ 100, maker 1 keeps 2
        bid 100: 2
        9 FILLED with 4
    """)


def test_a_sell_by_quote_whose_lots_just_empty_the_book_is_filled():
    order = accepted(9, SELL, lots=11, quote_amount=10**9, at=59_000, order_type=MARKET)
    market = given(BOOK).when(order)
    assert reasons(market.events) == [CloseReason.FILLED] * 4
    market.book("""
        bid | price | ask
            | 60010 | 3#1
            | 60000 | 5#2 2#3
    """)


def test_a_sell_by_quote_within_a_collar_that_nobody_meets_ends_for_want_of_liquidity():
    order = accepted(9, SELL, lots=9, quote_amount=10**9, at=59_985, order_type=MARKET)
    given(BOOK).when(order).then("""
        trade 1: 4 @ 59990, maker 4 keeps 0
        4 FILLED with 0
        trade 2: 1 @ 59990, maker 5 keeps 0
        5 FILLED with 0
        bid 59990: 0
        9 NO_LIQUIDITY with 4
    """)


def test_a_cancel_takes_the_order_off_and_a_second_one_is_refused():
    market = (
        given(BOOK)
        .when(cancel(2))
        .then("""
        ask 60000: 2
        2 CANCELED with 5
    """)
    )
    market.when(cancel(2)).then("cancel of 2 refused").book("""
        bid     | price | ask
                | 60010 | 3#1
                | 60000 | 2#3
        4#4 1#5 | 59990 |
        6#6     | 59980 |
    """)


def test_a_cancel_of_another_users_order_is_refused():
    given(BOOK).when(cancel(2, user_id=8)).then("cancel of 2 refused").book(BOOK)


def test_cancel_all_ends_the_named_orders_then_tells_the_levels_then_answers():
    given(BOOK).when(cancel_all(1, 5, 77)).then("""
        1 CANCELED with 3
        5 CANCELED with 1
        ask 60010: 0
        bid 59990: 4
        canceled [1, 5]
    """).book("""
        bid  | price | ask
             | 60000 | 5#2 2#3
        4#4  | 59990 |
        6#6  | 59980 |
    """)


def test_cancel_all_of_nothing_is_answered_too():
    given(BOOK).when(cancel_all(77)).then("canceled []").book(BOOK)


def test_orders_of_an_unknown_market_or_an_older_revision_end_unfilled():
    market = given(BOOK).when(accepted(9, BUY, lots=1, at=60_000, market_id=5))
    market.then("9 UNKNOWN_MARKET with 1")
    market.when(accepted(9, BUY, lots=1, at=60_000, revision=2))
    market.then("9 STALE_RULES with 1").book(BOOK)


def test_cancels_in_an_unknown_market_are_answered():
    shard = MemoryShard()
    assert [type(e).__name__ for e in shard.tell("L0", cancel(4))] == ["CancelRefused"]
    assert [type(e).__name__ for e in shard.tell("L0", cancel_all(4))] == ["CancelAllCompleted"]
