"""A ledger that is told of a market before its assets: nothing orders the two channels."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.accounts.messages import AssetListed
from domain.decider import Message
from domain.ledger.messages import AccountOpened, DepositCredited
from domain.markets import MarketListed, MarketRulesChanged, ReferencePriceChanged
from domain.orders.messages import OrderAccepted, OrderType, Side, TimeInForce
from domain.reference import Asset, Market
from projections.follower import Follower
from projections.layout import LEDGER_EVENTS, StoredOrder, UserRisk, account_key, open_key, unpack
from projections.query import account_responses as responses
from projections.query.rows import Fill
from tests.projections.dict_sink import DictSink
from tests.projections.scenarios import assets_told, exchanges, offer, raw
from tests.projections.small_exchange import (
    BTC,
    MARKET,
    RULES,
    START_US,
    TICK,
    USDT,
    Outbox,
    SmallExchange,
)

DECIMALS = {BTC: 5, USDT: 9}
ASSETS = {asset: Asset(asset, f"A{asset}", "", places) for asset, places in DECIMALS.items()}
LISTED = MarketListed(b"", MARKET, "BTCUSDT", 1, RULES, 6_000_000)
KNOWN_MARKET = Market(MARKET, "BTCUSDT", 1, RULES, False, ASSETS[BTC], ASSETS[USDT])
"""A price of n ticks is n × 10 × 10^(5+8) / (1,000 × 10^9) = n × 100, in 10^-8."""
USER = 1


def folded(outbox: Outbox, step: int = 3) -> DictSink:
    """Every step by a projector that is loaded anew, so that nothing is in its memory alone."""
    sink, records = DictSink(), raw(outbox.values)
    for start in range(0, len(records), step):
        follower = Follower(LEDGER_EVENTS, 0, sink)
        follower.load()
        assert offer(sink, follower, records[start : start + step]) is None
    return sink


def shown(sink: DictSink) -> list[dict[str, Any]]:
    """Each state of each order, and each fill, as the query API answers them."""
    return [*map(shown_order, sink.rows["orders"]), *map(shown_fill, sink.rows["fills"])]


def priced(outbox: Outbox) -> list[dict[str, Any]]:
    return shown(folded(outbox))


def shown_order(row: tuple[Any, ...]) -> dict[str, Any]:
    _, cseq, idx, time_us, *facts = row
    return responses.order(StoredOrder._make([*facts, time_us, cseq, idx]), KNOWN_MARKET, int)


def shown_fill(row: tuple[Any, ...]) -> dict[str, Any]:
    _, _, _, time_us, _, market, trade, order_id, _, *rest = row
    fill = Fill._make([trade, order_id, market, *rest, time_us])
    return responses.own_trade(fill, KNOWN_MARKET, ASSETS[fill.fee_asset], int)


def listing(asset: int) -> AssetListed:
    return AssetListed(b"", asset, f"A{asset}", "", DECIMALS[asset])


def order(order_id: int, side: Side, lots: int = 7) -> OrderAccepted:
    """A limit of 5,999,999 ticks."""
    paid, held = (USDT, 5_999_999 * lots * TICK) if side is Side.BUY else (BTC, lots * RULES.lot)
    return OrderAccepted(
        b"", order_id, USER, MARKET, 1, f"c{order_id}", side, OrderType.LIMIT, TimeInForce.GTC,
        5_999_999, lots, 0, paid, held, order_id, order_id,
    )  # fmt: skip


def written(messages: Sequence[Message | int]) -> Outbox:
    """One record each; a number lets that many log minutes pass."""
    outbox, time_us = Outbox("L0"), START_US
    for message in messages:
        if isinstance(message, int):
            time_us += message * 60_000_000
            outbox.write(time_us)
        else:
            outbox.write(time_us, message)
    return outbox


OPENING = (AccountOpened(b"", USER, 0), DepositCredited(b"", USER, USDT, 10**15, "d"))


@pytest.mark.parametrize("between", [order(1, Side.BUY), 1], ids=["an order", "a log minute"])
def test_a_market_may_come_before_its_base(between):
    """The two ways in which a ledger's projection had stopped for good."""
    sink = folded(written([listing(USDT), *OPENING, LISTED, between, listing(BTC), 1, 1]))
    assert sink.positions[LEDGER_EVENTS, 0].cseq == 8


@pytest.mark.parametrize("assets", [(BTC, USDT), (USDT, BTC)])
@pytest.mark.parametrize("side", Side)
def test_what_an_order_shows_does_not_depend_on_when_assets_came(side, assets):
    prompt = priced(written([*map(listing, assets), *OPENING, LISTED, order(1, side)]))
    assert prompt[0]["price"] == "5.99999900"
    late = written([LISTED, *OPENING, order(1, side), *map(listing, assets)])
    between = written([LISTED, listing(assets[0]), *OPENING, order(1, side), listing(assets[1])])
    assert priced(late) == priced(between) == prompt


def test_a_fill_and_its_order_s_end_need_no_decimals_either():
    exchange = SmallExchange(users=2)
    exchange.place(1, Side.SELL, 6_000_000, 5)
    exchange.place(2, Side.BUY, 6_000_001, 9)
    exchange.cancel(2)
    rows = priced(assets_told(exchange, [(listing(BTC), 99), (listing(USDT), 99)]))
    assert [(row["price"], row.get("status", "fill")) for row in rows] == [
        ("6.00000000", "NEW"),
        ("6.00000000", "NEW"),
        ("6.00000100", "NEW"),
        ("6.00000000", "PARTIALLY_FILLED"),
        ("6.00000100", "PARTIALLY_FILLED"),
        ("6.00000000", "FILLED"),
        ("6.00000100", "PARTIALLY_FILLED"),
        ("6.00000100", "CANCELED"),
        ("6.00000000", "fill"),
        ("6.00000000", "fill"),
    ]


def test_an_order_keeps_its_price_when_the_tick_changes_before_the_asset_comes():
    changed = MarketRulesChanged(b"", MARKET, 2, replace(RULES, tick=10 * TICK), 600_000)
    start = [listing(USDT), *OPENING, LISTED, order(1, Side.BUY), changed, order(2, Side.BUY)]
    shown = priced(written([*start, listing(BTC)]))
    assert [row["price"] for row in shown] == ["5.99999900", "59.99999000"]
    sink = folded(written([*start, listing(BTC), 1]))
    notional = 5_999_999 * 7 * (TICK + 10 * TICK)
    risk = unpack(UserRisk, sink.cells[account_key(USER)]["risk"])
    assert risk.open_notional == {str(USDT): notional}
    assert len(sink.cells[open_key(USER)]) == 2


def test_a_sample_has_the_prices_that_are_known():
    told = ReferencePriceChanged(MARKET, 6_000_007)
    again = DepositCredited(b"", USER, USDT, 1, "again")
    sink = folded(written([*OPENING, LISTED, listing(USDT), told, 1, listing(BTC), again, 1]))
    prices = [json.loads(str(row[-1])) for row in sink.rows["risk_samples"]]
    assert prices == [{}, {str(MARKET): [600_000_700, 5]}]


@given(exchange=exchanges(), places=st.tuples(*[st.integers(0, 120)] * 2), step=st.integers(1, 20))
def test_any_place_of_the_assets_leads_to_the_same_views(exchange, places, step):
    prompt, late = (
        folded(assets_told(exchange, zip(map(listing, ASSETS), at, strict=True)), step)
        for at in ((0, 0), places)
    )
    assert shown(late) == shown(prompt)
    assert users_views(late) == users_views(prompt)
    for mine, other in zip(late.rows["risk_samples"], prompt.rows["risk_samples"], strict=True):
        assert mine[3:-1] == other[3:-1]
        known, every = json.loads(str(mine[-1])), json.loads(str(other[-1]))
        assert {market: told[0] for market, told in known.items()}.items() <= {
            (market, told[0]) for market, told in every.items()
        }


def users_views(sink: DictSink) -> dict[str, dict[str, str]]:
    """Cells of users, without orders, and without when they were written."""
    cells = {
        key: dict(fields)
        for key, fields in sink.cells.items()
        if key.startswith(("balances:", "account:", "volume:")) and fields
    }
    for key in cells:
        if key.startswith("account:"):
            risk = unpack(UserRisk, cells[key]["risk"])._replace(time_us=0)
            cells[key]["risk"] = str(risk if any(risk[4:8]) else risk._replace(minute=0))
    return cells
