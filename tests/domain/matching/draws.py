"""Random command lists for a shard with two markets, as hypothesis strategies.

Prices are few and lots small, so that orders meet, levels fill up, and plans end in every way.
"""

from dataclasses import dataclass, replace

from hypothesis import strategies as st

from domain.decider import Message
from domain.markets import ChangeMarketRules, HaltMarket, ResumeMarket
from domain.matching.state import Market
from domain.orders.messages import CancelAllRequested, CancelRequested, OrderAccepted, Side
from domain.protocol import Tick
from tests.domain.matching.shard import (
    DEADLINE_US,
    FOK,
    GTC,
    IOC,
    LIMIT,
    LIMIT_MAKER,
    MARKET,
    SELL,
    MemoryShard,
    accepted,
    list_market,
    owner,
)

SYMBOLS = ("BTCUSDT", "ETHUSDT")
KINDS = [(LIMIT, GTC)] * 5 + [(LIMIT, IOC), (LIMIT, FOK), (LIMIT_MAKER, GTC)] + [(MARKET, IOC)] * 3


@dataclass(frozen=True)
class Draw:
    """One step's random numbers, turned into a message when the shard's past is known."""

    kind: int
    delay_us: int
    market_id: int
    order: int
    side: Side
    price_ticks: int
    lots: int
    quote_amount: int
    pick: int


def draws() -> st.SearchStrategy[list[Draw]]:
    """Lists of steps: short ones, to which failures shrink, and those that fill the books."""
    step = st.builds(
        Draw,
        kind=st.integers(0, 19),
        delay_us=st.sampled_from([0, 0, 0, 1, 400_000, 1_000_000]),
        market_id=st.sampled_from([1] * 7 + [2] * 2 + [3]),
        order=st.integers(0, len(KINDS) - 1),
        side=st.sampled_from(Side),
        price_ticks=st.integers(96, 104),
        lots=st.integers(1, 6),
        quote_amount=st.sampled_from([0, 1, 297, 300, 600, 903]) | st.integers(250, 2_000),
        pick=st.integers(0, 60),
    )
    return st.lists(step, max_size=12) | st.lists(step, min_size=25, max_size=60)


def opening() -> list[tuple[str, Message]]:
    """The two markets' listing."""
    return [("operator", list_market(symbol)) for symbol in SYMBOLS]


def message_of(draw: Draw, order_id: int, shard: MemoryShard) -> tuple[str, Message]:
    """The step's source and message; market commands are drawn so that they are valid."""
    market = shard.state.markets.get(draw.market_id)
    revision = market.revision if market is not None else 1
    if draw.kind == 14:
        return "L0", CancelAllRequested(
            order_id.to_bytes(16, "big"),
            owner(draw.pick),
            draw.market_id,
            list(range(draw.pick % 4, order_id, 4)),
        )
    if draw.kind in (15, 16, 17):
        target = draw.pick % order_id + 1
        user_id = owner(draw.pick) if draw.pick > 56 else owner(target)
        return "L0", CancelRequested(order_id.to_bytes(16, "big"), target, user_id, draw.market_id)
    if draw.kind == 18 or (draw.kind == 19 and market is None):
        return "clock", Tick()
    if draw.kind == 19 and market is not None:
        return "operator", operate(draw, order_id.to_bytes(16, "big"), market)
    stale = draw.pick > 58
    return "L0", place(draw, order_id, revision + 1 if stale else revision)


def operate(draw: Draw, command_id: bytes, market: Market) -> Message:
    """Halt, resume, or new rules: with another tick where the market is halted and empty."""
    rules = market.rules
    if changes_rules(draw):
        if market.halted and not market.book.orders:
            rules = replace(rules, tick=1 + draw.lots)
        return ChangeMarketRules(command_id, DEADLINE_US, draw.market_id, rules, draw.price_ticks)
    operation = ResumeMarket if market.halted else HaltMarket
    return operation(command_id, DEADLINE_US, draw.market_id)


def changes_rules(draw: Draw) -> bool:
    """Whether the step, if its market exists, is a `ChangeMarketRules`."""
    return draw.kind == 19 and draw.pick % 3 == 0


def place(draw: Draw, order_id: int, revision: int) -> OrderAccepted:
    """An order of every type and time in force, a market order by quantity or by quote."""
    order_type, time_in_force = KINDS[draw.order]
    quote_amount = draw.quote_amount if order_type is MARKET else 0
    return accepted(
        order_id,
        draw.side,
        lots=draw.lots if not quote_amount or draw.side is SELL else 0,
        at=draw.price_ticks,
        order_type=order_type,
        time_in_force=time_in_force,
        quote_amount=quote_amount,
        market_id=draw.market_id,
        revision=revision,
    )
