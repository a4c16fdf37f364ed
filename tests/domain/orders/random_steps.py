"""What may happen to ledger shards, at random, and how it is done to a toy exchange."""

from dataclasses import replace
from typing import Any

from hypothesis import strategies as st

from domain.accounts.messages import (
    FeesChanged,
    FeeTierChanged,
    LimitsChanged,
    UserDisabled,
    UserEnabled,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.fees import FeeTier
from domain.ledger.messages import CreditDeposit, DebitWithdrawal
from domain.markets import (
    MarketHalted,
    MarketResumed,
    MarketRulesChanged,
    ReferencePriceChanged,
)
from domain.orders.messages import (
    CancelAllOrders,
    CancelOrder,
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from tests.domain.orders.tables import BTCUSDT, ETH_RULES, ETHUSDT, FEES, LIMITS
from tests.domain.orders.toy_exchange import ASSETS, SMALL_LIMITS, USERS, ToyExchange

Step = tuple[Any, ...]
users, assets = st.sampled_from(USERS), st.sampled_from(ASSETS)
markets = st.sampled_from([BTCUSDT, BTCUSDT, ETHUSDT])
client_ids = st.sampled_from(["", "", "", "a", "b", "c-1", "bad id"])
sides = st.sampled_from(Side)
prices = st.integers(96, 104)
lots = st.integers(7, 30)


def order_of(user: int, market: int, client_order_id: str, side: Side, **rest: Any) -> PlaceOrder:
    order = PlaceOrder(
        command_id=b"place",
        deadline_us=0,
        user_id=user,
        market_id=market,
        market_revision=0,
        client_order_id=client_order_id,
        side=side,
        order_type=OrderType.LIMIT,
        time_in_force=TimeInForce.GTC,
        price_ticks=0,
        lots=0,
        quote_amount=0,
        stop_price_ticks=0,
        iceberg_lots=0,
        self_trade_prevention=SelfTradePrevention.NONE,
    )
    return replace(order, **rest)


who = {"user": users, "market": markets, "client_order_id": client_ids, "side": sides}
MARKET = {"order_type": st.just(OrderType.MARKET), "time_in_force": st.just(TimeInForce.IOC)}
limit_orders = st.builds(
    order_of,
    **who,
    market_revision=st.sampled_from([0, 0, 1, 2]),
    price_ticks=prices,
    lots=lots,
    time_in_force=st.sampled_from(TimeInForce),
)
post_only = st.builds(
    order_of, **who, price_ticks=prices, lots=lots, order_type=st.just(OrderType.LIMIT_MAKER)
)
market_orders = st.builds(order_of, **who, **MARKET, lots=lots)
by_quote = st.builds(order_of, **who, **MARKET, quote_amount=st.integers(500, 9_000))
odd_orders = st.builds(
    order_of,
    user=st.sampled_from([*USERS, 8, 9]),
    market=st.sampled_from([BTCUSDT, ETHUSDT, 7]),
    client_order_id=st.text(max_size=3) | st.sampled_from(["x" * 36, "x" * 37]),
    side=sides,
    order_type=st.sampled_from(OrderType),
    time_in_force=st.sampled_from(TimeInForce),
    price_ticks=st.sampled_from([-1, 0, 9, 10, 19, 20, 79, 80, 100, 150, 151, 500, 501, 10_001]),
    lots=st.sampled_from([-1, 0, 0, 1, 2, 3, 10, 500, 501, 1_000, 1_001, 1 << 60]),
    quote_amount=st.sampled_from([-1, 0, 0, 0, 599, 600, 1_000_001, 1 << 62]),
    stop_price_ticks=st.sampled_from([0, 0, 0, 1]),
    iceberg_lots=st.sampled_from([0, 0, 0, 1]),
    self_trade_prevention=st.sampled_from(SelfTradePrevention),
)
orders = st.one_of(limit_orders, limit_orders, post_only, market_orders, by_quote, odd_orders)

amounts = st.sampled_from([0, 1, 50, 4_000, 100_000, 1 << 61, 1 << 62, (1 << 62) + 1])
references = st.text("ab", max_size=3)
fundings = st.builds(
    lambda kind, *fields: kind(b"fund", 0, *fields),
    st.sampled_from([CreditDeposit, DebitWithdrawal]),
    users,
    assets,
    amounts,
    references,
)
cancels = st.builds(
    lambda user, market, at, client_id: CancelOrder(b"cancel", 0, user, market, at, client_id),
    users,
    markets,
    st.integers(0, 30),
    st.sampled_from(["", "a", "b"]),
)
cancel_alls = st.builds(
    lambda user, market: CancelAllOrders(b"all", 0, user, market), users, markets
)
about_users = st.one_of(
    st.builds(lambda user: UserDisabled(b"", "", 1, 0, user), users),
    st.builds(lambda user: UserEnabled(b"", "", 1, 0, user), users),
    st.builds(
        lambda user, tier: FeeTierChanged(b"", "", 1, 0, user, tier), users, st.integers(0, 3)
    ),
)
ppm = st.integers(0, 1_000_000)
for_all = st.one_of(
    st.builds(ReferencePriceChanged, markets, st.integers(95, 105)),
    st.builds(lambda maker, taker: FeesChanged(b"", [FeeTier(0, maker, taker)]), ppm, ppm),
    st.sampled_from(
        [
            FeesChanged(b"", FEES),
            LimitsChanged(b"", LIMITS),
            LimitsChanged(b"", SMALL_LIMITS),
            WithdrawalsHalted(b"", 1, "why"),
            WithdrawalsResumed(b"", 1, "why"),
            MarketRulesChanged(b"", ETHUSDT, 1, replace(ETH_RULES, max_open_orders=1), 101),
        ]
    ),
)
halts = st.builds(MarketHalted, st.just(b""), markets)
resumptions = st.builds(MarketResumed, st.just(b""), markets)

rarely = st.one_of(
    st.tuples(st.just("say"), about_users),
    st.tuples(st.just("tell"), for_all),
    st.tuples(st.just("halt"), st.one_of(halts, resumptions)),
    st.tuples(st.just("reload"), st.integers(0, 1)),
    st.tuples(st.just("wait"), st.sampled_from([1, 1_000_000, 10_000_000, 86_400_000_000])),
)
often = st.one_of(
    st.tuples(st.just("say"), limit_orders),
    st.tuples(st.just("say"), limit_orders),
    st.tuples(st.just("say"), orders),
    st.tuples(st.just("say"), cancels | cancel_alls | fundings),
    st.tuples(st.just("match"), st.integers(1, 9)),
    st.tuples(st.just("settle"), st.integers(0, 1), st.integers(1, 9)),
)
steps = st.integers(0, 9).flatmap(lambda ten: rarely if ten == 9 else often)


def funded(partitions: int, amount: int = 100_000) -> ToyExchange:
    exchange = ToyExchange(partitions)
    for user in USERS:
        for asset in ASSETS:
            deposit = CreditDeposit(b"", 0, user, asset, amount, f"seed-{user}-{asset}")
            exchange.say(user, deposit)
    return exchange


def play(exchange: ToyExchange, step: Step) -> None:
    match step:
        case "say", message:
            exchange.say(message.user_id, message)
        case "tell", message:
            exchange.tell_all(message)
        case "halt", message:
            halted = exchange.matching.halted
            change = halted.add if isinstance(message, MarketHalted) else halted.discard
            change(message.market_id)
            exchange.tell_all(message)
        case "match", most:
            exchange.match(most)
        case "settle", partition, most:
            exchange.settle(partition, most)
        case "reload", partition:
            exchange.shard(partition).reload()
        case "wait", microseconds:
            exchange.time_us += microseconds
        case _:
            raise AssertionError(step)
