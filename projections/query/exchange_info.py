"""exchangeInfo: the markets and their filters, as folded from `accounts.ev`."""

from collections.abc import Iterable
from typing import Any

from domain.fees import PPM_DECIMALS
from domain.limits import Limits
from domain.markets import MarketRules
from domain.money import format_amount, lots_to_quantity, ticks_to_price
from domain.orders.messages import OrderType, SelfTradePrevention
from domain.reference import Market

IMPLEMENTED_TYPES = (OrderType.LIMIT, OrderType.LIMIT_MAKER, OrderType.MARKET)
STATUS_TRADING = "TRADING"
STATUS_HALTED = "HALT"

_NOT_OFFERED = (
    "icebergAllowed",
    "ocoAllowed",
    "otoAllowed",
    "opoAllowed",
    "allowTrailingStop",
    "cancelReplaceAllowed",
    "amendAllowed",
    "pegInstructionsAllowed",
    "isMarginTradingAllowed",
)


def exchange_info(
    markets: Iterable[Market], limits: Limits, *, server_time: int, permission_sets: bool
) -> dict[str, Any]:
    """The whole answer; `server_time` in the unit that the client wants.

    Without `permission_sets` those of each market are empty.
    """
    left_out: dict[str, Any] = {} if permission_sets else {"permissionSets": []}
    return {
        "timezone": "UTC",
        "serverTime": server_time,
        "rateLimits": rate_limits(limits),
        "exchangeFilters": [],
        "symbols": [symbol_info(market) | left_out for market in markets],
    }


def empty_exchange_info(server_time: int) -> dict[str, Any]:
    """What a venue without any market says: futures, which clients ask for unasked."""
    return {
        "timezone": "UTC",
        "serverTime": server_time,
        "rateLimits": [],
        "exchangeFilters": [],
        "symbols": [],
    }


def rate_limits(limits: Limits) -> list[dict[str, Any]]:
    """The limits of the log, as exchangeInfo lists them."""
    rows = (
        ("REQUEST_WEIGHT", "MINUTE", 1, limits.request_weight_per_minute),
        ("ORDERS", "SECOND", 10, limits.orders_per_10s),
        ("ORDERS", "DAY", 1, limits.orders_per_day),
        ("RAW_REQUESTS", "MINUTE", 5, limits.raw_requests_per_5m),
    )
    return [
        {"rateLimitType": kind, "interval": interval, "intervalNum": number, "limit": limit}
        for kind, interval, number, limit in rows
    ]


def status(market: Market) -> str:
    """Whether the market trades, in the public interface's words."""
    return STATUS_HALTED if market.halted else STATUS_TRADING


def symbol_info(market: Market) -> dict[str, Any]:
    """One market. Precisions are the assets' decimals; steps are in the filters."""
    return {
        "symbol": market.symbol,
        "status": status(market),
        "baseAsset": market.base.code,
        "baseAssetPrecision": market.base.decimals,
        "quoteAsset": market.quote.code,
        "quotePrecision": market.quote.decimals,
        "quoteAssetPrecision": market.quote.decimals,
        "baseCommissionPrecision": market.base.decimals,
        "quoteCommissionPrecision": market.quote.decimals,
        "orderTypes": [order_type.name for order_type in IMPLEMENTED_TYPES],
        "quoteOrderQtyMarketAllowed": True,
        "isSpotTradingAllowed": True,
        **dict.fromkeys(_NOT_OFFERED, False),
        "filters": filters(market),
        "permissions": [],
        "permissionSets": [["SPOT"]],
        "defaultSelfTradePreventionMode": SelfTradePrevention.NONE.name,
        "allowedSelfTradePreventionModes": [SelfTradePrevention.NONE.name],
    }


def filters(market: Market) -> list[dict[str, Any]]:
    """The filters that the ledger checks, PRICE_FILTER first, since clients read it by place."""
    rules = market.rules
    return [
        {
            "filterType": "PRICE_FILTER",
            "minPrice": _price(market, rules.min_price_ticks),
            "maxPrice": _price(market, rules.max_price_ticks),
            "tickSize": _price(market, 1),
        },
        _lot_size(market, "LOT_SIZE", rules.min_lots, rules.max_lots),
        _lot_size(market, "MARKET_LOT_SIZE", rules.market_min_lots, rules.market_max_lots),
        {
            "filterType": "NOTIONAL",
            "minNotional": format_amount(rules.min_notional, market.quote.decimals),
            "applyMinToMarket": True,
            "maxNotional": format_amount(rules.max_notional, market.quote.decimals),
            "applyMaxToMarket": True,
            "avgPriceMins": 0,
        },
        _percent_price(rules),
        {"filterType": "MAX_NUM_ORDERS", "maxNumOrders": rules.max_open_orders},
    ]


def _lot_size(market: Market, name: str, least_lots: int, most_lots: int) -> dict[str, Any]:
    return {
        "filterType": name,
        "minQty": _quantity(market, least_lots),
        "maxQty": _quantity(market, most_lots),
        "stepSize": _quantity(market, 1),
    }


def _percent_price(rules: MarketRules) -> dict[str, Any]:
    """Multipliers of the last price: `avgPriceMins` 0 says that no average is taken."""
    return {
        "filterType": "PERCENT_PRICE_BY_SIDE",
        "bidMultiplierUp": _multiplier(rules.bid_up_ppm),
        "bidMultiplierDown": _multiplier(rules.bid_down_ppm),
        "askMultiplierUp": _multiplier(rules.ask_up_ppm),
        "askMultiplierDown": _multiplier(rules.ask_down_ppm),
        "avgPriceMins": 0,
    }


def _multiplier(ppm: int) -> str:
    return format_amount(ppm, PPM_DECIMALS, places=1)


def _price(market: Market, price_ticks: int) -> str:
    return ticks_to_price(price_ticks, market.rules, market.base.decimals, market.quote.decimals)


def _quantity(market: Market, lots: int) -> str:
    return lots_to_quantity(lots, market.rules, market.base.decimals)
