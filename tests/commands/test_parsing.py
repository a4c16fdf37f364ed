"""Requests to commands: whatever is accepted is exact, whatever is not has a number."""

from fractions import Fraction
from urllib.parse import urlencode

from hypothesis import given
from hypothesis import strategies as st

from commands.parsing import parse_place
from commands.reasons import order_error
from domain.accounts.messages import AssetListed
from domain.limits import DEFAULT_LIMITS
from domain.markets import MarketListed, MarketRules
from domain.orders.messages import CloseReason, OrderReason, PlaceOrder
from domain.reference import ReferenceData
from infra.http.errors import ApiError
from infra.http.order_ends import close_error, closed_status
from infra.http.parameters import parse_parameters

LOT, TICK = 1_000, 10
REFERENCE = ReferenceData()
REFERENCE.apply(AssetListed(b"", 1, "BTC", "Bitcoin", 8))
REFERENCE.apply(AssetListed(b"", 2, "USDT", "Tether", 8))
RULES = MarketRules(1, 2, LOT, TICK, *([1] * 14))
REFERENCE.apply(MarketListed(b"", 1, "BTCUSDT", 1, RULES, 100))

NASTY = ["", "0", "-0", "NaN", "1e5", "١", "1.", ".5", "+1", " 1", "1 ", "0.5", "9" * 41, "1.10"]
NAMES = ["symbol", "side", "type", "timeInForce", "quantity", "quoteOrderQty", "price"]
NAMES += ["newClientOrderId", "newOrderRespType", "stopPrice", "selfTradePreventionMode", "extra"]
WORDS = ["BTCUSDT", "BUY", "SELL", "LIMIT", "MARKET", "LIMIT_MAKER", "GTC", "FOK", "NONE", "0.001"]


def parse(params) -> PlaceOrder | ApiError:
    parameters = parse_parameters(urlencode(params).encode())
    try:
        return parse_place(parameters, REFERENCE, user_id=1, command_id=b"c" * 16, deadline_us=9)
    except ApiError as error:
        return error


@given(
    st.dictionaries(
        st.sampled_from(NAMES), st.one_of(st.sampled_from(NASTY + WORDS), st.text(max_size=50))
    )
)
def test_any_parameters_become_an_order_or_a_numbered_error(params):
    found = parse(params)
    if isinstance(found, ApiError):
        assert found.status == 400
        assert found.code in (
            -1013,
            -1100,
            -1102,
            -1104,
            -1105,
            -1106,
            -1111,
            -1114,
            -1115,
            -1116,
            -1117,
            -1121,
            -1128,
            -1130,
            -2010,
        )
        assert found.msg
    else:
        assert (found.lots == 0) != (found.quote_amount == 0)
        assert found.market_id == 1


@given(st.integers(1, 10**9), st.integers(1, 10**9), st.integers(0, 8))
def test_numbers_are_exact(units, cents, zeros):
    quantity = f"{units // 10**5}.{units % 10**5:05}" + "0" * min(zeros, 3)
    price = f"{cents // 100}.{cents % 100:02}" + "0" * min(zeros, 6)
    order = parse(
        {
            "symbol": "BTCUSDT",
            "side": "SELL",
            "type": "LIMIT",
            "timeInForce": "IOC",
            "quantity": quantity,
        }
        | {"price": price}
    )
    if Fraction(price) / Fraction(1, 100) != cents or Fraction(TICK, LOT) != Fraction(1, 100):
        raise AssertionError("the market's steps are 0.00001 and 0.01")
    assert isinstance(order, PlaceOrder)
    assert (order.lots, order.price_ticks) == (units, cents)


def test_an_order_without_client_id_gets_one_of_its_command_id():
    order = {"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"}
    first, again = parse(order), parse(order)
    assert isinstance(first, PlaceOrder)
    assert isinstance(again, PlaceOrder)
    assert first.client_order_id == again.client_order_id == (b"c" * 11).hex()


def test_an_order_says_in_which_rules_it_is_counted():
    order = parse({"symbol": "BTCUSDT", "side": "BUY", "type": "MARKET", "quantity": "1"})
    assert isinstance(order, PlaceOrder)
    assert order.market_revision == REFERENCE.markets[order.market_id].revision > 0


def test_every_reason_has_its_error():
    texts = {reason: order_error(reason, DEFAULT_LIMITS, 0).msg for reason in OrderReason}
    assert len(texts) == len(OrderReason)
    assert all(texts.values())
    mapped = {reason for reason in OrderReason if texts[reason] != "Unknown order sent."}
    assert mapped == set(OrderReason) - {OrderReason.UNKNOWN_ORDER}
    quiet = {reason for reason in CloseReason if close_error(reason) is None}
    assert quiet == {
        CloseReason.FILLED,
        CloseReason.CANCELED,
        CloseReason.NO_LIQUIDITY,
        CloseReason.FOK_NOT_FILLABLE,
    }


def test_an_order_is_listed_as_rejected_if_its_sender_was_told_an_error():
    for reason in CloseReason:
        assert (closed_status(reason) == "REJECTED") == (close_error(reason) is not None)
    quiet = (CloseReason.NO_LIQUIDITY, CloseReason.FOK_NOT_FILLABLE)
    assert {closed_status(reason) for reason in quiet} == {"EXPIRED"}
