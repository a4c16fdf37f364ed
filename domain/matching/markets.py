"""What market commands cause: listing, new rules, halts; each check in the order of its reason."""

from typing import Final

from domain.decider import Message
from domain.fees import PPM
from domain.markets import (
    ChangeMarketRules,
    HaltMarket,
    ListMarket,
    MarketCommandRejected,
    MarketHalted,
    MarketListed,
    MarketReason,
    MarketResumed,
    MarketRules,
    MarketRulesChanged,
    ResumeMarket,
)
from domain.matching.state import Market, MatchingState
from domain.money import MAX_AMOUNT
from domain.protocol import HaltAction, HaltResolved, ResolveHalt
from domain.reference import is_symbol

BOUND_MAX_PPM: Final = 1_000 * PPM
"""The widest price bound: a thousand times the reference price."""

Reason = MarketReason


def list_market(state: MatchingState, command: ListMarket) -> MarketListed | MarketCommandRejected:
    """A market with the shard's next id, revision 1, that trades at once."""
    reason = _listing_reason(state, command)
    if reason is not None:
        return MarketCommandRejected(command.command_id, reason)
    return MarketListed(
        command_id=command.command_id,
        market_id=state.next_market_id(),
        symbol=command.symbol,
        revision=1,
        rules=command.rules,
        reference_price_ticks=command.reference_price_ticks,
    )


def change_market_rules(
    state: MatchingState, command: ChangeMarketRules
) -> MarketRulesChanged | MarketCommandRejected:
    """New rules for what comes; resting orders stay as they are. A new lot or tick counts as a
    revision, needs a halted and empty market, and a reference price counted in it."""
    market = state.markets.get(command.market_id)
    if market is None:
        return MarketCommandRejected(command.command_id, Reason.UNKNOWN_MARKET)
    reason = _change_reason(state, market, command)
    if reason is not None:
        return MarketCommandRejected(command.command_id, reason)
    recounted = _is_recounted(market.rules, command.rules)
    return MarketRulesChanged(
        command_id=command.command_id,
        market_id=market.market_id,
        revision=market.revision + 1 if recounted else market.revision,
        rules=command.rules,
        reference_price_ticks=command.reference_price_ticks or market.last_price_ticks,
    )


def halt_market(state: MatchingState, command: HaltMarket) -> MarketHalted | MarketCommandRejected:
    """From here on the market cancels only."""
    market = state.markets.get(command.market_id)
    if market is None:
        return MarketCommandRejected(command.command_id, Reason.UNKNOWN_MARKET)
    if market.halted:
        return MarketCommandRejected(command.command_id, Reason.ALREADY_HALTED)
    return MarketHalted(command.command_id, market.market_id)


def resume_market(
    state: MatchingState, command: ResumeMarket
) -> MarketResumed | MarketCommandRejected:
    """The market trades again."""
    market = state.markets.get(command.market_id)
    if market is None:
        return MarketCommandRejected(command.command_id, Reason.UNKNOWN_MARKET)
    if not market.halted:
        return MarketCommandRejected(command.command_id, Reason.NOT_HALTED)
    return MarketResumed(command.command_id, market.market_id)


def resolve_halt(state: MatchingState, command: ResolveHalt) -> list[Message]:
    """The shard goes on: as before, or with every market halted until an operator resumes it."""
    events: list[Message] = []
    if command.action is HaltAction.CANCEL_ONLY:
        for market_id in sorted(state.markets):
            if not state.markets[market_id].halted:
                events.append(MarketHalted(command.command_id, market_id))
    events.append(HaltResolved(command.command_id, command.record_hash, command.action))
    return events


def are_rules(rules: MarketRules) -> bool:
    """Whether an order can keep to the rules, and nothing in them is beyond what amounts may be.

    A range must not be empty; the reference price itself must lie within the price bounds.
    """
    return (
        rules.base_asset != rules.quote_asset
        and 0 < rules.lot <= MAX_AMOUNT
        and 0 < rules.tick <= MAX_AMOUNT
        and 0 < rules.min_price_ticks <= rules.max_price_ticks <= MAX_AMOUNT
        and 0 < rules.min_lots <= rules.max_lots <= MAX_AMOUNT
        and 0 < rules.market_min_lots <= rules.market_max_lots <= MAX_AMOUNT
        and 0 <= rules.min_notional <= rules.max_notional <= MAX_AMOUNT
        and rules.max_notional > 0
        and 0 < rules.bid_down_ppm <= PPM <= rules.bid_up_ppm <= BOUND_MAX_PPM
        and 0 < rules.ask_down_ppm <= PPM <= rules.ask_up_ppm <= BOUND_MAX_PPM
        and 0 < rules.collar_ppm <= PPM
        and rules.max_open_orders > 0
    )


def _listing_reason(state: MatchingState, command: ListMarket) -> MarketReason | None:
    rules = command.rules
    if rules.base_asset not in state.assets or rules.quote_asset not in state.assets:
        return Reason.UNKNOWN_ASSET
    if command.symbol in state.market_ids:
        return Reason.SYMBOL_TAKEN
    if not is_symbol(command.symbol):
        return Reason.INVALID_SYMBOL
    if not are_rules(rules):
        return Reason.INVALID_RULES
    if not _is_price(rules, command.reference_price_ticks):
        return Reason.INVALID_REFERENCE_PRICE
    return None


def _change_reason(
    state: MatchingState, market: Market, command: ChangeMarketRules
) -> MarketReason | None:
    old, new = market.rules, command.rules
    if new.base_asset not in state.assets or new.quote_asset not in state.assets:
        return Reason.UNKNOWN_ASSET
    same_assets = (old.base_asset, old.quote_asset) == (new.base_asset, new.quote_asset)
    if not same_assets or not are_rules(new):
        return Reason.INVALID_RULES
    recounted = _is_recounted(old, new)
    kept_price = 0 if recounted else market.last_price_ticks
    if not _is_price(new, command.reference_price_ticks or kept_price):
        return Reason.INVALID_REFERENCE_PRICE
    if recounted and not market.halted:
        return Reason.MARKET_NOT_HALTED
    if recounted and market.book.orders:
        return Reason.MARKET_NOT_EMPTY
    return None


def _is_recounted(old: MarketRules, new: MarketRules) -> bool:
    """Whether lots or ticks of the new rules are others than the old ones'."""
    return old.lot != new.lot or old.tick != new.tick


def _is_price(rules: MarketRules, price_ticks: int) -> bool:
    return rules.min_price_ticks <= price_ticks <= rules.max_price_ticks
