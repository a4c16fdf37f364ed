"""Operations on assets, markets, fees and limits: human numbers become lots, ticks and ppm here."""

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

from commands.admin.fields import Fields
from commands.admin.operator import Operator, shown_by
from commands.admin.recounting import LOTS, PRICES, recounted
from commands.outcomes import Answer
from domain import money
from domain.accounts.messages import (
    AssetListed,
    ChangeFees,
    ChangeLimits,
    FeesChanged,
    HaltWithdrawals,
    LimitsChanged,
    ListAsset,
    ResumeWithdrawals,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.decider import Command, Message
from domain.fees import PPM_DECIMALS, FeeTier
from domain.limits import Limits
from domain.markets import (
    ChangeMarketRules,
    HaltMarket,
    ListMarket,
    MarketHalted,
    MarketListed,
    MarketResumed,
    MarketRules,
    MarketRulesChanged,
    ResumeMarket,
)
from domain.reference import Asset, Market, symbol_partition
from infra.http import errors
from infra.http.errors import ApiError

MOST_OPEN_ORDERS = 100_000
"""What an account may have open in a market: a cancel of all of them is one message."""

_MULTIPLIERS = {
    "bid_up_ppm": "bidMultiplierUp",
    "bid_down_ppm": "bidMultiplierDown",
    "ask_up_ppm": "askMultiplierUp",
    "ask_down_ppm": "askMultiplierDown",
    "collar_ppm": "collar",
}
_NOTIONALS = {"min_notional": "minNotional", "max_notional": "maxNotional"}


async def list_asset(operator: Operator, fields: Fields) -> dict[str, Any]:
    """A new asset, once every shard that must know it does."""
    command = ListAsset(
        *operator.identity(), fields.text("code"), fields.text("name"), fields.integer("decimals")
    )
    knowing = ["A0", *operator.ledger_shards(), *operator.matching_shards()]
    answer = await operator.run("A0", command, shown_by(knowing, AssetListed))
    asset_id = next(s.message.asset_id for s in answer.seen if isinstance(s.message, AssetListed))
    return {"assetId": asset_id, "position": answer.position()}


async def halt_withdrawals(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Nothing of the asset leaves, once every ledger refuses it."""
    return await _switch_withdrawals(operator, fields, HaltWithdrawals, WithdrawalsHalted)


async def resume_withdrawals(operator: Operator, fields: Fields) -> dict[str, Any]:
    """The asset leaves again, once every ledger lets it."""
    return await _switch_withdrawals(operator, fields, ResumeWithdrawals, WithdrawalsResumed)


async def _switch_withdrawals(
    operator: Operator,
    fields: Fields,
    command_type: type[HaltWithdrawals | ResumeWithdrawals],
    event_type: type[WithdrawalsHalted | WithdrawalsResumed],
) -> dict[str, Any]:
    asset = operator.asset(fields.text("asset"))
    command = command_type(*operator.identity(), asset.asset_id, fields.text("reason"))
    shown = shown_by(["A0", *operator.ledger_shards()], event_type)
    answer = await operator.run("A0", command, shown)
    return {"position": answer.position()}


async def list_market(operator: Operator, fields: Fields) -> dict[str, Any]:
    """A new market, once every ledger knows it; its lot and tick follow from the human steps."""
    symbol = fields.text("symbol")
    base, quote = operator.asset(fields.text("base")), operator.asset(fields.text("quote"))
    lot, tick = _lot_and_tick(fields.text("quantityStep"), fields.text("priceStep"), base, quote)
    rules = _rules(fields, _unset_rules(base, quote, lot, tick), base, quote)
    reference = _read(
        "referencePrice",
        lambda: money.price_to_ticks(
            fields.text("referencePrice"), rules, base.decimals, quote.decimals
        ),
    )
    command = ListMarket(*operator.identity(), symbol, rules, reference)
    partition = symbol_partition(symbol, operator.reference.matching_partitions)
    answer = await _run_at_matching(operator, f"M{partition}", command, MarketListed)
    market_id = next(
        s.message.market_id for s in answer.seen if isinstance(s.message, MarketListed)
    )
    return {"marketId": market_id, "lot": lot, "tick": tick, "position": answer.position()}


async def change_market_rules(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Other rules for a market; what is not given stays.

    Steps change only while the market is halted and its book empty. Then a reference price is
    needed, and each bound that the new steps cannot say: -1102 names them.

    All rules are sent, so each change is built upon the one before: raises -1008 while A0 lags,
    which tells of it. Two gateways at once are not told apart: one may undo what the other did.
    Nor is a change known that was answered -1007 while matching was down: the next undoes it.
    """
    async with operator.changing("A0"):
        market = operator.market(fields.text("symbol"))
        rules, reference = _changed_rules(fields, market)
        command = ChangeMarketRules(*operator.identity(), market.market_id, rules, reference)
        shard = _matching_shard(operator, market.market_id)
        answer = await _run_at_matching(operator, shard, command, MarketRulesChanged)
    return {"lot": rules.lot, "tick": rules.tick, "position": answer.position()}


async def halt_market(operator: Operator, fields: Fields) -> dict[str, Any]:
    """The market cancels only."""
    return await _switch_market(operator, fields, HaltMarket, MarketHalted)


async def resume_market(operator: Operator, fields: Fields) -> dict[str, Any]:
    """The market trades again."""
    return await _switch_market(operator, fields, ResumeMarket, MarketResumed)


async def _switch_market(
    operator: Operator,
    fields: Fields,
    command_type: type[HaltMarket | ResumeMarket],
    event_type: type[MarketHalted | MarketResumed],
) -> dict[str, Any]:
    market_id = operator.market(fields.text("symbol")).market_id
    command = command_type(*operator.identity(), market_id)
    shard = _matching_shard(operator, market_id)
    answer = await _run_at_matching(operator, shard, command, event_type)
    return {"position": answer.position()}


async def change_fees(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Another fee schedule, once every ledger charges it."""
    tiers = [read_fee_tier(text) for text in fields.texts("tiers")]
    command = ChangeFees(*operator.identity(), tiers)
    shown = shown_by(["A0", *operator.ledger_shards()], FeesChanged)
    answer = await operator.run("A0", command, shown)
    return {"position": answer.position()}


async def change_limits(operator: Operator, fields: Fields) -> dict[str, Any]:
    """Other limits, once every ledger keeps them."""
    limits = Limits(
        orders_per_10s=fields.integer("ordersPer10s"),
        orders_per_day=fields.integer("ordersPerDay"),
        request_weight_per_minute=fields.integer("requestWeightPerMinute"),
        raw_requests_per_5m=fields.integer("rawRequestsPer5m"),
    )
    command = ChangeLimits(*operator.identity(), limits)
    shown = shown_by(["A0", *operator.ledger_shards()], LimitsChanged)
    answer = await operator.run("A0", command, shown)
    return {"position": answer.position()}


def read_fee_tier(text: str) -> FeeTier:
    """A tier written `tier:maker_ppm:taker_ppm`, such as `0:1000:1000`; -1130 for anything else."""
    parts = text.split(":")
    if len(parts) != 3 or not all(re.fullmatch("[0-9]{1,9}", part) for part in parts):
        raise errors.invalid_data("tiers")
    tier, maker_ppm, taker_ppm = (int(part) for part in parts)
    return FeeTier(tier, maker_ppm, taker_ppm)


async def _run_at_matching(
    operator: Operator, shard: str, command: Command, event: type[Message]
) -> Answer:
    """What matching decides, the reference data and every ledger must show too."""
    shown = shown_by([shard, "A0", *operator.ledger_shards()], event)
    return await operator.run(shard, command, shown)


def _changed_rules(fields: Fields, market: Market) -> tuple[MarketRules, int]:
    """The market's rules with what the fields give, and the reference price; 0 if none is given."""
    base, quote = market.base, market.quote
    quantity_step, price_step = (
        fields.optional_text("quantityStep"),
        fields.optional_text("priceStep"),
    )
    if (quantity_step is None) != (price_step is None):
        raise errors.either_mandatory("quantityStep", "priceStep")
    rules = market.rules
    if quantity_step is not None and price_step is not None:
        lot, tick = _lot_and_tick(quantity_step, price_step, base, quote)
        if (lot, tick) != (rules.lot, rules.tick):
            rules = recounted(fields, rules, lot=lot, tick=tick)
    rules = _rules(fields, rules, base, quote)
    price = fields.optional_text("referencePrice")
    if price is None:
        return rules, 0
    return rules, _read(
        "referencePrice",
        lambda: money.price_to_ticks(price, rules, base.decimals, quote.decimals),
    )


def _matching_shard(operator: Operator, market_id: int) -> str:
    return f"M{market_id % operator.reference.matching_partitions}"


def _lot_and_tick(
    quantity_step: str, price_step: str, base: Asset, quote: Asset
) -> tuple[int, int]:
    try:
        return money.steps_to_lot_and_tick(
            quantity_step=quantity_step,
            price_step=price_step,
            base_decimals=base.decimals,
            quote_decimals=quote.decimals,
        )
    except money.NumberRefused as refusal:
        raise ApiError(400, -1130, f"Steps cannot be used: {refusal}.") from None


def _unset_rules(base: Asset, quote: Asset, lot: int, tick: int) -> MarketRules:
    """Rules that say only what is traded and in which steps; bounds must come from the fields."""
    unset = dict.fromkeys((*PRICES, *LOTS, *_NOTIONALS, *_MULTIPLIERS, "max_open_orders"), 0)
    return MarketRules(base.asset_id, quote.asset_id, lot, tick, **unset)


def _rules(fields: Fields, rules: MarketRules, base: Asset, quote: Asset) -> MarketRules:
    """`rules` with every bound that the fields give."""
    changed: dict[str, int] = {}

    def read(names: dict[str, str], convert: Callable[[str], int]) -> None:
        for attribute, name in names.items():
            text = fields.optional_text(name)
            if text is not None:
                changed[attribute] = _read(name, partial(convert, text))

    read(PRICES, lambda t: money.price_to_ticks(t, rules, base.decimals, quote.decimals))
    read(LOTS, lambda t: money.quantity_to_lots(t, rules, base.decimals))
    read(_NOTIONALS, lambda t: money.parse_amount(t, quote.decimals))
    read(_MULTIPLIERS, lambda t: money.parse_amount(t, PPM_DECIMALS))
    for market_bound, bound in (("market_min_lots", "min_lots"), ("market_max_lots", "max_lots")):
        # Without a bound of its own a market order has that of the others.
        if getattr(rules, market_bound) == 0 and bound in changed:
            changed.setdefault(market_bound, changed[bound])
    open_orders = fields.optional_integer("maxOpenOrders")
    if open_orders is not None:
        changed["max_open_orders"] = _bounded_open_orders(open_orders)
    bounded = replace(rules, **changed)
    if not money.is_writable(bounded, base.decimals, quote.decimals):
        raise ApiError(
            400,
            -1130,
            f"Steps must be written with {money.PLACES} decimals, so that all prices are.",
        )
    return bounded


def _bounded_open_orders(number: int) -> int:
    if number > MOST_OPEN_ORDERS:
        msg = f"{MOST_OPEN_ORDERS} is the most, was {number}"
        raise ApiError(400, -1130, f"Field 'maxOpenOrders' cannot be used: {msg}.")
    return number


def _read(name: str, convert: Callable[[], int]) -> int:
    try:
        return convert()
    except money.NumberRefused as refusal:
        raise ApiError(400, -1130, f"Field '{name}' cannot be used: {refusal}.") from None
