"""What a ledger shard is told of users, markets and the exchange, and how it keeps it."""

from domain.accounts.messages import (
    AssetListed,
    FeesChanged,
    FeeTierChanged,
    LimitsChanged,
    UserDisabled,
    UserEnabled,
    WithdrawalsHalted,
    WithdrawalsResumed,
)
from domain.decider import Message, matching_ids
from domain.fees import FeeTier
from domain.ledger.messages import AccountOpened
from domain.markets import MarketHalted, MarketListed, MarketResumed, MarketRulesChanged
from domain.orders.state import Account, LedgerState, Market
from domain.protocol import Genesis, RulesActivated


def learn(state: LedgerState, event: Message) -> None:
    """What the shard is told of users, markets and the exchange; no other event is known here."""
    if isinstance(event, AccountOpened):
        _open_account(state, event)
    elif isinstance(event, (UserEnabled, UserDisabled)):
        state.accounts[event.user_id].enabled = isinstance(event, UserEnabled)
    elif isinstance(event, FeeTierChanged):
        state.accounts[event.user_id].fee_tier = event.fee_tier
    elif isinstance(event, MarketListed):
        state.markets[event.market_id] = Market(
            market_id=event.market_id,
            revision=event.revision,
            rules=event.rules,
            reference_price_ticks=event.reference_price_ticks,
            halted=False,
        )
    elif isinstance(event, MarketRulesChanged):
        market = state.markets[event.market_id]
        market.revision = event.revision
        market.rules = event.rules
        market.reference_price_ticks = event.reference_price_ticks
    elif isinstance(event, (MarketHalted, MarketResumed)):
        state.markets[event.market_id].halted = isinstance(event, MarketHalted)
    else:
        _learn_of_exchange(state, event)


def _open_account(state: LedgerState, event: AccountOpened) -> None:
    user_id = event.user_id
    assert user_id % state.ledger_partitions == state.partition, (
        f"E6: user {user_id} does not live in partition {state.partition}"
    )
    assert user_id not in state.accounts, f"E6: user {user_id} has an account already"
    state.accounts[user_id] = Account(
        user_id=user_id,
        enabled=True,
        fee_tier=event.fee_tier,
        window_10s=0,
        orders_10s=0,
        window_1d=0,
        orders_1d=0,
    )


def _learn_of_exchange(state: LedgerState, event: Message) -> None:
    if isinstance(event, AssetListed):
        state.assets[event.asset_id] = event.decimals
    elif isinstance(event, WithdrawalsHalted):
        state.halted_withdrawals[event.asset_id] = None
    elif isinstance(event, WithdrawalsResumed):
        state.halted_withdrawals.pop(event.asset_id, None)
    elif isinstance(event, FeesChanged):
        state.fee_tiers = _by_tier(event.fee_tiers)
    elif isinstance(event, LimitsChanged):
        state.limits = event.limits
    elif isinstance(event, RulesActivated):
        state.rules_version = event.version
    elif isinstance(event, Genesis):
        state.partition = event.partition
        state.ledger_partitions = event.ledger_partitions
        state.matching_partitions = event.matching_partitions
        state.matchers = matching_ids(event.matching_partitions)
        state.rules_version = event.rules_version
        state.limits = event.limits
        state.fee_tiers = _by_tier(event.fee_tiers)
    else:
        raise AssertionError(f"a ledger has no event {type(event).__name__}")


def _by_tier(fee_tiers: list[FeeTier]) -> dict[int, FeeTier]:
    """The schedule by tier number. Tier 0 must be there: it is the rate where nothing else is."""
    schedule = {tier.tier: tier for tier in fee_tiers}
    assert 0 in schedule, "L8: a fee schedule must have tier 0"
    return schedule
