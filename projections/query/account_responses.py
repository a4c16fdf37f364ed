"""Orders, fills, balances and fees as Binance's JSON."""

from collections.abc import Iterable
from typing import Any

from domain.fees import PPM_DECIMALS, FeeTier
from domain.limits import Limits
from domain.money import format_amount
from domain.orders.messages import (
    CloseReason,
    OrderType,
    Role,
    SelfTradePrevention,
    Side,
    TimeInForce,
)
from domain.reference import Asset, Market
from infra.http.order_ends import closed_status
from projections.layout import CLOSED, Balance, StoredOrder
from projections.query.market_responses import Time, price, weighted_average
from projections.query.rows import Fill

NO_LIST = -1
"""The order list of an order that is in none."""

ZERO = "0.00000000"


def order(row: StoredOrder, market: Market, time: Time) -> dict[str, Any]:
    """An element of `order`, `openOrders` and `allOrders`.

    An order by quote shows as its quantity what it traded, which is all it can know (Binance does
    the same). A MARKET order's time in force is nobody's concern: like the order's first answer
    this says GTC.
    """
    base = market.base.decimals
    is_market = row.order_type == OrderType.MARKET
    time_in_force = TimeInForce.GTC if is_market else TimeInForce(row.time_in_force)
    quantity = row.filled_quantity if row.quote_quantity else row.quantity
    return {
        "symbol": market.symbol,
        "orderId": row.order_id,
        "orderListId": NO_LIST,
        "clientOrderId": row.client_order_id,
        "price": price(_limit(row, market)),
        "origQty": format_amount(quantity, base),
        "executedQty": format_amount(row.filled_quantity, base),
        "cummulativeQuoteQty": format_amount(row.filled_quote, market.quote.decimals),
        "status": order_status(row),
        "timeInForce": time_in_force.name,
        "type": OrderType(row.order_type).name,
        "side": Side(row.side).name,
        "stopPrice": ZERO,
        "icebergQty": ZERO,
        "time": time(row.accepted_us),
        "updateTime": time(row.updated_us),
        "isWorking": True,
        "workingTime": time(row.accepted_us),
        "origQuoteOrderQty": format_amount(row.quote_quantity, market.quote.decimals),
        "selfTradePreventionMode": SelfTradePrevention.NONE.name,
    }


def order_status(row: StoredOrder) -> str:
    """The order's state in the public interface's words, of its end those of `closed_status`."""
    if row.state != CLOSED:
        return "PARTIALLY_FILLED" if row.filled_quantity else "NEW"
    return closed_status(CloseReason(row.reason))


def own_trade(row: Fill, market: Market, fee_asset: Asset, time: Time) -> dict[str, Any]:
    """An element of `myTrades`; clients tell spot by `isMaker`."""
    return {
        "symbol": market.symbol,
        "id": row.trade_id,
        "orderId": row.order_id,
        "orderListId": NO_LIST,
        "price": price(row.price or weighted_average(row.quantity, row.quote, market)),
        "qty": format_amount(row.quantity, market.base.decimals),
        "quoteQty": format_amount(row.quote, market.quote.decimals),
        "commission": format_amount(row.fee, fee_asset.decimals),
        "commissionAsset": fee_asset.code,
        "time": time(row.time_us),
        "isBuyer": row.side == Side.BUY,
        "isMaker": row.role == Role.MAKER,
        "isBestMatch": True,
    }


def account(
    user_id: int, *, balances: list[dict[str, str]], tier: FeeTier, enabled: bool, update_time: int
) -> dict[str, Any]:
    """The answer of `account`: commissions are whole basis points, rates exact."""
    return {
        "makerCommission": tier.maker_ppm // 100,
        "takerCommission": tier.taker_ppm // 100,
        "buyerCommission": 0,
        "sellerCommission": 0,
        "commissionRates": commission_rates(tier),
        "canTrade": enabled,
        "canWithdraw": enabled,
        "canDeposit": True,
        "brokered": False,
        "requireSelfTradePrevention": False,
        "preventSor": False,
        "updateTime": update_time,
        "accountType": "SPOT",
        "balances": balances,
        "permissions": ["SPOT"],
        "uid": user_id,
    }


def balance(asset: Asset, row: Balance) -> dict[str, str]:
    """An element of an account's `balances`."""
    return {
        "asset": asset.code,
        "free": format_amount(row.available, asset.decimals),
        "locked": format_amount(row.held, asset.decimals),
    }


def commission_rates(tier: FeeTier) -> dict[str, str]:
    """Rates as fractions of what is received, by role; there are none by side."""
    return {
        "maker": rate(tier.maker_ppm),
        "taker": rate(tier.taker_ppm),
        "buyer": ZERO,
        "seller": ZERO,
    }


def account_commission(market: Market, tier: FeeTier) -> dict[str, Any]:
    """The answer of `account/commission`: no taxes and no discount asset."""
    nothing = dict.fromkeys(("maker", "taker", "buyer", "seller"), ZERO)
    return {
        "symbol": market.symbol,
        "standardCommission": commission_rates(tier),
        "taxCommission": nothing,
        "discount": {
            "enabledForAccount": False,
            "enabledForSymbol": False,
            "discountAsset": "",
            "discount": ZERO,
        },
    }


def trade_fees(markets: Iterable[Market], tier: FeeTier) -> list[dict[str, str]]:
    """The answer of `asset/tradeFee`, a list even for one market."""
    maker, taker = rate(tier.maker_ppm), rate(tier.taker_ppm)
    return [
        {"symbol": market.symbol, "makerCommission": maker, "takerCommission": taker}
        for market in markets
    ]


def order_counts(limits: Limits, *, count_10s: int, count_1d: int) -> list[dict[str, Any]]:
    """The answer of `rateLimit/order`."""
    rows = (
        ("SECOND", 10, limits.orders_per_10s, count_10s),
        ("DAY", 1, limits.orders_per_day, count_1d),
    )
    return [
        {
            "rateLimitType": "ORDERS",
            "interval": interval,
            "intervalNum": number,
            "limit": limit,
            "count": count,
        }
        for interval, number, limit, count in rows
    ]


def rate(ppm: int) -> str:
    """A rate in parts per million as a fraction with 8 decimals."""
    return format_amount(ppm, PPM_DECIMALS)


def _limit(row: StoredOrder, market: Market) -> int:
    """The order's price, also of one that is stored by what all of it costs."""
    if row.price >= 0:
        return row.price
    return weighted_average(row.quantity, -row.price, market)
