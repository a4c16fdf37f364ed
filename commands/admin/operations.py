"""The table of operations: name, purpose, fields, and the function that does it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from commands.admin import markets, orders, rules, shards, users
from commands.admin.fields import Field, Fields, Kind
from commands.admin.operator import Operator
from domain.limits import DEFAULT_LIMITS

Action = Callable[[Operator, Fields], Awaitable[dict[str, Any]]]


@dataclass(slots=True, frozen=True)
class Operation:
    """`POST /admin/v1/<name>` with a JSON object, and `logbourse admin <name>` with options."""

    name: str
    help: str
    action: Action
    fields: tuple[Field, ...]


_USER = Field("userId", "id of the user", Kind.INTEGER)
_TIER = Field("feeTier", "number of the fee tier", Kind.INTEGER, 0)
_KEY = Field("apiKey", "the API key")
_SCOPES = Field("scopes", "what the key may do: READ, TRADE, WITHDRAW", Kind.LIST, "READ,TRADE")
_ADDRESSES = Field(
    "ipAllowlist", "addresses or networks it may come from; empty: any", Kind.LIST, ""
)
_EXPIRY = Field("expiresMs", "when the key ends, ms since the epoch; 0: never", Kind.INTEGER, 0)
_SYMBOL = Field("symbol", "the market, such as BTCUSDT")
_MONEY = (
    _USER,
    Field("asset", "code of the asset, such as BTC"),
    Field("amount", "how much, such as 0.5"),
    Field("reference", "what makes this movement unique, for ever; use it for one user only"),
)
_HALT = (
    Field("asset", "code of the asset, such as BTC"),
    Field("reason", "why, in up to 200 characters", default="an operator said so"),
)
_BOUNDS = (
    Field("minPrice", "lowest price"),
    Field("maxPrice", "highest price"),
    Field("minQuantity", "smallest quantity"),
    Field("maxQuantity", "greatest quantity"),
    Field("marketMinQuantity", "smallest of MARKET orders", optional=True),
    Field("marketMaxQuantity", "greatest of MARKET orders", optional=True),
    Field("minNotional", "smallest price × quantity"),
    Field("maxNotional", "greatest price × quantity"),
    Field("bidMultiplierUp", "highest bid, as a multiple of the reference price", default="5"),
    Field("bidMultiplierDown", "lowest bid, likewise", default="0.2"),
    Field("askMultiplierUp", "highest ask, likewise", default="5"),
    Field("askMultiplierDown", "lowest ask, likewise", default="0.2"),
    Field("collar", "how far a MARKET order may move the price, 0.05 is 5 %", default="0.05"),
    Field("maxOpenOrders", "open orders of one account, at most 100000", Kind.INTEGER, 200),
)

OPERATIONS = (
    Operation(
        "register-user",
        "make a user and the user's accounts",
        users.register_user,
        (Field("login", "a name; only a keyed digest of it is stored"), _TIER),
    ),
    Operation("enable-user", "let a disabled user trade", users.enable_user, (_USER,)),
    Operation("disable-user", "let a user cancel only", users.disable_user, (_USER,)),
    Operation(
        "change-fee-tier",
        "put a user into another fee tier",
        users.change_fee_tier,
        (_USER, Field("feeTier", "number of the fee tier", Kind.INTEGER)),
    ),
    Operation(
        "create-api-key",
        "make an API key; its secret is told once",
        users.create_api_key,
        (
            _USER,
            _SCOPES,
            _ADDRESSES,
            _EXPIRY,
            Field("label", "a note", optional=True),
            Field("publicKey", "Ed25519 public key, PEM or base64; else HMAC", optional=True),
        ),
    ),
    Operation(
        "restrict-api-key",
        "change what a key may do, from where or how long; what is not given stays",
        users.restrict_api_key,
        (
            _USER,
            _KEY,
            *(
                Field(each.name, each.help, each.kind, optional=True)
                for each in (_SCOPES, _ADDRESSES, _EXPIRY)
            ),
        ),
    ),
    Operation("revoke-api-key", "end a key for ever", users.revoke_api_key, (_USER, _KEY)),
    Operation(
        "cancel-orders",
        "cancel all orders of a user in a market, also of a disabled one",
        orders.cancel_orders,
        (_USER, _SYMBOL),
    ),
    Operation("deposit", "credit what arrived from outside", users.deposit, _MONEY),
    Operation("withdraw", "debit what leaves for outside", users.withdraw, _MONEY),
    Operation(
        "list-asset",
        "make an asset known",
        markets.list_asset,
        (
            Field("code", "code of the asset, such as BTC"),
            Field("name", "its name, such as Bitcoin"),
            Field(
                "decimals",
                "decimals of its smallest unit: a shard holds 2^62 of these",
                Kind.INTEGER,
                8,
            ),
        ),
    ),
    Operation(
        "list-market",
        "open a market",
        markets.list_market,
        (
            _SYMBOL,
            Field("base", "code of the asset that is priced"),
            Field("quote", "code of the asset that prices it"),
            Field("quantityStep", "step of quantities, such as 0.00001"),
            Field("priceStep", "step of prices, such as 0.01"),
            Field("referencePrice", "first reference price"),
            *_BOUNDS,
        ),
    ),
    Operation(
        "change-market-rules",
        "replace some of a market's rules",
        markets.change_market_rules,
        (
            _SYMBOL,
            Field("quantityStep", "step of quantities", optional=True),
            Field("priceStep", "step of prices", optional=True),
            Field("referencePrice", "reference price from now on", optional=True),
            *(Field(bound.name, bound.help, bound.kind, optional=True) for bound in _BOUNDS),
        ),
    ),
    Operation("halt-market", "let a market cancel only", markets.halt_market, (_SYMBOL,)),
    Operation("halt-withdrawals", "let nothing of an asset leave", markets.halt_withdrawals, _HALT),
    Operation("resume-withdrawals", "let an asset leave again", markets.resume_withdrawals, _HALT),
    Operation("resume-market", "let a halted market trade", markets.resume_market, (_SYMBOL,)),
    Operation(
        "change-fees",
        "replace the fee schedule",
        markets.change_fees,
        (Field("tiers", "tier:maker_ppm:taker_ppm, such as 0:1000:1000", Kind.LIST),),
    ),
    Operation(
        "change-limits",
        "replace the limits; what is not given gets its default",
        markets.change_limits,
        (
            Field(
                "ordersPer10s",
                "orders of one account in 10 s",
                Kind.INTEGER,
                DEFAULT_LIMITS.orders_per_10s,
            ),
            Field(
                "ordersPerDay",
                "orders of one account in a day",
                Kind.INTEGER,
                DEFAULT_LIMITS.orders_per_day,
            ),
            Field(
                "requestWeightPerMinute",
                "request weight of one key in a minute",
                Kind.INTEGER,
                DEFAULT_LIMITS.request_weight_per_minute,
            ),
            Field(
                "rawRequestsPer5m",
                "requests of one key in five minutes",
                Kind.INTEGER,
                DEFAULT_LIMITS.raw_requests_per_5m,
            ),
        ),
    ),
    Operation(
        "resolve-halt",
        "tell a halted shard what to do with the record it halted at",
        shards.resolve_halt,
        (
            Field("shard", "the shard, such as L0"),
            Field("recordHash", "hash of the record, in hex, as the halt reports it"),
            Field("action", "skip, or cancel-only"),
        ),
    ),
    Operation(
        "activate-rules",
        "put another version of the rules into force at all shards",
        rules.activate_rules,
        (Field("version", "number of the version", Kind.INTEGER),),
    ),
)
