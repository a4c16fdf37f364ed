"""Requests to orders: text becomes whole lots, ticks and units here, once, or is refused."""

from collections.abc import Callable

from commands.reasons import (
    NO_ICEBERG,
    NO_SELF_TRADE_PREVENTION,
    NO_STOP_LOSS,
    invalid_price,
    invalid_quantity,
)
from domain import money
from domain.orders.messages import (
    CancelAllOrders,
    CancelOrder,
    OrderType,
    PlaceOrder,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.reference import Market, ReferenceData
from infra.http import errors
from infra.http.parameters import CLIENT_ORDER_ID, SYMBOL, Parameters

NUMBER = r"^([0-9]{1,20})(\.[0-9]{1,20})?$"

RESPONSE_TYPES = ("ACK", "RESULT", "FULL")

_SELDOM = (
    "selfTradePreventionMode",
    "stopPrice",
    "icebergQty",
    "trailingDelta",
    "strategyId",
    "strategyType",
)
_PLACE = (
    "symbol",
    "side",
    "type",
    "timeInForce",
    "quantity",
    "quoteOrderQty",
    "price",
    "newClientOrderId",
    "newOrderRespType",
    *_SELDOM,
)
_CANCEL = ("symbol", "orderId", "origClientOrderId", "newClientOrderId", "cancelRestrictions")
_NOT_IMPLEMENTED = {
    OrderType.STOP_LOSS: NO_STOP_LOSS,
    OrderType.STOP_LOSS_LIMIT: "Stop loss limit orders are not supported for this symbol.",
    OrderType.TAKE_PROFIT: "Take profit orders are not supported for this symbol.",
    OrderType.TAKE_PROFIT_LIMIT: "Take profit limit orders are not supported for this symbol.",
}


def parse_place(
    parameters: Parameters,
    reference: ReferenceData,
    *,
    user_id: int,
    command_id: bytes,
    deadline_us: int,
    former: Market | None = None,
) -> PlaceOrder:
    """The order that a request asks for; without a client order id it gets one of its command id.

    It is counted in the lots and ticks of its market, or in those of `former`, the market as it
    was. Raises ApiError with the number of whatever is missing, malformed or not implemented.
    """
    parameters.refuse_unknown(_PLACE)
    market = former or _parse_market(parameters, reference)
    side = _parse_side(parameters)
    order_type = _parse_type(parameters)
    _refuse_not_implemented(parameters, order_type)
    price_ticks = _parse_price(parameters, order_type, market)
    lots, quote_amount = _parse_quantities(parameters, order_type, market)
    return PlaceOrder(
        command_id=command_id,
        deadline_us=deadline_us,
        user_id=user_id,
        market_id=market.market_id,
        market_revision=market.revision,
        client_order_id=client_order_id(parameters, command_id),
        side=side,
        order_type=order_type,
        time_in_force=_parse_time_in_force(parameters, order_type),
        price_ticks=price_ticks,
        lots=lots,
        quote_amount=quote_amount,
        stop_price_ticks=0,
        iceberg_lots=0,
        self_trade_prevention=SelfTradePrevention.NONE,
    )


def parse_cancel(
    parameters: Parameters,
    reference: ReferenceData,
    *,
    user_id: int,
    command_id: bytes,
    deadline_us: int,
) -> CancelOrder:
    """The cancel of one order, by its id or its client id (the id wins if both are sent)."""
    parameters.refuse_unknown(_CANCEL)
    market = _parse_market(parameters, reference)
    if parameters.has("cancelRestrictions"):
        raise errors.not_required("cancelRestrictions")
    order_id = parameters.optional_integer("orderId", low=1)
    original_id = parameters.matching("origClientOrderId", CLIENT_ORDER_ID)
    parameters.matching("newClientOrderId", CLIENT_ORDER_ID)
    if order_id is None and original_id is None:
        raise errors.either_mandatory("origClientOrderId", "orderId")
    return CancelOrder(
        command_id=command_id,
        deadline_us=deadline_us,
        user_id=user_id,
        market_id=market.market_id,
        order_id=order_id or 0,
        client_order_id=original_id or "",
    )


def parse_cancel_all(
    parameters: Parameters,
    reference: ReferenceData,
    *,
    user_id: int,
    command_id: bytes,
    deadline_us: int,
) -> CancelAllOrders:
    """The cancel of all open orders in one market."""
    parameters.refuse_unknown(("symbol",))
    market = _parse_market(parameters, reference)
    return CancelAllOrders(command_id, deadline_us, user_id, market.market_id)


def default_response_type(order_type: OrderType) -> str:
    """What Binance answers to who does not say: FULL for LIMIT and MARKET, ACK for the others."""
    return "FULL" if order_type in (OrderType.LIMIT, OrderType.MARKET) else "ACK"


def parse_response_type(parameters: Parameters, default: str) -> str:
    """ACK, RESULT or FULL; `default` without a wish, -1130 for any other."""
    wish = parameters.optional("newOrderRespType")
    if wish is None:
        return default
    if wish not in RESPONSE_TYPES:
        raise errors.invalid_data("newOrderRespType")
    return wish


def client_order_id(parameters: Parameters, command_id: bytes) -> str:
    """`newClientOrderId`, or an id made of the command's, so that a repetition has the same."""
    wish = parameters.matching("newClientOrderId", CLIENT_ORDER_ID)
    return command_id[:11].hex() if wish is None else wish


def _parse_market(parameters: Parameters, reference: ReferenceData) -> Market:
    """The market that `symbol` names; -1121 if there is none."""
    symbol = parameters.text("symbol")
    parameters.matching("symbol", SYMBOL)
    market = reference.market(symbol)
    if market is None:
        raise errors.invalid_symbol()
    return market


def _parse_side(parameters: Parameters) -> Side:
    text = parameters.text("side")
    if text not in Side.__members__:
        raise errors.invalid_side()
    return Side[text]


def _parse_type(parameters: Parameters) -> OrderType:
    text = parameters.text("type")
    if text not in OrderType.__members__:
        raise errors.invalid_order_type()
    return OrderType[text]


def _refuse_not_implemented(parameters: Parameters, order_type: OrderType) -> None:
    if order_type in _NOT_IMPLEMENTED:
        raise errors.order_refused(_NOT_IMPLEMENTED[order_type])
    if parameters.values.keys().isdisjoint(_SELDOM):
        return
    if parameters.has("icebergQty"):
        raise errors.order_refused(NO_ICEBERG)
    if parameters.has("trailingDelta"):
        raise errors.order_refused("Trailing stop orders are not supported for this symbol.")
    for name in ("stopPrice", "strategyId", "strategyType"):
        if parameters.has(name):
            raise errors.not_required(name)
    prevention = parameters.optional("selfTradePreventionMode")
    if prevention is not None and prevention not in SelfTradePrevention.__members__:
        raise errors.invalid_data("selfTradePreventionMode")
    if prevention not in (None, "NONE"):
        raise errors.order_refused(NO_SELF_TRADE_PREVENTION)


def _parse_time_in_force(parameters: Parameters, order_type: OrderType) -> TimeInForce:
    """Only LIMIT has a choice; a market order takes what there is at once."""
    if order_type is not OrderType.LIMIT:
        if parameters.has("timeInForce"):
            raise errors.time_in_force_not_required()
        return TimeInForce.IOC if order_type is OrderType.MARKET else TimeInForce.GTC
    text = parameters.text("timeInForce")
    if text not in TimeInForce.__members__:
        raise errors.invalid_time_in_force()
    return TimeInForce[text]


def _parse_price(parameters: Parameters, order_type: OrderType, market: Market) -> int:
    if order_type is OrderType.MARKET:
        if parameters.has("price"):
            raise errors.not_required("price")
        return 0
    text = parameters.text("price")
    price_ticks = _number(
        "price",
        "PRICE_FILTER",
        lambda: money.price_to_ticks(
            text, market.rules, market.base.decimals, market.quote.decimals
        ),
    )
    if price_ticks == 0:
        raise invalid_price()
    return price_ticks


def _parse_quantities(
    parameters: Parameters, order_type: OrderType, market: Market
) -> tuple[int, int]:
    """Lots and quote amount, exactly one of which is not 0."""
    quantity = parameters.optional("quantity")
    quote_quantity = parameters.optional("quoteOrderQty")
    if order_type is not OrderType.MARKET:
        if quote_quantity is not None:
            raise errors.not_required("quoteOrderQty")
        return _parse_lots(parameters.text("quantity"), market), 0
    if quantity is not None and quote_quantity is not None:
        raise errors.invalid_combination()
    if quantity is not None:
        return _parse_lots(quantity, market), 0
    if quote_quantity is None:
        raise errors.either_mandatory("quantity", "quoteOrderQty")
    amount = _number(
        "quoteOrderQty",
        "NOTIONAL",
        lambda: money.parse_amount(quote_quantity, market.quote.decimals),
    )
    if amount == 0:
        raise invalid_quantity()
    return 0, amount


def _parse_lots(text: str, market: Market) -> int:
    lots = _number(
        "quantity",
        "LOT_SIZE",
        lambda: money.quantity_to_lots(text, market.rules, market.base.decimals),
    )
    if lots == 0:
        raise invalid_quantity()
    return lots


def _number(name: str, filter_name: str, read: Callable[[], int]) -> int:
    """The number that `read` finds; what it refuses gets the number of the parameter's error."""
    try:
        return read()
    except money.MalformedAmount:
        raise errors.illegal_characters(name, NUMBER) from None
    except money.TooPrecise:
        raise errors.too_precise(name) from None
    except (money.OffStep, money.TooLarge):
        raise errors.filter_failure(filter_name) from None
